//! One model's table in the sink, made from the policy's fields: a typed column each, two for a
//! reference. Names come from the policy, which lets nothing but names through.

use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{BigInt, Nullable, Text};
use diesel::sqlite::SqliteConnection;

use crate::odoo::{Field, Fields, Kind, Record};
use crate::sync::sink::Listed;
use crate::sync::sqlite::upsert::Statement;

/// The table of the model of `fields`.
pub struct Table {
    name: String,
    columns: Vec<(String, &'static str)>,
    kinds: Vec<Kind>,
    statement: Statement,
}

#[derive(QueryableByName)]
struct Named {
    #[diesel(sql_type = Text)]
    name: String,
}

impl Table {
    /// `account.move` is `account_move`.
    pub fn of(fields: &Fields) -> Self {
        let name = fields.model().name().replace('.', "_");
        let columns: Vec<(String, &'static str)> =
            fields.iter().flat_map(|field| columns(field.name(), field.kind())).collect();
        let kinds = fields.iter().map(Field::kind).collect();
        let names: Vec<&str> = columns.iter().map(|(column, _)| column.as_str()).collect();
        let statement = Statement::of(&name, &names);
        Self { name, columns, kinds, statement }
    }

    /// Makes it, or adds the columns that it lacks. Whether it added any.
    pub fn prepare(&self, db: &mut SqliteConnection) -> QueryResult<bool> {
        let there: Vec<Named> =
            sql_query("SELECT name FROM pragma_table_info(?)").bind::<Text, _>(&self.name).load(db)?;
        if there.is_empty() {
            let columns: Vec<String> =
                self.columns.iter().map(|(name, kind)| format!("\"{name}\" {kind}")).collect();
            let (name, columns) = (&self.name, columns.join(", "));
            sql_query(format!("CREATE TABLE \"{name}\" (id INTEGER NOT NULL PRIMARY KEY, {columns})"))
                .execute(db)?;
            return Ok(true);
        }
        let is_new = |(name, _): &&(String, &str)| !there.iter().any(|column| &column.name == name);
        let new: Vec<_> = self.columns.iter().filter(is_new).collect();
        for (name, kind) in &new {
            sql_query(format!("ALTER TABLE \"{}\" ADD COLUMN \"{name}\" {kind}", self.name)).execute(db)?;
        }
        Ok(!new.is_empty())
    }

    /// Writes one record. Whether it was new or changed anything.
    pub fn write(&self, db: &mut SqliteConnection, record: Record) -> QueryResult<bool> {
        let upsert = self.statement.with(record, &self.kinds);
        upsert.execute(db).map(|rows| rows > 0)
    }

    /// Which of the `listed`, lowest id first, are not here, or with another `write_date`.
    pub fn differing(&self, db: &mut SqliteConnection, listed: &[Listed]) -> QueryResult<Vec<i64>> {
        let (Some(first), Some(last)) = (listed.first(), listed.last()) else {
            return Ok(Vec::new());
        };
        let here = self.between(db, first.id - 1, last.id)?;
        let is_same = |listed: &&Listed| {
            let at = here.binary_search_by_key(&listed.id, |row| row.id);
            at.ok().and_then(|at| here.get(at)).is_some_and(|row| row.write_date == listed.written)
        };
        Ok(listed.iter().filter(|listed| !is_same(listed)).map(|listed| listed.id).collect())
    }

    fn between(&self, db: &mut SqliteConnection, after: i64, to: i64) -> QueryResult<Vec<ListedRow>> {
        let sql =
            format!("SELECT id, write_date FROM \"{}\" WHERE id > ? AND id <= ? ORDER BY id", self.name);
        sql_query(sql).bind::<BigInt, _>(after).bind::<BigInt, _>(to).load(db)
    }

    /// What it is called.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How many records are here.
    pub fn count(&self, db: &mut SqliteConnection) -> QueryResult<u64> {
        let sql = format!("SELECT count(*) AS n FROM \"{}\"", self.name);
        let counted: Counted = sql_query(sql).get_result(db)?;
        Ok(u64::try_from(counted.n).unwrap_or(0))
    }
}

#[derive(QueryableByName)]
struct ListedRow {
    #[diesel(sql_type = BigInt)]
    id: i64,
    #[diesel(sql_type = Nullable<Text>)]
    write_date: Option<String>,
}

#[derive(QueryableByName)]
struct Counted {
    #[diesel(sql_type = BigInt)]
    n: i64,
}

/// What a reference's second column is called after.
const NAME: &str = "_name";

fn columns(name: &str, kind: Kind) -> Vec<(String, &'static str)> {
    let kind = match kind {
        Kind::Text | Kind::Html | Kind::Selection | Kind::Date | Kind::Datetime | Kind::X2many => "TEXT",
        Kind::Integer | Kind::Boolean => "INTEGER",
        Kind::Float | Kind::Monetary => "REAL",
        Kind::Many2one => return vec![(name.into(), "INTEGER"), (format!("{name}{NAME}"), "TEXT")],
    };
    vec![(name.into(), kind)]
}
