//! How many leases are open at once, at most: of an org, and of a connection. Every lease comes with an event of
//! its org's and a fence of its connection's, which only grow: so no more are open than were when they were
//! counted and as many as came since. Far below the cap that is enough, and near it they are counted again.

use std::collections::BTreeMap;

use diesel::prelude::*;

use crate::clock::Moment;
use crate::config::LeaseCaps;
use crate::store::db::Db;
use crate::store::error::StoreError;
use crate::store::lend::LendAsk;
use crate::store::schema::leases;

/// So many counts are remembered; when there are more, all are forgotten, which costs counting anew.
const REMEMBERED: usize = 10_000;

/// What an ask's lease would be one more of.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Of {
    Org(String),
    Connection(String),
}

impl Of {
    pub(super) fn org(ask: &LendAsk) -> Self {
        Self::Org(ask.scope.org().to_string())
    }

    pub(super) fn connection(ask: &LendAsk) -> Self {
        Self::Connection(ask.connection.to_string())
    }

    pub(super) fn cap(&self, caps: LeaseCaps) -> i64 {
        match self {
            Self::Org(_) => caps.of_org,
            Self::Connection(_) => caps.of_connection,
        }
    }
}

/// How many were open when the last event, or the last fence, was `at`.
#[derive(Clone, Copy, Default)]
pub(super) struct Count {
    pub(super) open: i64,
    pub(super) at: i64,
}

/// The counts that the lane remembers between its transactions, of what was committed.
#[derive(Default)]
pub(super) struct Counted(BTreeMap<Of, Count>);

impl Counted {
    /// Nothing was ever open that came with no event and no fence.
    fn last(&self, of: &Of) -> Count {
        self.0.get(of).copied().unwrap_or_default()
    }

    /// How many are open at most, now that the last event or fence is `number`.
    pub(super) fn at_most(&self, of: &Of, number: i64) -> i64 {
        let Count { open, at } = self.last(of);
        open.saturating_add(number.saturating_sub(at).max(0))
    }

    pub(super) fn learn(&mut self, counts: impl IntoIterator<Item = (Of, Count)>) {
        if self.0.len() > REMEMBERED {
            self.0.clear();
        }
        self.0.extend(counts);
    }
}

/// Those that are open in a transaction which holds the org's chain, so that it alone adds to them.
pub(super) struct Open {
    pub(super) count: i64,
    /// Counted in this transaction, or known to be no more than that.
    pub(super) is_exact: bool,
    /// The first that ends by itself, once somebody had to be told.
    pub(super) first_ends: Option<Moment>,
}

/// Counts them in the database, up to `most`.
pub(super) fn count(db: &mut Db, of: &Of, ask: &LendAsk, most: i64) -> Result<i64, StoreError> {
    let open = leases::table
        .filter(leases::org_id.eq(ask.scope.org().as_str()))
        .filter(leases::ended_at.is_null())
        .filter(leases::expires_at.gt(ask.at.micros()))
        .select(leases::expires_at)
        .limit(most);
    let open: Vec<i64> = match of {
        Of::Org(_) => open.load(db)?,
        Of::Connection(id) => open.filter(leases::connection_id.eq(id)).load(db)?,
    };
    Ok(i64::try_from(open.len()).unwrap_or(most))
}

/// When the first of them ends by itself.
pub(super) fn first_end(db: &mut Db, of: &Of, ask: &LendAsk) -> Result<Moment, StoreError> {
    let first = leases::table
        .filter(leases::org_id.eq(ask.scope.org().as_str()))
        .filter(leases::ended_at.is_null())
        .filter(leases::expires_at.gt(ask.at.micros()))
        .order(leases::expires_at.asc())
        .select(leases::expires_at);
    let first: Option<i64> = match of {
        Of::Org(_) => first.first(db).optional()?,
        Of::Connection(id) => first.filter(leases::connection_id.eq(id)).first(db).optional()?,
    };
    Ok(first.map_or(ask.at, Moment::from_micros))
}
