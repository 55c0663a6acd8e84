//! Which records: a tree of conditions on what the policy lets be read, with operators of a closed list and values
//! of the field's own type. A text compared with a reference would have Odoo search the other model's names, by
//! fields of its own choice: none is.

use crate::odoo::readable::{Kind, Model, NotReadable};

macro_rules! operators {
    ($($(#[$doc:meta])* $name:ident = $text:literal;)*) => {
        /// A comparison.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Operator {
            $($(#[$doc])* $name,)*
        }

        impl Operator {
            /// All there are.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// As Odoo writes it.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }
        }
    };
}

operators! {
    /// `=`
    Equal = "=";
    /// `!=`
    NotEqual = "!=";
    /// `>`
    Greater = ">";
    /// `>=`
    GreaterOrEqual = ">=";
    /// `<`
    Less = "<";
    /// `<=`
    LessOrEqual = "<=";
    /// `in`
    In = "in";
    /// `not in`
    NotIn = "not in";
    /// `like`
    Like = "like";
    /// `not like`
    NotLike = "not like";
    /// `ilike`
    ILike = "ilike";
    /// `not ilike`
    NotILike = "not ilike";
    /// `=like`
    EqualLike = "=like";
    /// `=ilike`
    EqualILike = "=ilike";
    /// `any`: a record that is referred to meets a domain.
    Any = "any";
    /// `not any`
    NotAny = "not any";
}

/// What a field is compared with.
#[derive(Clone, Debug, PartialEq)]
pub enum Operand {
    /// Nothing there.
    Empty,
    /// True or false.
    Bool(bool),
    /// A number or an id.
    Int(i64),
    /// A number, finite.
    Float(f64),
    /// A text, date or datetime.
    Text(String),
    /// Both, or one of them.
    Bools(Vec<bool>),
    /// Numbers or ids.
    Ints(Vec<i64>),
    /// Texts.
    Texts(Vec<String>),
    /// A domain of the model that the field refers to.
    Domain(Box<Domain>),
}

/// One condition on one readable field.
#[derive(Clone, Debug, PartialEq)]
pub struct Condition {
    pub(in crate::odoo) field: String,
    pub(in crate::odoo) operator: Operator,
    pub(in crate::odoo) operand: Operand,
}

/// Conditions that must hold; without any, every record that the user may see.
#[derive(Clone, Debug, PartialEq)]
pub struct Domain {
    model: Model,
    terms: Vec<Term>,
}

#[derive(Clone, Debug, PartialEq)]
enum Term {
    Is(Condition),
    Not(Box<Term>),
    Both(Box<Term>, Box<Term>),
    Either(Box<Term>, Box<Term>),
}

/// A piece of a domain as Odoo writes one: operators before what they join.
pub(in crate::odoo) enum Part<'a> {
    Joint(&'static str),
    Is(&'a Condition),
}

/// Conditions and the operators that join them, of one model: half a domain, whose tree is not built yet.
pub(super) enum Piece {
    Not,
    Both,
    Either,
    Is(Condition),
}

impl Domain {
    /// Every record of `model`.
    pub fn all(model: &Model) -> Self {
        Self { model: model.clone(), terms: Vec::new() }
    }

    /// And `field` must compare so. `field` is `id`, a readable field of the model or one of its paths.
    pub fn and(mut self, field: &str, operator: Operator, operand: Operand) -> Result<Self, NotReadable> {
        self.terms.push(Term::Is(Condition::on(&self.model, field, operator, operand)?));
        Ok(self)
    }

    /// What `pieces` say in Odoo's notation; `None` where an operator joins nothing.
    pub(super) fn of_pieces(model: &Model, pieces: Vec<Piece>) -> Option<Self> {
        // From the end, every operator finds what it joins on top.
        let mut terms = Vec::new();
        for piece in pieces.into_iter().rev() {
            let term = match piece {
                Piece::Is(condition) => Term::Is(condition),
                Piece::Not => Term::Not(Box::new(terms.pop()?)),
                Piece::Both => Term::Both(Box::new(terms.pop()?), Box::new(terms.pop()?)),
                Piece::Either => Term::Either(Box::new(terms.pop()?), Box::new(terms.pop()?)),
            };
            terms.push(term);
        }
        terms.reverse();
        Some(Self { model: model.clone(), terms })
    }

    pub(in crate::odoo) fn model(&self) -> &Model {
        &self.model
    }

    /// In Odoo's notation.
    pub(in crate::odoo) fn parts(&self) -> Vec<Part<'_>> {
        let mut parts = Vec::new();
        self.terms.iter().for_each(|term| term.put(&mut parts));
        parts
    }
}

impl Term {
    fn put<'a>(&'a self, parts: &mut Vec<Part<'a>>) {
        match self {
            Self::Is(condition) => parts.push(Part::Is(condition)),
            Self::Not(term) => {
                parts.push(Part::Joint("!"));
                term.put(parts);
            }
            Self::Both(one, other) => {
                parts.push(Part::Joint("&"));
                one.put(parts);
                other.put(parts);
            }
            Self::Either(one, other) => {
                parts.push(Part::Joint("|"));
                one.put(parts);
                other.put(parts);
            }
        }
    }
}

impl Condition {
    pub(super) fn on(
        model: &Model,
        field: &str,
        operator: Operator,
        operand: Operand,
    ) -> Result<Self, NotReadable> {
        let kind = model.condition_on(field)?;
        let fits = match &operand {
            Operand::Domain(of) => {
                let compares = matches!(operator, Operator::Any | Operator::NotAny);
                compares && model.refers_to(field) == Some(of.model().name())
            }
            plain => compares(kind, operator, plain),
        };
        if !fits {
            return Err(NotReadable(format!("{}.{field} {} such a value", model.name(), operator.as_str())));
        }
        Ok(Self { field: field.to_owned(), operator, operand })
    }
}

/// Whether a field of `kind` is compared so.
fn compares(kind: Kind, operator: Operator, operand: &Operand) -> bool {
    use Operator::*;
    let equal = matches!(operator, Equal | NotEqual);
    let ordered = equal || matches!(operator, Greater | GreaterOrEqual | Less | LessOrEqual);
    let among = matches!(operator, In | NotIn);
    let alike = matches!(operator, Like | NotLike | ILike | NotILike | EqualLike | EqualILike);
    match (kind, operand) {
        // Set or not: Odoo takes true for that of whatever is no boolean.
        (_, Operand::Empty | Operand::Bool(_)) => equal,
        (Kind::Boolean, Operand::Bools(_)) => among,
        (Kind::Integer | Kind::Float | Kind::Monetary, Operand::Int(_)) => ordered,
        (Kind::Integer | Kind::Float | Kind::Monetary, Operand::Float(it)) => ordered && it.is_finite(),
        (Kind::Many2one | Kind::X2many, Operand::Int(_)) => equal,
        (Kind::Integer | Kind::Float | Kind::Monetary | Kind::Many2one | Kind::X2many, Operand::Ints(_)) => {
            among
        }
        (Kind::Text | Kind::Html | Kind::Selection, Operand::Text(_)) => ordered || alike,
        (Kind::Date | Kind::Datetime, Operand::Text(text)) => ordered && is_time(text),
        (Kind::Text | Kind::Html | Kind::Selection, Operand::Texts(_)) => among,
        (Kind::Date | Kind::Datetime, Operand::Texts(texts)) => {
            among && texts.iter().all(|text| is_time(text))
        }
        (
            Kind::Boolean
            | Kind::Integer
            | Kind::Float
            | Kind::Monetary
            | Kind::Many2one
            | Kind::X2many
            | Kind::Text
            | Kind::Html
            | Kind::Selection
            | Kind::Date
            | Kind::Datetime,
            _,
        ) => false,
    }
}

/// `2026-11-27`, or `2026-11-27 03:00:00`: a word such as `today` would be the server's to read.
fn is_time(text: &str) -> bool {
    let shape = "0000-00-00 00:00:00";
    let is_digit_like = |(c, of): (u8, u8)| if of == b'0' { c.is_ascii_digit() } else { c == of };
    matches!(text.len(), 10 | 19) && text.bytes().zip(shape.bytes()).all(is_digit_like)
}
