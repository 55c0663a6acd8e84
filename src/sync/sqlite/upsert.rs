//! The statement that writes one record: an insert, or an update if any value differs. `sql_query` would
//! have SQLite read it anew for each record; this is read once a table.

use diesel::prelude::*;
use diesel::query_builder::{AstPass, QueryFragment, QueryId};
use diesel::sql_types::{BigInt, Double, Nullable, Text};
use diesel::sqlite::{Sqlite, SqliteConnection};

use crate::odoo::{Cell, Kind, Record};

/// Its text.
pub(super) struct Statement {
    before: String,
    after: String,
}

/// It and its values.
pub(super) struct Upsert<'a> {
    statement: &'a Statement,
    values: Vec<Bound>,
}

/// A value of one column, of the column's type even when there is none: then one statement does for all.
enum Bound {
    Int(Option<i64>),
    Float(Option<f64>),
    Text(Option<String>),
}

impl Statement {
    /// For those columns, after `id`.
    pub fn of(table: &str, columns: &[&str]) -> Self {
        let each = |make: &dyn Fn(&str) -> String, between: &str| -> String {
            columns.iter().map(|name| make(name)).collect::<Vec<_>>().join(between)
        };
        let names = each(&|name| format!("\"{name}\""), ", ");
        let sets = each(&|name| format!("\"{name}\" = excluded.\"{name}\""), ", ");
        let differs = each(&|name| format!("old.\"{name}\" IS NOT excluded.\"{name}\""), " OR ");
        Self {
            before: format!("INSERT INTO \"{table}\" AS old (id, {names}) VALUES ("),
            after: format!(") ON CONFLICT (id) DO UPDATE SET {sets} WHERE {differs}"),
        }
    }

    /// With a record's values, whose fields are of these kinds.
    pub fn with(&self, record: Record, kinds: &[Kind]) -> Upsert<'_> {
        let mut values = vec![Bound::Int(Some(record.id))];
        for (cell, kind) in record.cells.into_iter().zip(kinds) {
            match cell {
                Cell::Empty => values.extend(nothing(*kind)),
                Cell::Bool(yes) => values.push(Bound::Int(Some(yes.into()))),
                Cell::Int(int) => values.push(Bound::Int(Some(int))),
                Cell::Number(number) => values.push(Bound::Float(Some(number.as_f64()))),
                Cell::Text(text) => values.push(Bound::Text(Some(text.into()))),
                Cell::Ref { id, name } => {
                    values.extend([Bound::Int(Some(id)), Bound::Text(Some(name.into()))]);
                }
                Cell::Ids(ids) => {
                    values.push(Bound::Text(Some(serde_json::Value::from(ids).to_string())));
                }
            }
        }
        Upsert { statement: self, values }
    }
}

fn nothing(kind: Kind) -> Vec<Bound> {
    match kind {
        Kind::Integer | Kind::Boolean => vec![Bound::Int(None)],
        Kind::Float | Kind::Monetary => vec![Bound::Float(None)],
        Kind::Many2one => vec![Bound::Int(None), Bound::Text(None)],
        Kind::Text | Kind::Html | Kind::Selection | Kind::Date | Kind::Datetime | Kind::X2many => {
            vec![Bound::Text(None)]
        }
    }
}

impl QueryFragment<Sqlite> for Upsert<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Sqlite>) -> QueryResult<()> {
        out.push_sql(&self.statement.before);
        for (n, value) in self.values.iter().enumerate() {
            out.push_sql(if n == 0 { "" } else { ", " });
            match value {
                Bound::Int(int) => out.push_bind_param::<Nullable<BigInt>, _>(int)?,
                Bound::Float(float) => out.push_bind_param::<Nullable<Double>, _>(float)?,
                Bound::Text(text) => out.push_bind_param::<Nullable<Text>, _>(text)?,
            }
        }
        out.push_sql(&self.statement.after);
        Ok(())
    }
}

impl QueryId for Upsert<'_> {
    type QueryId = ();
    const HAS_STATIC_QUERY_ID: bool = false;
}

impl RunQueryDsl<SqliteConnection> for Upsert<'_> {}
