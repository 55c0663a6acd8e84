//! Answers, read as a stream of events: a record is handed on as soon as it is whole, and no tree of
//! the document is ever built.

use std::collections::BTreeSet;

use quick_xml::Reader;
use quick_xml::events::Event;

use crate::odoo::xmlrpc::scalar::{base64, finite, is_namespace, is_xml_space, known, number};
use crate::odoo::xmlrpc::{Fault, Value, XmlError, is_xml_char};

/// How much is taken.
#[derive(Clone, Copy, Debug)]
pub struct Caps {
    /// Values within values.
    pub depth: usize,
    /// Bytes of one text.
    pub text: usize,
    /// Members of one struct.
    pub members: usize,
    /// Values of one answer: a small one takes eight bytes on the wire and many times that here.
    pub values: usize,
}

impl Default for Caps {
    fn default() -> Self {
        Self { depth: 32, text: 16 * 1024 * 1024, members: 1024, values: 2_000_000 }
    }
}

/// What a call was answered with.
pub enum Reply<T> {
    /// Its result.
    Result(T),
    /// A fault.
    Fault(Fault),
}

/// Reads an answer whose result is any one value.
pub fn read_value(answer: &[u8], caps: &Caps) -> Result<Reply<Value>, XmlError> {
    let mut stream = Stream::begin(answer, caps)?;
    let reply = match stream.opening()? {
        Part::Params => {
            let value = stream.value(0)?;
            stream.closing_params()?;
            Reply::Result(value)
        }
        Part::Fault => Reply::Fault(stream.fault()?),
    };
    stream.end()?;
    Ok(reply)
}

/// Reads an answer whose result is an array of structs, and hands on the members of each. Stops at
/// the first error of `take`.
pub fn read_records<E: From<XmlError>>(
    answer: &[u8],
    caps: &Caps,
    mut take: impl FnMut(Vec<(String, Value)>) -> Result<(), E>,
) -> Result<Reply<()>, E> {
    let mut stream = Stream::begin(answer, caps)?;
    let reply = match stream.opening()? {
        Part::Params => {
            for tag in ["value", "array", "data"] {
                stream.expect_open(tag)?;
            }
            while stream.opens("value", "data")? {
                stream.count_value()?;
                stream.expect_open("struct")?;
                take(stream.members(1)?)?;
                stream.expect_close("value")?;
            }
            for tag in ["array", "value"] {
                stream.expect_close(tag)?;
            }
            stream.closing_params()?;
            Reply::Result(())
        }
        Part::Fault => Reply::Fault(stream.fault()?),
    };
    stream.end()?;
    Ok(reply)
}

enum Part {
    Params,
    Fault,
}

/// What matters of an event.
enum Token<'a> {
    Open(&'a str),
    Close,
    Text(std::borrow::Cow<'a, str>),
    Char(char),
    End,
}

struct Stream<'a> {
    reader: Reader<&'a [u8]>,
    caps: &'a Caps,
    /// How many values have opened.
    values: usize,
    /// Whether anything came before; a declaration comes first or not at all.
    begun: bool,
}

const NOT_XML: XmlError = XmlError::Malformed("not well-formed");
const WRONG_TAG: XmlError = XmlError::Malformed("an element where it does not belong");

impl<'a> Stream<'a> {
    fn begin(answer: &'a [u8], caps: &'a Caps) -> Result<Self, XmlError> {
        let text = std::str::from_utf8(answer).map_err(|_| XmlError::Malformed("not UTF-8"))?;
        let mut reader = Reader::from_str(text.strip_prefix('\u{feff}').unwrap_or(text));
        let config = reader.config_mut();
        config.expand_empty_elements = true;
        config.check_comments = true;
        config.check_end_names = true;
        Ok(Self { reader, caps, values: 0, begun: false })
    }

