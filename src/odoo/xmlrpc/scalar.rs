//! The smallest parts of an answer: texts that are numbers, truth or bytes.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::odoo::decimal::Decimal;
use crate::odoo::xmlrpc::XmlError;

/// `xmlns:ex` declares the extension types of some servers.
pub(super) fn is_namespace(attribute: &quick_xml::events::attributes::Attribute) -> bool {
    let name: &str = attribute.key.as_ref();
    name == "xmlns:ex"
}

pub(super) fn is_xml_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}

fn trimmed(text: &str) -> &str {
    text.trim_matches([' ', '\t', '\n', '\r'])
}

pub(super) fn number(text: &str) -> Result<i64, XmlError> {
    trimmed(text).parse().map_err(|_| XmlError::Malformed("an int that is none"))
}

pub(super) fn boolean(text: &str) -> Result<bool, XmlError> {
    match trimmed(text) {
        "0" => Ok(false),
        "1" => Ok(true),
        _ => Err(XmlError::Malformed("a boolean that is neither 0 nor 1")),
    }
}

pub(super) fn decimal(text: &str, longest: usize) -> Result<Decimal, XmlError> {
    let text = trimmed(text);
    if text.len() > longest {
        return Err(XmlError::Limit("number"));
    }
    Decimal::parse(text).ok_or(XmlError::Malformed("a double that is none"))
}

pub(super) fn base64(text: &str) -> Result<Vec<u8>, XmlError> {
    let packed: Vec<u8> = text.bytes().filter(|b| !is_xml_space(*b)).collect();
    STANDARD.decode(packed).map_err(|_| XmlError::Malformed("base64 that is none"))
}
