//! PostgreSQL's statements about many rows at once. Rows go in as an array a column, so the text is always
//! the same one, which the server plans once, and a batch of lends costs as many ways there and back as
//! one lend does.

use diesel::pg::{Pg, PgConnection};
use diesel::prelude::*;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::sql_types::{Array, BigInt, Binary, Bool, Nullable, Text};

macro_rules! statement {
    ($(#[$doc:meta])* $name:ident ($($one:ident: $of_one:ty as $sql_one:ty),*) {
        $($column:ident: $of:ty as $sql:ty),* $(,)?
    } $text:literal) => {
        $(#[$doc])*
        #[derive(Default, QueryId)]
        pub(super) struct $name {
            $(pub(super) $one: $of_one,)*
            $(pub(super) $column: Vec<$of>,)*
        }

        impl QueryFragment<Pg> for $name {
            fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
                let mut texts = $text.split('?');
                $(
                    out.push_sql(texts.next().unwrap_or_default());
                    out.push_bind_param::<$sql_one, _>(&self.$one)?;
                )*
                $(
                    out.push_sql(texts.next().unwrap_or_default());
                    out.push_bind_param::<Array<$sql>, _>(&self.$column)?;
                )*
                out.push_sql(texts.next().unwrap_or_default());
                Ok(())
            }
        }

        impl RunQueryDsl<PgConnection> for $name {}
    };
}

statement! {
    /// Enters the rows of `scope` where nobody else writes, and finds what a batch of lends asks for:
    /// `policies/postgres/lending.sql` says what.
    FindLends (scope: String as Text, vault: i64 as BigInt) {
        orgs: String as Text, locks: i64 as BigInt,
        org: String as Text, owner: String as Text, id: String as Text, exclusive: bool as Bool, at: i64 as BigInt,
    }
    "SELECT * FROM pawl_find_lends(?, ?, ?, ?, ?, ?, ?, ?, ?)"
}

/// Of an org: whether somebody else holds it, whether it or the whole vault is frozen, what it lends, its last event,
/// its day.
type FoundOrg =
    (Bool, Bool, BigInt, BigInt, Nullable<Text>, Nullable<(BigInt, Binary)>, Nullable<(BigInt, BigInt)>);

/// Of an ask: its number, the sealed credential, its key's state, the last fence.
type FoundAsk = (
    BigInt,
    (
        Text,
        Text,
        Nullable<Text>,
        Nullable<Text>,
        Nullable<Text>,
        Text,
        Text,
        BigInt,
        Nullable<BigInt>,
        Text,
        BigInt,
    ),
    Nullable<Text>,
    Nullable<BigInt>,
);

/// Of an exclusive ask that meets a lease: its number, the lease.
type FoundHeld = (BigInt, (Text, Text, Nullable<Text>, BigInt, BigInt, BigInt));

impl Query for FindLends {
    type SqlType = (Text, Nullable<FoundOrg>, Nullable<FoundAsk>, Nullable<FoundHeld>);
}

statement! {
    /// Counts the open leases of connections, or of whole orgs, up to so many.
    CountOpen () {
        org: String as Text, connection: Option<String> as Nullable<Text>, at: i64 as BigInt, most: i64 as BigInt,
    }
    "SELECT open FROM pawl_count_open(?, ?, ?, ?) ORDER BY number"
}

impl Query for CountOpen {
    type SqlType = BigInt;
}

statement! {
    /// Writes leases, open, and events, each at the end of its chain.
    WriteLends () {
        id: String as Text, org: String as Text, owner: String as Text, connection: String as Text,
        client: String as Text, purpose: &'static str as Text, run: Option<String> as Nullable<Text>,
        revision: i64 as BigInt, fence: i64 as BigInt, lent_at: i64 as BigInt, expires_at: i64 as BigInt,
        chain: String as Text, seq: i64 as BigInt, event: String as Text, prev_hash: Vec<u8> as Binary,
        hash: Vec<u8> as Binary,
    }
    "SELECT pawl_write_lends(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
}

statement! {
    /// Sealed credentials, each in the place of the very one that was read there.
    ResealCredentials () {
        id: String as Text, revision: i64 as BigInt, old: String as Text, new: String as Text, key: String as Text,
    }
    "UPDATE connections SET sealed = fresh.new, key_id = fresh.key
     FROM unnest(?, ?, ?, ?, ?) AS fresh (id, revision, old, new, key)
     WHERE connections.id = fresh.id AND connections.revision = fresh.revision AND connections.sealed = fresh.old"
}
