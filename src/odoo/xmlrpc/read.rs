//! Answers, read as a stream: a member of a record is handed on as soon as it is whole, and no tree of
//! the document is ever built.

use std::borrow::Cow;
use std::collections::BTreeSet;

use crate::odoo::caps::Caps;
use crate::odoo::xmlrpc::scalar::{base64, boolean, decimal, is_xml_space, number};
use crate::odoo::xmlrpc::stream::{NOT_XML, Stream, Token, WRONG_TAG};
use crate::odoo::xmlrpc::tag::Tag;
use crate::odoo::xmlrpc::{Fault, Value, XmlError};

/// What a call was answered with.
pub enum Reply<T> {
    /// Its result.
    Result(T),
    /// A fault.
    Fault(Fault),
}

/// Reads an answer whose result is any one value.
pub fn read_value(answer: &[u8], caps: &Caps) -> Result<Reply<Value>, XmlError> {
    let mut answer = Answer::begin(answer, caps)?;
    let reply = match answer.opening()? {
        Part::Params => {
            let value = answer.value(0)?;
            answer.closing_params()?;
            Reply::Result(value)
        }
        Part::Fault => Reply::Fault(answer.fault()?),
    };
    answer.end()?;
    Ok(reply)
}

/// Reads an answer whose result is an array of structs, and hands on the members of each; what `take`
/// leaves of them is read all the same. Stops at the first error of `take`.
pub fn read_records<E: From<XmlError>>(
    answer: &[u8],
    caps: &Caps,
    mut take: impl FnMut(&mut Members) -> Result<(), E>,
) -> Result<Reply<()>, E> {
    let mut answer = Answer::begin(answer, caps)?;
    let reply = match answer.opening()? {
        Part::Params => {
            for tag in [Tag::Value, Tag::Array, Tag::Data] {
                answer.stream.expect_open(tag)?;
            }
            while answer.stream.opens(Tag::Value, Tag::Data)? {
                answer.count_value()?;
                answer.stream.expect_open(Tag::Struct)?;
                let mut members = Members { answer: &mut answer, depth: 1, read: 0, state: Ok(true) };
                take(&mut members)?;
                members.finish()?;
                answer.stream.expect_close(Tag::Value)?;
            }
            for tag in [Tag::Array, Tag::Value] {
                answer.stream.expect_close(tag)?;
            }
            answer.closing_params()?;
            Reply::Result(())
        }
        Part::Fault => Reply::Fault(answer.fault()?),
    };
    answer.end()?;
    Ok(reply)
}

/// The members of one struct, in the order they came. Whoever takes them sees to it that no name
/// comes twice.
pub struct Members<'s, 'a> {
    answer: &'s mut Answer<'a>,
    depth: usize,
    read: usize,
    /// Whether there may be more, or why not.
    state: Result<bool, XmlError>,
}

impl<'a> Members<'_, 'a> {
    fn read(&mut self) -> Result<Option<(Cow<'a, str>, Value)>, XmlError> {
        let answer = &mut *self.answer;
        if !answer.stream.opens(Tag::Member, Tag::Struct)? {
            return Ok(None);
        }
        if self.read >= answer.caps.members {
            return Err(XmlError::Limit("members"));
        }
        self.read += 1;
        answer.stream.expect_open(Tag::Name)?;
        let name = answer.text(Tag::Name)?;
        let value = answer.value(self.depth)?;
        answer.stream.expect_close(Tag::Member)?;
        Ok(Some((name, value)))
    }

    /// What is left of them, and whether all was in order.
    fn finish(mut self) -> Result<(), XmlError> {
        while self.next().is_some() {}
        self.state.map(drop)
    }
}

impl<'a> Iterator for Members<'_, 'a> {
    type Item = Result<(Cow<'a, str>, Value), XmlError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.state != Ok(true) {
            return None;
        }
        let read = self.read();
        self.state = read.as_ref().map(Option::is_some).map_err(|error| *error);
        read.transpose()
    }
}

enum Part {
    Params,
    Fault,
}

struct Answer<'a> {
    stream: Stream<'a>,
    caps: Caps,
    /// How many values have opened.
    values: usize,
}

impl<'a> Answer<'a> {
    fn begin(answer: &'a [u8], caps: &Caps) -> Result<Self, XmlError> {
        Ok(Self { stream: Stream::begin(answer)?, caps: *caps, values: 0 })
    }

    fn opening(&mut self) -> Result<Part, XmlError> {
        self.stream.expect_open(Tag::MethodResponse)?;
        match self.stream.structural()? {
            Token::Open(Tag::Params) => self.stream.expect_open(Tag::Param).map(|()| Part::Params),
            Token::Open(Tag::Fault) => Ok(Part::Fault),
            _ => Err(WRONG_TAG),
        }
    }

