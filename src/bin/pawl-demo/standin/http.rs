//! HTTP as the server of a real Odoo speaks it: one answer a connection, the same headers in the same
//! order.

use std::io::{self, Read};
use std::net::TcpStream;

use super::gzip::gzip;

/// What came in.
pub struct Incoming {
    pub method: String,
    /// Without a query.
    pub path: String,
    pub content_type: String,
    pub body: Vec<u8>,
    head: String,
}

impl Incoming {
    pub fn header(&self, name: &str) -> Option<&str> {
        header(&self.head, name)
    }

    /// The body, if it is text.
    pub fn text(&self) -> Option<&str> {
        std::str::from_utf8(&self.body).ok()
    }

    /// The token of `Authorization: Bearer`, however that is spelled.
    pub fn bearer(&self) -> Option<&str> {
        let (scheme, token) = self.header("authorization")?.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then_some(token.trim()).filter(|token| !token.is_empty())
    }
}

const SERVER: &str = "Server: Werkzeug/2.2.2 Python/3.11.2\r\n";

pub const NOSNIFF: &str = "X-Content-Type-Options: nosniff\r\n";
pub const TEXT_FIRST: &str = "Content-Type: text/html; charset=utf-8\r\nContent-Length: {}\r\n";
pub const XML_FIRST: &str = "Content-Type: text/xml; charset=utf-8\r\nContent-Length: {}\r\n";
pub const JSON_LAST: &str = "Content-Length: {}\r\nContent-Type: application/json; charset=utf-8\r\n";

/// What goes out.
pub struct Answer {
    pub head: String,
    pub body: Vec<u8>,
}

impl Answer {
    /// In one piece.
    pub fn whole(self) -> Vec<u8> {
        [self.head.into_bytes(), self.body].concat()
    }

    /// With more headers, after that of the server.
    pub fn with(mut self, headers: &str) -> Self {
        self.head = self.head.replacen(SERVER, &format!("{SERVER}{headers}"), 1);
        self
    }

    /// With another body of the same type.
    pub fn set_body(&mut self, body: Vec<u8>) {
        let length = |body: &[u8]| format!("Content-Length: {}\r\n", body.len());
        self.head = self.head.replacen(&length(&self.body), &length(&body), 1);
        self.body = body;
    }

    /// Compressed.
    pub fn gzip(mut self) -> Self {
        let body = gzip(&self.body);
        self.set_body(body);
        self.with("Content-Encoding: gzip\r\nVary: Accept-Encoding\r\n")
    }

    /// Dated, in seconds since 1970.
    pub fn dated(self, at: i64) -> Self {
        let at = jiff::Timestamp::from_second(at).unwrap_or_default();
        let date = at.to_zoned(jiff::tz::TimeZone::UTC).strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
        self.with(&format!("Date: {date}\r\n"))
    }
}

/// The headers about the body come in an order that its type knows, with `{}` for the length.
pub fn answered(status: &str, about: &str, more: &str, body: String) -> Answer {
    let about = about.replace("{}", &body.len().to_string());
    let head = format!("HTTP/1.0 {status}\r\n{SERVER}{about}{more}Connection: close\r\n\r\n");
    Answer { head, body: body.into_bytes() }
}

/// A page for people, which is how the server itself refuses.
pub fn page(status: &str, about: &str, title: &str, why: &str) -> Answer {
    let code = status.split(' ').next().unwrap_or_default();
    let body = format!(
        "<!doctype html>\n<html lang=en>\n<title>{code} {title}</title>\n<h1>{title}</h1>\n<p>{why}</p>\n"
    );
    answered(status, about, "", body)
}

const MAX_REQUEST: usize = 1 << 20;

/// Reads one request to its end.
pub fn read(stream: &mut TcpStream) -> io::Result<Incoming> {
    let mut bytes = Vec::new();
    let mut chunk = [0; 8192];
    let end = loop {
        if let Some(at) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break at + 4;
        }
        let read = stream.read(&mut chunk)?;
        if read == 0 || bytes.len() > MAX_REQUEST {
            return Err(io::ErrorKind::InvalidData.into());
        }
        bytes.extend_from_slice(&chunk[..read]);
    };
    let invalid = || io::Error::from(io::ErrorKind::InvalidData);
    let head = String::from_utf8(bytes[..end].to_vec()).map_err(|_| invalid())?;
    let length = header(&head, "content-length").and_then(|length| length.parse::<usize>().ok());
    let length = length.unwrap_or(0).min(MAX_REQUEST);
    let mut body = bytes.split_off(end);
    while body.len() < length {
        let read = stream.read(&mut chunk)?;
        if read == 0 {
            return Err(invalid());
        }
        body.extend_from_slice(&chunk[..read]);
    }
    let mut line = head.split(' ');
    let (method, target) = (line.next().unwrap_or_default(), line.next().unwrap_or_default());
    let (method, path) = (method.to_owned(), target.split('?').next().unwrap_or_default().to_owned());
    let content_type = header(&head, "content-type").unwrap_or_default().to_owned();
    Ok(Incoming { method, path, content_type, body, head })
}

fn header<'a>(head: &'a str, wanted: &str) -> Option<&'a str> {
    head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case(wanted).then_some(value.trim())
    })
}
