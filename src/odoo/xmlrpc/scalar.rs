//! The smallest parts of an answer: element names, and texts that are numbers or bytes.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::odoo::xmlrpc::XmlError;

/// Every element that XML-RPC has; the text of the name itself is not kept.
pub(super) fn known(name: &str) -> Result<&'static str, XmlError> {
    const NAMES: &[&str] = &[
        "value",
        "string",
        "int",
        "array",
        "data",
        "struct",
        "member",
        "name",
        "boolean",
        "double",
        "i4",
        "i8",
        "nil",
        "ex:nil",
        "ex:i8",
        "dateTime.iso8601",
        "base64",
        "methodResponse",
        "params",
        "param",
        "fault",
    ];
    NAMES
        .iter()
        .copied()
        .find(|known| *known == name)
        .ok_or(XmlError::Malformed("an element that XML-RPC lacks"))
}

/// `xmlns:ex` declares the extension types of some servers.
pub(super) fn is_namespace(attribute: &quick_xml::events::attributes::Attribute) -> bool {
    let name: &str = attribute.key.as_ref();
    name == "xmlns:ex"
}

pub(super) fn is_xml_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\n' | '\r')
}

pub(super) fn number(text: &str) -> Result<i64, XmlError> {
    text.trim_matches(is_xml_space).parse().map_err(|_| XmlError::Malformed("an int that is none"))
}

pub(super) fn finite(text: &str) -> Result<f64, XmlError> {
    let number: Option<f64> = text.trim_matches(is_xml_space).parse().ok();
    number.filter(|n| n.is_finite()).ok_or(XmlError::Malformed("a double that is none"))
}

pub(super) fn base64(text: &str) -> Result<Vec<u8>, XmlError> {
    let packed: String = text.chars().filter(|c| !is_xml_space(*c)).collect();
    STANDARD.decode(packed).map_err(|_| XmlError::Malformed("base64 that is none"))
}
