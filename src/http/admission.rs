//! Who is let on: a verified caller within their limits, and whoever shows no good token only so often. Whatever
//! answers for a token's being good comes through here, once a request.

use std::net::IpAddr;

use actix_web::http::Method;
use actix_web::http::header::{HeaderMap, HeaderName};
use actix_web::{HttpMessage, HttpRequest};

use crate::access::{Budget, Limits, Principal, RetryAfter, Spent, TokenRefused, Use};
use crate::audit::OperatorActor;
use crate::config::TrustedProxies;
use crate::error::Error;
use crate::http::State;
use crate::http::extract::state;
use crate::http::problem::Problem;
use crate::http::surface::header;
use crate::ids::ClientId;

/// What became of a token: its caller, charged for this call, or the refusal, counted for their address.
pub(super) fn judged(
    request: &HttpRequest,
    verified: Result<Principal, TokenRefused>,
) -> Result<Principal, Problem> {
    match verified {
        Ok(principal) => {
            charge(request, &principal)?;
            Ok(principal)
        }
        Err(refused) => {
            note_failed(request, refused.cause())?;
            Err(refused.into())
        }
    }
}

/// To be called for whatever was shown and did not verify, before it is refused: too many from one address are told
/// to wait instead. `cause` is a name of ours: nothing of what was shown goes into the trail.
pub(super) fn note_failed(request: &HttpRequest, cause: &'static str) -> Result<(), Problem> {
    let state = state(request)?;
    // Of a client whose assertion turned out to be one of before: what is left is for whom it was given to.
    request.extensions_mut().remove::<Budget>();
    let address = client(&state.surface.trusted_proxies, request);
    state.vault.untold().count_failed(address, cause);
    let Some(address) = address else { return Ok(()) };
    let wait = |RetryAfter(wait)| Problem::too_many("too many tokens from this address do not verify", wait);
    state.strains.note_failed(address).map_err(wait)
}

/// Whether it comes from an address that sent too many that did not verify.
pub(super) fn is_waiting(state: &State, request: &HttpRequest) -> bool {
    let address = client(&state.surface.trusted_proxies, request);
    address.is_some_and(|address| state.strains.is_waiting(address))
}

fn charge(request: &HttpRequest, caller: &Principal) -> Result<(), Problem> {
    let of = if *request.method() == Method::GET { Use::Read } else { Use::Write };
    let too_many = |spent: Spent| {
        Problem::too_many(format!("this caller is past their limit of {}", of.as_str()), spent.wait)
    };
    note_budget(request, state(request)?.limits.spend(caller, of)).map_err(too_many)
}

/// A GET of an operator's that is denied goes on record, so it counts as a write too.
pub(super) fn charge_denied(request: &HttpRequest, actor: &OperatorActor) -> Result<(), Problem> {
    let operator = Principal::Operator(actor.operator.clone());
    let spent = state(request)?.limits.spend(&operator, Use::Write);
    spent.map(drop).map_err(|spent| Error::Spent(spent).into())
}

/// The same for a client that asks for a token, once it has shown who it is.
pub(super) fn charge_client(request: &HttpRequest, limits: &Limits, client: &ClientId) -> Result<(), Spent> {
    note_budget(request, limits.spend_on_token(client))
}

fn note_budget(request: &HttpRequest, spent: Result<Budget, Spent>) -> Result<(), Spent> {
    request.extensions_mut().insert(spent.unwrap_or_else(|spent| spent.budget));
    spent.map(drop)
}

static RATELIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
static RATELIMIT: HeaderName = HeaderName::from_static("ratelimit");

/// `RateLimit` and `RateLimit-Policy` (draft-ietf-httpapi-ratelimit-headers), for a caller who was charged.
pub(super) fn tell_budget(request: &HttpRequest, headers: &mut HeaderMap) {
    let extensions = request.extensions();
    let Some(Budget { of, holds, window, left, full_in }) = extensions.get().copied() else { return };
    let of = of.as_str();
    for (name, value) in [
        (&RATELIMIT_POLICY, format_args!("\"{of}\";q={holds};w={window}")),
        (&RATELIMIT, format_args!("\"{of}\";r={left};t={full_in}")),
    ] {
        if let Some(value) = header(value) {
            headers.insert(name.clone(), value);
        }
    }
}

const FORWARDED_FOR: &str = "x-forwarded-for";

/// Where a request comes from: its peer, or what a trusted proxy says of it.
pub(super) fn client(proxies: &TrustedProxies, request: &HttpRequest) -> Option<IpAddr> {
    let peer = request.peer_addr()?.ip().to_canonical();
    Some(behind(proxies, peer, request.headers()))
}

/// Each proxy adds, at the end, whom it heard: the last that is none of ours is as far as anybody can be
/// believed. What can't be read makes all of it worth nothing.
fn behind(proxies: &TrustedProxies, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
    if !proxies.has(peer) {
        return peer;
    }
    let lines: Vec<_> = headers.get_all(FORWARDED_FOR).map(|line| line.to_str().unwrap_or("?")).collect();
    for hop in lines.iter().rev().flat_map(|line| line.rsplit(',')) {
        match hop.trim().parse::<IpAddr>().map(|hop| hop.to_canonical()) {
            Ok(hop) if proxies.has(hop) => {}
            Ok(hop) => return hop,
            Err(_) => return peer,
        }
    }
    peer
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::HeaderValue;

    use super::*;

    /// Attack on P10.
    #[test]
    fn a_forwarded_address_counts_only_from_a_trusted_proxy_and_only_the_last_stranger() {
        let none = TrustedProxies::default();
        let some: TrustedProxies = "10.0.0.0/8, 192.0.2.7,2001:db8::/32".parse().unwrap();
        for (proxies, peer, lines, expected) in [
            (&none, "10.0.0.1", &["1.1.1.1"][..], "10.0.0.1"),
            (&some, "172.16.0.1", &["1.1.1.1"], "172.16.0.1"),
            (&some, "10.0.0.1", &["1.1.1.1"], "1.1.1.1"),
            (&some, "::ffff:10.0.0.1", &["1.1.1.1"], "1.1.1.1"),
            (&some, "2001:db8::1", &["2001:dead::1"], "2001:dead::1"),
            (&some, "10.0.0.1", &["9.9.9.9, 1.1.1.1,192.0.2.7 , ::ffff:10.9.9.9"], "1.1.1.1"),
            (&some, "10.0.0.1", &["9.9.9.9", "1.1.1.1, 10.1.1.1", "10.2.2.2"], "1.1.1.1"),
            (&some, "10.0.0.1", &["1.1.1.1, unknown"], "10.0.0.1"),
            (&some, "10.0.0.1", &["unknown, 1.1.1.1"], "1.1.1.1"),
            (&some, "10.0.0.1", &["1.1.1.1, 10.0.0.2:99"], "10.0.0.1"),
            (&some, "10.0.0.1", &[""], "10.0.0.1"),
            (&some, "10.0.0.1", &["10.0.0.2"], "10.0.0.1"),
            (&some, "10.0.0.1", &[], "10.0.0.1"),
        ] {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append(HeaderName::from_static(FORWARDED_FOR), HeaderValue::from_str(line).unwrap());
            }
            let peer = peer.parse::<IpAddr>().unwrap().to_canonical();
            assert_eq!(behind(proxies, peer, &headers), expected.parse::<IpAddr>().unwrap(), "{lines:?}");
        }
    }
}
