//! PostgreSQL's statements about many rows at once. Rows go in as an array a column, so the text is always
//! the same one, which the server plans once, and a batch of lends costs as many ways there and back as
//! one lend does.

use diesel::pg::{Pg, PgConnection};
use diesel::prelude::*;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::sql_types::{Array, BigInt, Binary, Bool, Nullable, Text};

macro_rules! statement {
    ($(#[$doc:meta])* $name:ident { $($column:ident: $of:ty as $sql:ty),* $(,)? } $text:literal) => {
        $(#[$doc])*
        #[derive(Default, QueryId)]
        pub(super) struct $name {
            $(pub(super) $column: Vec<$of>,)*
        }

        impl QueryFragment<Pg> for $name {
            fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
                let mut texts = $text.split('?');
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
    /// For each that is there, by its number from 1: the sealed credential, its key's state, the last fence, how
    /// many leases are open if that is past `enough`, and of an exclusive wish the lease that it meets. The limits
    /// keep to a look into an index for each, whatever a plan that was made on empty tables takes for cheap.
    FindLent {
        org: String as Text, owner: String as Text, id: String as Text, exclusive: bool as Bool, at: i64 as BigInt,
        enough: i64 as BigInt, most: i64 as BigInt,
    }
    "SELECT wanted.number, mine.kind, mine.environment, mine.url, mine.database, mine.username, mine.sealed, mine.key_id, mine.revision,
            mine.credential_expires_at, mine.state,
            (SELECT state FROM keys WHERE keys.id = mine.key_id),
            last.fence,
            CASE WHEN last.fence > wanted.enough THEN (SELECT count(*) FROM (
                SELECT FROM leases
                WHERE leases.org_id = wanted.org AND leases.connection_id = wanted.id
                    AND ended_at IS NULL AND expires_at > wanted.at
                LIMIT wanted.most) AS open) END,
            held.id, held.client_id, held.run_id, held.revision, held.fence, held.expires_at
     FROM unnest(?, ?, ?, ?, ?, ?, ?) WITH ORDINALITY
         AS wanted (org, owner, id, exclusive, at, enough, most, number)
     CROSS JOIN LATERAL (
         SELECT * FROM connections
         WHERE connections.org_id = wanted.org AND connections.user_id = wanted.owner AND connections.id = wanted.id
         LIMIT 1) AS mine
     LEFT JOIN LATERAL (
         SELECT fence FROM leases WHERE leases.org_id = wanted.org AND leases.connection_id = wanted.id
         ORDER BY fence DESC LIMIT 1) AS last ON true
     LEFT JOIN LATERAL (
         SELECT * FROM leases
         WHERE wanted.exclusive AND leases.org_id = wanted.org AND leases.connection_id = wanted.id
             AND purpose = 'sync' AND ended_at IS NULL AND expires_at > wanted.at
         ORDER BY fence DESC LIMIT 1) AS held ON true"
}

impl Query for FindLent {
    type SqlType = (
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
        ),
        Nullable<Text>,
        Nullable<BigInt>,
        Nullable<BigInt>,
        Nullable<(Text, Text, Nullable<Text>, BigInt, BigInt, BigInt)>,
    );
}

statement! {
    /// Of each org: whether it or the whole vault is frozen, how many of its leases are open if the number of its
    /// last event is past `enough`, that event, and what its day is counted from.
    FindOrgs { org: String as Text, at: i64 as BigInt, enough: i64 as BigInt, most: i64 as BigInt }
    "SELECT wanted.org,
            EXISTS (SELECT FROM org_settings WHERE org_id IN (wanted.org, '') AND frozen_at IS NOT NULL),
            CASE WHEN last.seq > wanted.enough THEN (SELECT count(*) FROM (
                SELECT FROM leases
                WHERE leases.org_id = wanted.org AND ended_at IS NULL AND expires_at > wanted.at
                LIMIT wanted.most) AS open) END,
            last.seq, last.hash, audit_chains.day, audit_chains.day_seq
     FROM unnest(?, ?, ?, ?) AS wanted (org, at, enough, most)
     LEFT JOIN audit_chains ON audit_chains.org_id = wanted.org
     LEFT JOIN LATERAL (
         SELECT seq, hash FROM audit_events WHERE org_id = wanted.org ORDER BY seq DESC LIMIT 1) AS last ON true"
}

impl Query for FindOrgs {
    type SqlType = (Text, Bool, Nullable<BigInt>, Nullable<(BigInt, Binary)>, Nullable<(BigInt, BigInt)>);
}

statement! {
    /// Leases, open.
    InsertLeases {
        id: String as Text, org: String as Text, owner: String as Text, connection: String as Text,
        client: String as Text, purpose: &'static str as Text, run: Option<String> as Nullable<Text>,
        revision: i64 as BigInt, fence: i64 as BigInt, lent_at: i64 as BigInt, expires_at: i64 as BigInt,
    }
    "INSERT INTO leases (id, org_id, user_id, connection_id, client_id, purpose, run_id, revision, fence, lent_at,
                         expires_at)
     SELECT * FROM unnest(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
}

statement! {
    /// Events, each at the end of its chain.
    InsertEvents {
        org: String as Text, seq: i64 as BigInt, event: String as Text, prev_hash: Vec<u8> as Binary,
        hash: Vec<u8> as Binary,
    }
    "INSERT INTO audit_events (org_id, seq, event, prev_hash, hash) SELECT * FROM unnest(?, ?, ?, ?, ?)"
}

statement! {
    /// Sealed credentials, each in the place of the very one that was read there.
    ResealCredentials {
        id: String as Text, revision: i64 as BigInt, old: String as Text, new: String as Text, key: String as Text,
    }
    "UPDATE connections SET sealed = fresh.new, key_id = fresh.key
     FROM unnest(?, ?, ?, ?, ?) AS fresh (id, revision, old, new, key)
     WHERE connections.id = fresh.id AND connections.revision = fresh.revision AND connections.sealed = fresh.old"
}