    fn closing_params(&mut self) -> Result<(), XmlError> {
        self.stream.expect_close(Tag::Param)?;
        self.stream.expect_close(Tag::Params)
    }

    fn end(mut self) -> Result<(), XmlError> {
        self.stream.expect_close(Tag::MethodResponse)?;
        match self.stream.structural()? {
            Token::End => Ok(()),
            _ => Err(XmlError::Malformed("something after the answer")),
        }
    }

    fn fault(&mut self) -> Result<Fault, XmlError> {
        let value = self.value(0)?;
        self.stream.expect_close(Tag::Fault)?;
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
        self.stream.expect_open(Tag::Value)?;
        self.inside_value(depth)
    }

    /// The rest of a `<value>` that has opened: typed, or text alone.
    fn inside_value(&mut self, depth: usize) -> Result<Value, XmlError> {
        self.count_value()?;
        if depth >= self.caps.depth {
            return Err(XmlError::Limit("depth"));
        }
        let (untyped, tag) = self.text_until(Tag::Value)?;
        let Some(tag) = tag else { return Ok(Value::Text(untyped.into_owned())) };
        if !untyped.bytes().all(is_xml_space) {
            return Err(XmlError::Malformed("text beside a typed value"));
        }
        let value = match tag {
            Tag::String => Value::Text(self.text(tag)?.into_owned()),
            Tag::Int | Tag::I4 | Tag::I8 | Tag::ExI8 => Value::Int(number(&self.text(tag)?)?),
            Tag::Boolean => Value::Bool(boolean(&self.text(tag)?)?),
            Tag::Double => Value::Double(decimal(&self.text(tag)?, self.caps.number)?),
            Tag::DateTime => Value::DateTime(self.text(tag)?.into_owned()),
            Tag::Base64 => Value::Base64(base64(&self.text(tag)?)?),
            Tag::Nil | Tag::ExNil if self.text(tag)?.is_empty() => Value::Nil,
            Tag::Nil | Tag::ExNil => return Err(XmlError::Malformed("a nil with something in it")),
            Tag::Array => {
                self.stream.expect_open(Tag::Data)?;
                let mut items = Vec::new();
                while self.stream.opens(Tag::Value, Tag::Data)? {
                    items.push(self.inside_value(depth + 1)?);
                }
                self.stream.expect_close(Tag::Array)?;
                Value::Array(items)
            }
            Tag::Struct => Value::Struct(self.members(depth + 1)?),
            _ => return Err(WRONG_TAG),
        };
        self.stream.expect_close(Tag::Value)?;
        Ok(value)
    }

    /// The rest of a `<struct>` that has opened.
    fn members(&mut self, depth: usize) -> Result<Vec<(String, Value)>, XmlError> {
        let mut members: Vec<(String, Value)> = Vec::new();
        let mut names = BTreeSet::new();
        for member in (Members { answer: self, depth, read: 0, state: Ok(true) }) {
            let (name, value) = member?;
            members.push((name.clone().into_owned(), value));
            if !names.insert(name) {
                return Err(XmlError::Malformed("a member twice"));
            }
        }
        Ok(members)
    }

    /// The text of a `tag` that has opened and holds nothing else.
    fn text(&mut self, tag: Tag) -> Result<Cow<'a, str>, XmlError> {
        match self.text_until(tag)? {
            (text, None) => Ok(text),
            (_, Some(_)) => Err(WRONG_TAG),
        }
    }

    /// The text up to the end of `parent`, or up to an element that opens in it.
    fn text_until(&mut self, parent: Tag) -> Result<(Cow<'a, str>, Option<Tag>), XmlError> {
        let mut text = Cow::Borrowed("");
        loop {
            match self.stream.next()? {
                Token::Text(first) if text.is_empty() => {
                    self.cap_text(first.len())?;
                    text = first;
                }
                Token::Text(more) => {
                    self.cap_text(text.len() + more.len())?;
                    text.to_mut().push_str(&more);
                }
                Token::Char(c) => {
                    self.cap_text(text.len() + c.len_utf8())?;
                    text.to_mut().push(c);
                }
                Token::Close(closed) if closed == parent => return Ok((text, None)),
                Token::Close(_) => return Err(WRONG_TAG),
                Token::Open(tag) => return Ok((text, Some(tag))),
                Token::End => return Err(NOT_XML),
            }
        }
    }

    fn cap_text(&self, length: usize) -> Result<(), XmlError> {
        if length > self.caps.text { Err(XmlError::Limit("text")) } else { Ok(()) }
    }
}
