//! Which table and which of its columns: names go into SQL quoted and never as they came.

/// What a row is made of, by the names that its columns have unless they are mapped.
pub const FIELDS: [&str; 6] = ["id", "user_id", "url", "database", "username", "encrypted_password"];

/// A name that no table or column has, or a mapping that maps nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ColumnsRefused {
    /// Empty, too long or with a control character.
    #[error("a name of a table or a column is 1 to 63 bytes, without control characters")]
    Name,
    /// Not `FIELD=COLUMN`.
    #[error("must be FIELD=COLUMN, such as user_id=owner; FIELD is one of {fields}", fields = FIELDS.join(", "))]
    Form,
    /// Said twice.
    #[error("{0} is mapped twice")]
    Twice(&'static str),
}

/// The column that each field is in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Columns([String; 6]);

impl Columns {
    /// Takes `FIELD=COLUMN` for those that have another name.
    pub fn parse(mapped: &[String]) -> Result<Self, ColumnsRefused> {
        let mut columns = FIELDS.map(|field| (field, None));
        for text in mapped {
            let (field, column) = text.split_once('=').ok_or(ColumnsRefused::Form)?;
            let known = columns.iter_mut().find(|(known, _)| *known == field).ok_or(ColumnsRefused::Form)?;
            if known.1.replace(name(column)?).is_some() {
                return Err(ColumnsRefused::Twice(known.0));
            }
        }
        Ok(Self(columns.map(|(field, column)| column.unwrap_or_else(|| field.to_owned()))))
    }

    /// Their names, in the order of [`FIELDS`].
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }

    /// Each, read by `expression` of the quoted name and the field, under the names `c0` to `c5`. A name that is not the
    /// table's own is an error in every dialect: SQLite would take one in quotes alone for a text.
    pub(super) fn select(&self, expression: impl Fn(&str, &str) -> String) -> String {
        let all = self.names().zip(FIELDS).enumerate().map(|(n, (name, field))| {
            let name = format!("t.{}", quoted(name));
            format!("{} AS c{n}", expression(&name, field))
        });
        all.collect::<Vec<_>>().join(", ")
    }
}

/// A table or a view, with its schema if one is named: `credentials`, `shop.credentials`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table(Vec<String>);

impl Table {
    /// Takes one name, or two with a dot between them.
    pub fn parse(text: &str) -> Result<Self, ColumnsRefused> {
        let names: Vec<String> = text.split('.').map(name).collect::<Result<_, _>>()?;
        if names.len() > 2 { Err(ColumnsRefused::Name) } else { Ok(Self(names)) }
    }

    /// Its own name, without the schema's.
    pub(super) fn last(&self) -> &str {
        self.0.last().map_or("", String::as_str)
    }

    /// As SQL names it.
    pub(super) fn quoted(&self) -> String {
        self.0.iter().map(|name| quoted(name)).collect::<Vec<_>>().join(".")
    }
}

fn name(text: &str) -> Result<String, ColumnsRefused> {
    let fits = (1..=63).contains(&text.len()) && !text.chars().any(char::is_control);
    if fits { Ok(text.to_owned()) } else { Err(ColumnsRefused::Name) }
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_quoted_whatever_they_say() {
        let mapped = ["user_id=owner".to_owned(), "url=a\"; DROP TABLE x; --".to_owned()];
        let columns = Columns::parse(&mapped).unwrap();
        let select = columns.select(|name, _| name.to_owned());
        assert!(select.starts_with("t.\"id\" AS c0, t.\"owner\" AS c1, t.\"a\"\"; DROP TABLE x; --\" AS c2"));
        assert_eq!(Table::parse("a.b\"").unwrap().quoted(), "\"a\".\"b\"\"\"");
        for wrong in ["", "a.b.c", "a.", "a\0", &"x".repeat(64)] {
            assert_eq!(Table::parse(wrong), Err(ColumnsRefused::Name), "{wrong}");
        }
        for wrong in ["x", "x=y", "url="] {
            assert!(Columns::parse(&[wrong.to_owned()]).is_err(), "{wrong}");
        }
        let twice = ["id=a".to_owned(), "id=b".to_owned()];
        assert_eq!(Columns::parse(&twice), Err(ColumnsRefused::Twice("id")));
    }
}
