//! An answer as a stream of those events that can mean anything. What holds everywhere is checked
//! here: UTF-8, the characters that XML has, no DTD, no entity but the five, no attribute.

use std::borrow::Cow;

use quick_xml::Reader;
use quick_xml::events::{BytesDecl, BytesRef, BytesStart, Event};

use crate::odoo::xmlrpc::scalar::{is_namespace, is_xml_space};
use crate::odoo::xmlrpc::tag::Tag;
use crate::odoo::xmlrpc::{XmlError, is_xml_char};

pub(super) const NOT_XML: XmlError = XmlError::Malformed("not well-formed");
pub(super) const WRONG_TAG: XmlError = XmlError::Malformed("an element where it does not belong");
const NOT_A_CHARACTER: XmlError = XmlError::Malformed("a character that XML does not have");

/// What matters of an event. Text borrows from the answer unless its line ends had to change.
pub(super) enum Token<'a> {
    Open(Tag),
    Close(Tag),
    Text(Cow<'a, str>),
    Char(char),
    End,
}

/// Plain tags and plain text, nearly all of what an Odoo writes, are taken here from what is before
/// the reader; whatever else there is to XML is left to quick-xml.
pub(super) struct Stream<'a> {
    answer: &'a str,
    /// Stands always at what has not been taken.
    reader: Reader<&'a [u8]>,
    /// Whether anything came before; a declaration comes first or not at all.
    begun: bool,
    /// Whether quick-xml has looked at the markup ahead already, and has to go on itself.
    ahead: bool,
    /// An element without content, which has opened and not closed.
    empty: Option<Tag>,
}

impl<'a> Stream<'a> {
    pub(super) fn begin(answer: &'a [u8]) -> Result<Self, XmlError> {
        let text = std::str::from_utf8(answer).map_err(|_| XmlError::Malformed("not UTF-8"))?;
        // Once for all of it; references to characters are checked where they are resolved.
        if !is_plain(text) && !text.chars().all(is_xml_char) {
            return Err(NOT_A_CHARACTER);
        }
        let answer = text.strip_prefix('\u{feff}').unwrap_or(text);
        let mut reader = Reader::from_str(answer);
        let config = reader.config_mut();
        config.check_comments = true;
        // Each end is held against its start here: quick-xml does not see all of them.
        config.check_end_names = false;
        config.allow_unmatched_ends = true;
        Ok(Self { answer, reader, begun: false, ahead: true, empty: None })
    }

