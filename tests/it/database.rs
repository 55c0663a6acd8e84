//! A database for each test: a SQLite file in its folder, or one of the throwaway PostgreSQL that
//! `./test` starts, cloned from a template. Which of the two, TEST_DATABASE says.

use std::path::Path;

use diesel::prelude::*;
use diesel::sql_types::Text;

/// Whether this run is on PostgreSQL.
pub fn on_postgres() -> bool {
    match std::env::var("TEST_DATABASE").as_deref() {
        Err(_) | Ok("sqlite") => false,
        Ok("postgres") => true,
        Ok(other) => panic!("TEST_DATABASE is sqlite or postgres, not {other}"),
    }
}

/// Said first by who writes into a row what no key allows.
pub fn without_foreign_keys() -> &'static str {
    if on_postgres() { "SET session_replication_role = replica" } else { "PRAGMA foreign_keys = OFF" }
}

#[derive(QueryableByName)]
struct OneText {
    #[diesel(sql_type = Text)]
    text: String,
}

/// A connection that no policy binds: the attacker's or the operator's.
pub enum Sql {
    Sqlite(SqliteConnection),
    #[cfg(feature = "postgres")]
    Postgres(diesel::PgConnection),
}

impl Sql {
    pub fn sqlite(file: &Path) -> Self {
        use diesel::connection::SimpleConnection;
        let mut db = SqliteConnection::establish(file.to_str().unwrap()).unwrap();
        db.batch_execute("PRAGMA busy_timeout = 5000").unwrap();
        Self::Sqlite(db)
    }

    /// Statements without an answer.
    pub fn run(&mut self, sql: &str) {
        self.try_run(sql).unwrap_or_else(|e| panic!("{sql}: {e}"));
    }

    pub fn try_run(&mut self, sql: &str) -> QueryResult<()> {
        use diesel::connection::SimpleConnection;
        match self {
            Self::Sqlite(db) => db.batch_execute(sql),
            #[cfg(feature = "postgres")]
            Self::Postgres(db) => db.batch_execute(sql),
        }
    }

    /// The one column of a query, each value as text.
    pub fn texts(&mut self, column: &str, rest: &str) -> Vec<String> {
        let sql = format!("SELECT CAST({column} AS TEXT) AS text {rest}");
        let rows: Vec<OneText> = match self {
            Self::Sqlite(db) => diesel::sql_query(sql).load(db).unwrap(),
            #[cfg(feature = "postgres")]
            Self::Postgres(db) => diesel::sql_query(sql).load(db).unwrap(),
        };
        rows.into_iter().map(|row| row.text).collect()
    }

    /// Every row of a table by id, as an object of texts and numbers.
    pub fn rows(&mut self, table: &str, columns: &[&str]) -> serde_json::Value {
        let function = if on_postgres() { "json_build_object" } else { "json_object" };
        let members: Vec<String> = columns.iter().map(|name| format!("'{name}', {name}")).collect();
        let object = format!("{function}({})", members.join(", "));
        let rows = self.texts(&object, &format!("FROM {table} ORDER BY id"));
        rows.iter().map(|row| serde_json::from_str::<serde_json::Value>(row).unwrap()).collect()
    }

    pub fn count(&mut self, table: &str) -> i64 {
        self.texts("count(*)", &format!("FROM {table}"))[0].parse().unwrap()
    }
}

#[cfg(feature = "postgres")]
pub use server::TestDatabase;

#[cfg(feature = "postgres")]
mod server {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU32, Ordering};

    use diesel::PgConnection;
    use pawl::config::Database;
    use pawl::secret::Secret;
    use pawl::store::Store;

    use super::*;

    /// What `tests/postgres/cluster` told.
    pub fn told(name: &str) -> String {
        let name = format!("TEST_POSTGRES_{name}");
        std::env::var(&name).unwrap_or_else(|_| panic!("{name} is not set: run these tests by ./test"))
    }

    /// The address of a database by the socket, as `role`.
    pub fn by_socket(role: &str, database: &str) -> String {
        let (socket, port) = (told("SOCKET").replace('/', "%2F"), told("PORT"));
        format!("postgres://{role}@{socket}:{port}/{database}")
    }

    /// The same by TCP, with the role's password and more parameters.
    pub fn by_tcp(role: &str, host: &str, database: &str, more: &str) -> String {
        format!("postgres://{role}:{PASSWORD}@{host}:{}/{database}?{more}", told("PORT"))
    }

    /// Of both roles; nothing but this run's own server takes it.
    pub const PASSWORD: &str = "planted-database-PASSWORD";

    pub fn connect(address: &str) -> PgConnection {
        PgConnection::establish(address).unwrap_or_else(|e| panic!("{e}"))
    }

    pub fn address(text: String) -> Database {
        Database::parse(Secret::new(text)).unwrap()
    }

    const TEMPLATE: &str = "pawl_template";

    /// The roles, and a database with tables, made once for a server.
    fn template() {
        static MADE: OnceLock<()> = OnceLock::new();
        MADE.get_or_init(|| {
            let mut server = Sql::Postgres(connect(&by_socket("tester", "postgres")));
            let there = format!("FROM pg_database WHERE datname = '{TEMPLATE}'");
            if server.texts("count(*)", &there) == ["1"] {
                return;
            }
            server.run(&format!("CREATE ROLE pawl_migrate LOGIN CREATEROLE PASSWORD '{PASSWORD}'"));
            server.run(&format!("CREATE DATABASE {TEMPLATE} OWNER pawl_migrate"));
            let mut inside = Sql::Postgres(connect(&by_socket("tester", TEMPLATE)));
            inside.run("ALTER SCHEMA public OWNER TO pawl_migrate");
            drop(inside);
            Store::migrate(&address(by_socket("pawl_migrate", TEMPLATE))).unwrap();
            server.run(&format!("ALTER ROLE pawl_app PASSWORD '{PASSWORD}'"));
        });
    }

    /// Dropped with the test.
    pub struct TestDatabase {
        pub name: String,
    }

    impl TestDatabase {
        /// With tables and without a row.
        pub fn new() -> Self {
            template();
            Self::made(&format!("TEMPLATE {TEMPLATE}"))
        }

        /// Without tables, owned by `pawl_migrate`.
        pub fn empty() -> Self {
            template();
            let made = Self::made("OWNER pawl_migrate");
            made.sql().run("ALTER SCHEMA public OWNER TO pawl_migrate");
            made
        }

        fn made(how: &str) -> Self {
            static NUMBER: AtomicU32 = AtomicU32::new(0);
            let name = format!("t{}_{}", std::process::id(), NUMBER.fetch_add(1, Ordering::SeqCst));
            let mut server = Sql::Postgres(connect(&by_socket("tester", "postgres")));
            server.run(&format!("CREATE DATABASE {name} {how}"));
            Self { name }
        }

        pub fn address(&self, role: &str) -> String {
            by_socket(role, &self.name)
        }

        /// As a superuser, whom no policy binds.
        pub fn sql(&self) -> Sql {
            Sql::Postgres(connect(&self.address("tester")))
        }
    }

    impl Drop for TestDatabase {
        fn drop(&mut self) {
            if let Ok(mut server) = PgConnection::establish(&by_socket("tester", "postgres")) {
                let sql = format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name);
                let _ = diesel::sql_query(sql).execute(&mut server);
            }
        }
    }
}

#[cfg(feature = "postgres")]
pub use server::{PASSWORD, by_tcp, told};