    /// The next event that can mean anything. Quick-xml matches the ends of elements to their starts.
    fn next(&mut self) -> Result<Token<'a>, XmlError> {
        loop {
            let event = self.reader.read_event().map_err(|_| NOT_XML)?;
            let is_first = !std::mem::replace(&mut self.begun, true);
            return match event {
                Event::Start(start) => {
                    if !start.attributes().all(|a| a.is_ok_and(|a| is_namespace(&a))) {
                        return Err(XmlError::Malformed("an attribute"));
                    }
                    Ok(Token::Open(known(start.name().as_ref())?))
                }
                Event::End(_) => Ok(Token::Close),
                Event::Text(text) => Ok(Token::Text(text.xml10_content())),
                Event::CData(text) => Ok(Token::Text(text.xml10_content())),
                Event::GeneralRef(reference) => {
                    if let Some(c) = reference.resolve_char_ref().map_err(|_| NOT_XML)? {
                        return Ok(Token::Char(c));
                    }
                    let name: &str = &reference;
                    match name {
                        "amp" => Ok(Token::Char('&')),
                        "lt" => Ok(Token::Char('<')),
                        "gt" => Ok(Token::Char('>')),
                        "quot" => Ok(Token::Char('"')),
                        "apos" => Ok(Token::Char('\'')),
                        _ => Err(XmlError::Malformed("an entity of its own")),
                    }
                }
                Event::Decl(_) if !is_first => Err(NOT_XML),
                Event::Decl(decl) => {
                    let encoding = decl.encoding().transpose().map_err(|_| NOT_XML)?;
                    match encoding {
                        Some(name) if !name.eq_ignore_ascii_case("utf-8") => {
                            Err(XmlError::Malformed("an encoding other than UTF-8"))
                        }
                        _ => continue,
                    }
                }
                Event::DocType(_) => Err(XmlError::Malformed("a DTD")),
                Event::Comment(_) | Event::PI(_) => continue,
                Event::Empty(_) => Err(NOT_XML),
                Event::Eof => Ok(Token::End),
            };
        }
    }

    /// The next event between elements, where text can only be white space.
    fn structural(&mut self) -> Result<Token<'a>, XmlError> {
        loop {
            match self.next()? {
                Token::Text(text) if text.chars().all(is_xml_space) => {}
                Token::Text(_) | Token::Char(_) => return Err(XmlError::Malformed("text between elements")),
                token => return Ok(token),
            }
        }
    }

    fn expect_open(&mut self, tag: &str) -> Result<(), XmlError> {
        match self.structural()? {
            Token::Open(open) if open == tag => Ok(()),
            _ => Err(WRONG_TAG),
        }
    }

    /// The end of the innermost element; `tag` says which that is, for the reader of this code.
    fn expect_close(&mut self, tag: &'static str) -> Result<(), XmlError> {
        let _ = tag;
        match self.structural()? {
            Token::Close => Ok(()),
            _ => Err(WRONG_TAG),
        }
    }

    /// Whether another `tag` opens; if not, its `parent` has closed.
    fn opens(&mut self, tag: &str, parent: &'static str) -> Result<bool, XmlError> {
        let _ = parent;
        match self.structural()? {
            Token::Open(open) if open == tag => Ok(true),
            Token::Close => Ok(false),
            _ => Err(WRONG_TAG),
        }
    }

    fn opening(&mut self) -> Result<Part, XmlError> {
        self.expect_open("methodResponse")?;
        match self.structural()? {
            Token::Open("params") => self.expect_open("param").map(|()| Part::Params),
            Token::Open("fault") => Ok(Part::Fault),
            _ => Err(WRONG_TAG),
        }
    }

    fn closing_params(&mut self) -> Result<(), XmlError> {
        self.expect_close("param")?;
        self.expect_close("params")
    }

    fn end(mut self) -> Result<(), XmlError> {
        self.expect_close("methodResponse")?;
        match self.structural()? {
            Token::End => Ok(()),
            _ => Err(XmlError::Malformed("something after the answer")),
        }
    }

    fn fault(&mut self) -> Result<Fault, XmlError> {
        let value = self.value(0)?;
        self.expect_close("fault")?;
        let (mut code, mut text) = (None, None);
        let Value::Struct(members) = value else {
            return Err(XmlError::Malformed("a fault that is no struct"));
        };
        for (name, value) in members {
            match (name.as_str(), value) {
                ("faultCode", Value::Int(it)) => code = Some(it),
                ("faultString", Value::Text(it)) => text = Some(it),
                _ => return Err(XmlError::Malformed("a fault with other members")),
            }
        }
        match (code, text) {
            (Some(code), Some(text)) => Ok(Fault { code, text }),
            _ => Err(XmlError::Malformed("a fault without its members")),
        }
    }

    fn count_value(&mut self) -> Result<(), XmlError> {
        if self.values >= self.caps.values {
            return Err(XmlError::Limit("values"));
        }
        self.values += 1;
        Ok(())
    }

    /// A whole `<value>`.
    fn value(&mut self, depth: usize) -> Result<Value, XmlError> {
        self.expect_open("value")?;
        self.inside_value(depth)
    }

    /// The rest of a `<value>` that has opened: typed, or text alone.
    fn inside_value(&mut self, depth: usize) -> Result<Value, XmlError> {
        self.count_value()?;
        if depth >= self.caps.depth {
            return Err(XmlError::Limit("depth"));
        }
        let mut untyped = String::new();
        let tag = loop {
            match self.next()? {
                Token::Open(tag) if untyped.chars().all(is_xml_space) => break tag,
                Token::Open(_) => return Err(XmlError::Malformed("text beside a typed value")),
                Token::Close => return Ok(Value::Text(untyped)),
                Token::Text(text) => self.push(&mut untyped, &text)?,
                Token::Char(c) => self.push(&mut untyped, c.encode_utf8(&mut [0; 4]))?,
                Token::End => return Err(NOT_XML),
            }
        };
        let value = match tag {
            "string" => Value::Text(self.text()?),
            "int" | "i4" | "i8" | "ex:i8" => Value::Int(number(&self.text()?)?),
            "boolean" => match self.text()?.trim_matches(is_xml_space) {
                "0" => Value::Bool(false),
                "1" => Value::Bool(true),
                _ => return Err(XmlError::Malformed("a boolean that is neither 0 nor 1")),
            },
            "double" => Value::Double(finite(&self.text()?)?),
            "dateTime.iso8601" => Value::DateTime(self.text()?),
            "base64" => Value::Base64(base64(&self.text()?)?),
            "nil" | "ex:nil" => match self.text()?.as_str() {
                "" => Value::Nil,
                _ => return Err(XmlError::Malformed("a nil with something in it")),
            },
            "array" => {
                self.expect_open("data")?;
                let mut items = Vec::new();
                while self.opens("value", "data")? {
                    items.push(self.inside_value(depth + 1)?);
                }
                self.expect_close("array")?;
                Value::Array(items)
            }
            "struct" => Value::Struct(self.members(depth + 1)?),
            _ => return Err(WRONG_TAG),
        };
        self.expect_close("value")?;
        Ok(value)
    }

    /// The rest of a `<struct>` that has opened.
    fn members(&mut self, depth: usize) -> Result<Vec<(String, Value)>, XmlError> {
        let mut members: Vec<(String, Value)> = Vec::new();
        let mut names = BTreeSet::new();
        while self.opens("member", "struct")? {
            if members.len() >= self.caps.members {
                return Err(XmlError::Limit("members"));
            }
            self.expect_open("name")?;
            let name = self.text()?;
            if !names.insert(name.clone()) {
                return Err(XmlError::Malformed("a member twice"));
            }
            let value = self.value(depth)?;
            self.expect_close("member")?;
            members.push((name, value));
        }
        Ok(members)
    }

    /// The text of an element that has opened and holds nothing else.
    fn text(&mut self) -> Result<String, XmlError> {
        let mut text = String::new();
        loop {
            match self.next()? {
                Token::Text(more) => self.push(&mut text, &more)?,
                Token::Char(c) => self.push(&mut text, c.encode_utf8(&mut [0; 4]))?,
                Token::Close => return Ok(text),
                Token::Open(_) | Token::End => return Err(WRONG_TAG),
            }
        }
    }

    fn push(&self, text: &mut String, more: &str) -> Result<(), XmlError> {
        if text.len() + more.len() > self.caps.text {
            return Err(XmlError::Limit("text"));
        }
        if !more.chars().all(is_xml_char) {
            return Err(XmlError::Malformed("a character that XML does not have"));
        }
        text.push_str(more);
        Ok(())
    }
}