    /// The next event that can mean anything.
    pub(super) fn next(&mut self) -> Result<Token<'a>, XmlError> {
        if let Some(tag) = self.empty.take() {
            return Ok(Token::Close(tag));
        }
        if !self.ahead
            && let Some(token) = self.plain()
        {
            return Ok(token);
        }
        loop {
            let event = self.reader.read_event().map_err(|_| NOT_XML)?;
            let is_first = !std::mem::replace(&mut self.begun, true);
            self.ahead = matches!(event, Event::Text(_));
            return match event {
                Event::Start(start) => opened(&start).map(Token::Open),
                Event::Empty(start) => {
                    let tag = opened(&start)?;
                    self.empty = Some(tag);
                    Ok(Token::Open(tag))
                }
                Event::End(end) => Tag::of(end.name().as_ref()).map(Token::Close).ok_or(WRONG_TAG),
                Event::Text(text) => Ok(Token::Text(text.xml10_content())),
                Event::CData(text) => Ok(Token::Text(text.xml10_content())),
                Event::GeneralRef(reference) => resolved(&reference).map(Token::Char),
                Event::Decl(decl) if is_first && is_utf8(&decl)? => continue,
                Event::Decl(_) => Err(NOT_XML),
                Event::DocType(_) => Err(XmlError::Malformed("a DTD")),
                Event::PI(_) => Err(XmlError::Malformed("a processing instruction")),
                Event::Comment(_) => continue,
                Event::Eof => Ok(Token::End),
            };
        }
    }

    /// A tag that is a name and nothing else, or text in which nothing has to be resolved.
    fn plain(&mut self) -> Option<Token<'a>> {
        let rest = self.answer.get(self.answer.len() - self.reader.get_ref().len()..)?;
        let (token, taken) = match rest.strip_prefix('<') {
            Some(tag) => {
                let (name, _) = tag.split_once('>')?;
                match name.strip_prefix('/') {
                    Some(closed) => (Token::Close(Tag::of(closed)?), name.len() + 2),
                    None => (Token::Open(Tag::of(name)?), name.len() + 2),
                }
            }
            None => {
                let (text, _) = rest.split_at_checked(rest.find(['<', '&', '\r'])?)?;
                if text.is_empty() || rest.as_bytes().get(text.len()) == Some(&b'\r') {
                    return None;
                }
                (Token::Text(Cow::Borrowed(text)), text.len())
            }
        };
        *self.reader.get_mut() = rest.as_bytes().get(taken..)?;
        Some(token)
    }

    /// The next event between elements, where text can only be white space.
    pub(super) fn structural(&mut self) -> Result<Token<'a>, XmlError> {
        loop {
            match self.next()? {
                Token::Text(text) if text.bytes().all(is_xml_space) => {}
                Token::Text(_) | Token::Char(_) => return Err(XmlError::Malformed("text between elements")),
                token => return Ok(token),
            }
        }
    }

    pub(super) fn expect_open(&mut self, tag: Tag) -> Result<(), XmlError> {
        match self.structural()? {
            Token::Open(open) if open == tag => Ok(()),
            _ => Err(WRONG_TAG),
        }
    }

    pub(super) fn expect_close(&mut self, tag: Tag) -> Result<(), XmlError> {
        match self.structural()? {
            Token::Close(closed) if closed == tag => Ok(()),
            _ => Err(WRONG_TAG),
        }
    }

    /// Whether another `tag` opens; if not, `parent` has closed.
    pub(super) fn opens(&mut self, tag: Tag, parent: Tag) -> Result<bool, XmlError> {
        match self.structural()? {
            Token::Open(open) if open == tag => Ok(true),
            Token::Close(closed) if closed == parent => Ok(false),
            _ => Err(WRONG_TAG),
        }
    }
}

/// Whether `text` is all ASCII or other characters that need no closer look: no control character
/// but three, and nothing that begins as U+FFFE and U+FFFF do.
fn is_plain(text: &str) -> bool {
    // without an early end, so that it runs many bytes at a time
    text.bytes().fold(true, |plain, b| plain & (b >= b' ' || is_xml_space(b)) & (b != 0xef))
}

fn opened(start: &BytesStart) -> Result<Tag, XmlError> {
    let has_attributes = !start.attributes_raw().bytes().all(is_xml_space);
    if has_attributes && !start.attributes().all(|a| a.is_ok_and(|a| is_namespace(&a))) {
        return Err(XmlError::Malformed("an attribute"));
    }
    Tag::of(start.name().as_ref()).ok_or(XmlError::Malformed("an element that XML-RPC lacks"))
}

fn resolved(reference: &BytesRef) -> Result<char, XmlError> {
    if let Some(c) = reference.resolve_char_ref().map_err(|_| NOT_XML)? {
        return if is_xml_char(c) { Ok(c) } else { Err(NOT_A_CHARACTER) };
    }
    let name: &str = reference;
    match name {
        "amp" => Ok('&'),
        "lt" => Ok('<'),
        "gt" => Ok('>'),
        "quot" => Ok('"'),
        "apos" => Ok('\''),
        _ => Err(XmlError::Malformed("an entity of its own")),
    }
}

/// True, or an error.
fn is_utf8(decl: &BytesDecl) -> Result<bool, XmlError> {
    if decl.version().map_err(|_| NOT_XML)? != "1.0" {
        return Err(NOT_XML);
    }
    match decl.encoding().transpose().map_err(|_| NOT_XML)? {
        Some(name) if !name.eq_ignore_ascii_case("utf-8") => {
            Err(XmlError::Malformed("an encoding other than UTF-8"))
        }
        _ => Ok(true),
    }
}
