//! Calls, written. Only three functions write a method's name, and all take it from here or from
//! [`Method`]: there is no parameter by which another could come.

use zeroize::Zeroizing;

use crate::odoo::method::Method;
use crate::odoo::query::{Domain, Operand, Part, ReadQuery};
use crate::odoo::xmlrpc::{XmlError, is_xml_char};
use crate::secret::Secret;

/// Who calls, in which database.
pub struct Login<'a> {
    /// The database.
    pub database: &'a str,
    /// The password or API key.
    pub secret: &'a Secret,
}

/// `common.version()`: asked without a login.
pub fn version() -> Zeroizing<Vec<u8>> {
    let mut call = Call { xml: Zeroizing::new(Vec::with_capacity(256)) };
    call.put(HEAD);
    call.put("version</methodName>\n<params>\n");
    call.end()
}

/// `common.authenticate(database, username, secret, {})`.
pub fn authenticate(login: &Login, username: &str) -> Result<Zeroizing<Vec<u8>>, XmlError> {
    let mut call = Call::begin("authenticate", login, username.len());
    call.param(|call| call.text(login.database))?;
    call.param(|call| call.text(username))?;
    call.param(|call| call.text(login.secret.expose()))?;
    call.param(|call| call.structure(|_| Ok(())))?;
    Ok(call.end())
}

/// `object.execute_kw(database, uid, secret, model, method, args, kwargs)`, where method, model,
/// fields and domain are the query's.
pub fn execute(login: &Login, uid: i64, query: &ReadQuery) -> Result<Zeroizing<Vec<u8>>, XmlError> {
    if !query.is_of_one_model() {
        return Err(XmlError::OtherModel);
    }
    let method: Method = query.method();
    let mut call = Call::begin("execute_kw", login, 0);
    call.param(|call| call.text(login.database))?;
    call.param(|call| call.int(uid))?;
    call.param(|call| call.text(login.secret.expose()))?;
    call.param(|call| call.text(query.fields().model().name()))?;
    call.param(|call| call.text(method.as_str()))?;
    call.param(|call| {
        call.array(|call| match query {
            ReadQuery::SearchRead { domain, .. } => call.domain(domain),
            ReadQuery::Read { ids, .. } => call.array(|call| ids.iter().try_for_each(|id| call.int(*id))),
        })
    })?;
    call.param(|call| {
        call.structure(|call| {
            call.member("fields", |call| {
                call.array(|call| query.fields().iter().try_for_each(|field| call.text(field.name())))
            })?;
            let archived = match query {
                ReadQuery::SearchRead { order, offset, limit, archived, .. } => {
                    call.member("limit", |call| call.int(limit.get().into()))?;
                    call.member("offset", |call| call.int((*offset).into()))?;
                    call.member("order", |call| call.text(order.as_str()))?;
                    *archived
                }
                ReadQuery::Read { .. } => false,
            };
            call.member("context", |call| {
                call.structure(|call| {
                    if archived {
                        call.member("active_test", |call| call.bool(false))?;
                    }
                    call.member("lang", |call| call.text("en_US"))
                })
            })
        })
    })?;
    Ok(call.end())
}

const HEAD: &str = "<?xml version='1.0'?>\n<methodCall>\n<methodName>";

/// A call being written, into a buffer that is wiped and, for the secret's sake, does not move once
/// the secret is in it.
struct Call {
    xml: Zeroizing<Vec<u8>>,
}

impl Call {
    fn begin(method: &'static str, login: &Login, more: usize) -> Self {
        // Every character of a text takes at most five bytes (`&amp;`), or is refused.
        let texts = login.database.len() + login.secret.expose().len() + more;
        let mut call = Self { xml: Zeroizing::new(Vec::with_capacity(2048 + 5 * texts)) };
        call.put(HEAD);
        call.put(method);
        call.put("</methodName>\n<params>\n");
        call
    }

    fn end(mut self) -> Zeroizing<Vec<u8>> {
        self.put("</params>\n</methodCall>\n");
        self.xml
    }

