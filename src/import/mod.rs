//! Reads another product's table, whose passwords are Fernet tokens: from PostgreSQL, SQLite or CSV, a row at a
//! time, and changes nothing there. Tokens pass through as they are; nothing is opened here.

mod columns;
mod csv;
mod name;
#[cfg(feature = "postgres")]
mod postgres;
mod row;
mod source;
mod sqlite;

pub use columns::{Columns, ColumnsRefused, FIELDS, Table};
pub use name::{NameRefused, SourceName};
pub use row::{MAX_VALUE, SourceRow};
pub use source::{OpenSource, Source, SourceRefused};
