//! Which trace a piece of work belongs to: W3C Trace Context, the header `traceparent` alone.
//! <https://www.w3.org/TR/trace-context/>. Its ids are the system's randomness and say nothing of anybody.

use std::fmt;

use crate::clock::{NoRandomness, random_name};

/// One piece of work in a trace, and what it was asked by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trace {
    /// The whole trace.
    pub id: TraceId,
    /// This piece of work.
    pub span: SpanId,
    /// The piece of work that asked for it, elsewhere.
    pub parent: Option<SpanId>,
    /// Whether somebody who collects traces wants this one.
    pub is_sampled: bool,
}

/// Of a trace: 16 bytes, not all zero.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct TraceId(pub [u8; 16]);

/// Of a piece of work: 8 bytes, not all zero.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct SpanId(pub [u8; 8]);

impl Trace {
    /// A new one.
    pub fn begin() -> Result<Self, NoRandomness> {
        Ok(Self { id: TraceId(random()?), span: SpanId::new()?, parent: None, is_sampled: true })
    }

    /// Goes on with the trace that a caller's only `traceparent` names. With none, with several or with one
    /// that is not valid, a new one begins.
    pub fn go_on<'a>(mut headers: impl Iterator<Item = Option<&'a str>>) -> Result<Self, NoRandomness> {
        let named = match (headers.next(), headers.next()) {
            (Some(Some(only)), None) => parse(only),
            _ => None,
        };
        match named {
            Some((id, parent, flags)) => {
                Ok(Self { id, span: SpanId::new()?, parent: Some(parent), is_sampled: flags & 1 == 1 })
            }
            None => Self::begin(),
        }
    }

    /// Another piece of work in the same trace, asked for by this one.
    pub fn next(self) -> Result<Self, NoRandomness> {
        Ok(Self { span: SpanId::new()?, parent: Some(self.span), ..self })
    }

    /// As a header, for whom this piece of work asks.
    pub fn header(&self) -> String {
        format!("00-{}-{}-{:02x}", self.id, self.span, u8::from(self.is_sampled))
    }
}

impl SpanId {
    /// A new one.
    pub fn new() -> Result<Self, NoRandomness> {
        random().map(Self)
    }
}

/// Random, and not all zero, which no id is.
fn random<const N: usize>() -> Result<[u8; N], NoRandomness> {
    let mut bytes = [0; N];
    while bytes == [0; N] {
        bytes = random_name()?;
    }
    Ok(bytes)
}

/// `00-` trace `-` parent `-` flags, all lower-case hex. Of a later version the same beginning is read.
fn parse(header: &str) -> Option<(TraceId, SpanId, u8)> {
    let mut parts = header.split('-');
    let [version] = hex::<1>(parts.next()?)?;
    let (trace, parent) = (hex::<16>(parts.next()?)?, hex::<8>(parts.next()?)?);
    let [flags] = hex::<1>(parts.next()?)?;
    let fits = match version {
        0 => parts.next().is_none(),
        0xff => false,
        _ => true,
    };
    (fits && trace != [0; 16] && parent != [0; 8]).then_some((TraceId(trace), SpanId(parent), flags))
}

pub(super) fn hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let is_hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
    if text.len() != 2 * N || !text.bytes().all(is_hex) {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, at) in bytes.iter_mut().zip((0..).step_by(2)) {
        *byte = u8::from_str_radix(text.get(at..at + 2)?, 16).ok()?;
    }
    Some(bytes)
}

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

impl fmt::Display for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", u64::from_be_bytes(self.0))
    }
}

impl fmt::Debug for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Debug for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const VALID: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    fn go_on(headers: &[&str]) -> Trace {
        Trace::go_on(headers.iter().map(|header| Some(*header))).unwrap()
    }

    /// Attack on P1.
    #[test]
    fn a_trace_is_gone_on_with_only_if_its_header_is_valid() {
        for (header, is_sampled) in [
            (VALID.to_owned(), true),
            (VALID.replace("-01", "-00"), false),
            (VALID.replace("-01", "-fe"), false),
            (VALID.replace("-01", "-03"), true),
            (VALID.replace("00-4", "cc-4"), true),
            (VALID.replace("00-4", "cc-4") + "-what-may-come", true),
        ] {
            let trace = go_on(&[&header]);
            assert_eq!(trace.id.to_string(), "4bf92f3577b34da6a3ce929d0e0e4736", "{header}");
            assert_eq!(trace.parent.unwrap().to_string(), "00f067aa0ba902b7");
            assert_eq!(trace.is_sampled, is_sampled, "{header}");
            assert_ne!(trace.span, trace.parent.unwrap());
            assert_eq!(go_on(&[&trace.header()]).id, trace.id);
        }
        for wrong in [
            "",
            "words",
            &VALID.to_uppercase(),
            &VALID.replace("4bf9", "4BF9"),
            &VALID.replace("00-4", "ff-4"),
            &VALID.replace("00-4", "0-4"),
            &VALID.replace("00-4", "0g-4"),
            &format!("{VALID}-"),
            &format!("{VALID}-00"),
            &format!("{VALID} "),
            &format!(" {VALID}"),
            &VALID.replace('-', "_"),
            &VALID.replace("4bf9", "4bf"),
            &VALID.replace("4bf9", "+bf9"),
            &VALID.replace("4bf92f3577b34da6a3ce929d0e0e4736", &"0".repeat(32)),
            &VALID.replace("00f067aa0ba902b7", &"0".repeat(16)),
            &VALID.replace("-01", "-1"),
            &VALID.replace("-01", ""),
            &VALID.replace("-01", "01"),
            &VALID.replace("00-4", "cc-4").replace("-01", "-01x"),
            &"é".repeat(28),
        ] {
            let trace = go_on(&[wrong]);
            assert!(trace.parent.is_none() && trace.is_sampled, "{wrong}");
            assert_ne!(trace.id.to_string(), "4bf92f3577b34da6a3ce929d0e0e4736");
        }
        assert!(go_on(&[VALID, VALID]).parent.is_none(), "of two none counts");
        assert!(go_on(&[]).parent.is_none());
        assert!(Trace::go_on([None].into_iter()).unwrap().parent.is_none(), "not even a text");
    }
}