    fn put(&mut self, text: &str) {
        let needed = self.xml.len() + text.len();
        if needed > self.xml.capacity() {
            // What follows the secret (long lists of ids) may outgrow the estimate: the old buffer
            // is wiped when it is dropped.
            let mut larger = Zeroizing::new(Vec::with_capacity(needed * 2));
            larger.extend_from_slice(&self.xml);
            self.xml = larger;
        }
        self.xml.extend_from_slice(text.as_bytes());
    }

    fn param(&mut self, value: impl FnOnce(&mut Self) -> Result<(), XmlError>) -> Result<(), XmlError> {
        self.put("<param>\n");
        value(self)?;
        self.put("</param>\n");
        Ok(())
    }

    fn text(&mut self, text: &str) -> Result<(), XmlError> {
        self.put("<value><string>");
        let mut plain = 0;
        for (at, c) in text.char_indices() {
            if !is_xml_char(c) {
                return Err(XmlError::Unspeakable);
            }
            let escaped = match c {
                '&' => "&amp;",
                '<' => "&lt;",
                '>' => "&gt;",
                '\r' => "&#13;",
                _ => continue,
            };
            self.put(text.get(plain..at).unwrap_or_default());
            self.put(escaped);
            plain = at + c.len_utf8();
        }
        self.put(text.get(plain..).unwrap_or_default());
        self.put("</string></value>\n");
        Ok(())
    }

    /// Odoo's XML-RPC takes 32 bits in `<int>`; `<i8>` for what is larger.
    fn int(&mut self, int: i64) -> Result<(), XmlError> {
        let tag = if i32::try_from(int).is_ok() { "int" } else { "i8" };
        self.put(&format!("<value><{tag}>{int}</{tag}></value>\n"));
        Ok(())
    }

    fn bool(&mut self, it: bool) -> Result<(), XmlError> {
        self.put(&format!("<value><boolean>{}</boolean></value>\n", u8::from(it)));
        Ok(())
    }

    fn array(&mut self, items: impl FnOnce(&mut Self) -> Result<(), XmlError>) -> Result<(), XmlError> {
        self.put("<value><array><data>\n");
        items(self)?;
        self.put("</data></array></value>\n");
        Ok(())
    }

    fn structure(&mut self, members: impl FnOnce(&mut Self) -> Result<(), XmlError>) -> Result<(), XmlError> {
        self.put("<value><struct>\n");
        members(self)?;
        self.put("</struct></value>\n");
        Ok(())
    }

    fn member(
        &mut self,
        name: &'static str,
        value: impl FnOnce(&mut Self) -> Result<(), XmlError>,
    ) -> Result<(), XmlError> {
        self.put("<member>\n<name>");
        self.put(name);
        self.put("</name>\n");
        value(self)?;
        self.put("</member>\n");
        Ok(())
    }

    fn domain(&mut self, domain: &Domain) -> Result<(), XmlError> {
        self.array(|call| {
            domain.parts().into_iter().try_for_each(|part| match part {
                Part::Joint(joint) => call.text(joint),
                Part::Is(condition) => call.array(|call| {
                    call.text(&condition.field)?;
                    call.text(condition.operator.as_str())?;
                    call.operand(&condition.operand)
                }),
            })
        })
    }

    fn operand(&mut self, operand: &Operand) -> Result<(), XmlError> {
        match operand {
            Operand::Empty => self.bool(false),
            Operand::Bool(it) => self.bool(*it),
            Operand::Int(it) => self.int(*it),
            Operand::Float(it) => {
                self.put(&format!("<value><double>{it}</double></value>\n"));
                Ok(())
            }
            Operand::Text(it) => self.text(it),
            Operand::Bools(all) => self.array(|call| all.iter().try_for_each(|it| call.bool(*it))),
            Operand::Domain(domain) => self.domain(domain),
            Operand::Ints(all) => self.array(|call| all.iter().try_for_each(|it| call.int(*it))),
            Operand::Texts(all) => self.array(|call| all.iter().try_for_each(|it| call.text(it))),
        }
    }
}
