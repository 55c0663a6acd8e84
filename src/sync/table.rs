//! One model's table in the sink, made from the policy's fields: a typed column each, two for a
//! reference. Names come from the policy, which lets nothing but names through.

use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{BigInt, Double, Nullable, Text};
use diesel::sqlite::{Sqlite, SqliteConnection};

use crate::odoo::{Cell, Field, Fields, Kind, Record};

/// The table of the model of `fields`.
pub struct Table {
    name: String,
    columns: Vec<(String, &'static str)>,
    kinds: Vec<Kind>,
    upsert: String,
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
        let upsert = upsert(&name, &columns);
        Self { name, columns, kinds: fields.iter().map(Field::kind).collect(), upsert }
    }

    /// Makes it, or adds the columns that it lacks.
    pub fn prepare(&self, db: &mut SqliteConnection) -> QueryResult<()> {
        let columns: String =
            self.columns.iter().map(|(name, kind)| format!("\"{name}\" {kind}, ")).collect();
        sql_query(format!(
            "CREATE TABLE IF NOT EXISTS \"{}\" (id INTEGER NOT NULL PRIMARY KEY, {columns}\
             pawl_seen INTEGER NOT NULL, pawl_changed INTEGER NOT NULL)",
            self.name
        ))
        .execute(db)?;
        let there: Vec<Named> =
            sql_query("SELECT name FROM pragma_table_info(?)").bind::<Text, _>(&self.name).load(db)?;
        for (name, kind) in &self.columns {
            if !there.iter().any(|column| &column.name == name) {
                sql_query(format!("ALTER TABLE \"{}\" ADD COLUMN \"{name}\" {kind}", self.name))
                    .execute(db)?;
            }
        }
        Ok(())
    }

    /// Writes one record as the sweep saw it.
    pub fn write(&self, db: &mut SqliteConnection, record: Record, sweep: i64) -> QueryResult<()> {
        let mut query = sql_query(self.upsert.as_str()).into_boxed::<Sqlite>().bind::<BigInt, _>(record.id);
        for (cell, kind) in record.cells.into_iter().zip(&self.kinds) {
            query = match cell {
                Cell::Empty if *kind == Kind::Many2one => {
                    query.bind::<Nullable<BigInt>, _>(None::<i64>).bind::<Nullable<Text>, _>(None::<String>)
                }
                Cell::Empty => query.bind::<Nullable<Text>, _>(None::<String>),
                Cell::Bool(yes) => query.bind::<BigInt, _>(i64::from(yes)),
                Cell::Int(int) => query.bind::<BigInt, _>(int),
                Cell::Float(float) => query.bind::<Double, _>(float),
                Cell::Text(text) => query.bind::<Text, _>(text),
                Cell::Ref { id, name } => query.bind::<BigInt, _>(id).bind::<Text, _>(name),
                Cell::Ids(ids) => query.bind::<Text, _>(serde_json::Value::from(ids).to_string()),
            };
        }
        query.bind::<BigInt, _>(sweep).bind::<BigInt, _>(sweep).execute(db).map(drop)
    }

    /// Removes what the sweep did not see. How many.
    pub fn remove_unseen(&self, db: &mut SqliteConnection, sweep: i64) -> QueryResult<usize> {
        sql_query(format!("DELETE FROM \"{}\" WHERE pawl_seen <> ?", self.name))
            .bind::<BigInt, _>(sweep)
            .execute(db)
    }

    /// How many records the sweep found new or changed.
    pub fn count_changed(&self, db: &mut SqliteConnection, sweep: i64) -> QueryResult<i64> {
        let sql = format!("SELECT count(*) AS n FROM \"{}\" WHERE pawl_changed = ?", self.name);
        let counted: Counted = sql_query(sql).bind::<BigInt, _>(sweep).get_result(db)?;
        Ok(counted.n)
    }
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

/// Insert, or update; `pawl_changed` moves only when a value did.
fn upsert(table: &str, columns: &[(String, &'static str)]) -> String {
    let each = |make: &dyn Fn(&str) -> String, between: &str| -> String {
        columns.iter().map(|(name, _)| make(name)).collect::<Vec<_>>().join(between)
    };
    format!(
        "INSERT INTO \"{table}\" AS old (id, {names}, pawl_seen, pawl_changed) VALUES (?, {places}, ?, ?) \
         ON CONFLICT (id) DO UPDATE SET {sets}, pawl_seen = excluded.pawl_seen, \
         pawl_changed = CASE WHEN {differs} THEN excluded.pawl_changed ELSE old.pawl_changed END",
        names = each(&|name| format!("\"{name}\""), ", "),
        places = each(&|_| "?".into(), ", "),
        sets = each(&|name| format!("\"{name}\" = excluded.\"{name}\""), ", "),
        differs = each(&|name| format!("old.\"{name}\" IS NOT excluded.\"{name}\""), " OR "),
    )
}
