//! What can be done to the vault: one action for each call, and more where it matters. Code names actions, the
//! policy grants them.

/// How far a grant goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reach {
    /// Rows of the caller's own org and user.
    OwnUser,
    /// Rows of any user of the caller's org.
    OwnOrg,
    /// The vault's own rows, and no tenant's: an operator's.
    Vault,
}

impl Reach {
    /// Every reach there is.
    pub const ALL: &[Self] = &[Self::OwnUser, Self::OwnOrg, Self::Vault];

    /// Its name in the policy.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::OwnUser => "own_user",
            Self::OwnOrg => "own_org",
            Self::Vault => "vault",
        }
    }
}

/// What an action is done to, which says how it may be granted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Done {
    /// To one connection, whose kind, environment and state may be a condition.
    ToOne,
    /// To one connection, as its user and nobody else.
    AsUser,
    /// To as many rows as the reach has.
    ToRows,
    /// To the org as a whole.
    ToOrg,
    /// To the vault.
    ToVault,
}

macro_rules! actions {
    ($($(#[$doc:meta])* $name:ident = $text:literal, $done:ident;)*) => {
        /// What can be done to the vault.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Action {
            $($(#[$doc])* $name,)*
        }

        impl Action {
            /// Every action there is.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// Its name in the policy.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                }
            }

            pub(super) fn done(self) -> Done {
                match self {
                    $(Self::$name => Done::$done,)*
                }
            }
        }
    };
}

actions! {
    /// Seal a credential and keep it.
    Deposit = "connection.deposit", AsUser;
    /// List connections.
    ListConnections = "connection.list", ToRows;
    /// Show one connection, without its secret.
    ShowConnection = "connection.show", ToOne;
    /// Change a connection's label and sync interval.
    UpdateConnection = "connection.update", ToOne;
    /// Change which environment a connection is: from one that meets the conditions to another that does.
    ChangeEnvironment = "connection.environment", ToOne;
    /// Log in to a connection's Odoo and tell what is wrong.
    Check = "connection.check", ToOne;
    /// Replace a connection's credential.
    Replace = "connection.replace", ToOne;
    /// Forget a connection and its credential.
    Forget = "connection.forget", ToOne;
    /// Borrow a credential, opened, to sync: exclusively.
    LendForSync = "lease.lend.sync", AsUser;
    /// Borrow a credential, opened, to check it.
    LendForCheck = "lease.lend.check", AsUser;
    /// Borrow a credential, opened, for anything else.
    LendForOther = "lease.lend.other", AsUser;
    /// Have the vault ask a connection's Odoo for records, without borrowing the credential.
    Inject = "connection.inject", AsUser;
    /// List open leases.
    ListLeases = "lease.list", ToRows;
    /// Show one lease, open or ended.
    ShowLease = "lease.show", ToRows;
    /// Have a lease last longer.
    RenewLease = "lease.renew", AsUser;
    /// Hand a lease back.
    ReturnLease = "lease.return", ToRows;
    /// Read the org's trail.
    ReadAudit = "audit.read", ToOrg;
    /// Show the org's settings.
    ReadSettings = "settings.read", ToOrg;
    /// Freeze the org.
    Freeze = "settings.freeze", ToOrg;
    /// Let the org lend again.
    Unfreeze = "settings.unfreeze", ToOrg;
    /// Say for how long the org's trail is kept.
    ChangeRetention = "settings.retention", ToOrg;
    /// Say which hosts the org lets be called.
    ChangeHosts = "settings.hosts", ToOrg;
    /// Say how the org's credentials are used: by injection alone or lent too, and how much may be read.
    ChangeInjection = "settings.injection", ToOrg;
    /// List the master keys, by name alone.
    ListKeys = "keys.list", ToVault;
    /// Put every sealed value under the key that seals.
    Reseal = "keys.reseal", ToVault;
    /// See how far a reseal is.
    WatchReseal = "keys.watch", ToVault;
}

impl Action {
    /// The action of that name.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|action| action.as_str() == text)
    }

    /// To borrow for that purpose.
    pub fn of_lend(purpose: &str) -> Option<Self> {
        [Self::LendForSync, Self::LendForCheck, Self::LendForOther]
            .into_iter()
            .find(|action| action.purpose() == Some(purpose))
    }

    /// The purpose that it borrows for.
    pub fn purpose(self) -> Option<&'static str> {
        match self {
            Self::LendForSync => Some("sync"),
            Self::LendForCheck => Some("check"),
            Self::LendForOther => Some("other"),
            _ => None,
        }
    }

    /// Its name in the trail, where the purpose of a lend is told apart.
    pub fn recorded(self) -> &'static str {
        match self {
            _ if self.purpose().is_some() => "lease.lend",
            Self::Inject => "inject.started",
            _ => self.as_str(),
        }
    }

    /// Whether it changes nothing.
    pub fn is_read(self) -> bool {
        matches!(
            self,
            Self::ListConnections
                | Self::ShowConnection
                | Self::ListLeases
                | Self::ShowLease
                | Self::ReadAudit
                | Self::ReadSettings
                | Self::ListKeys
                | Self::WatchReseal
        )
    }

    /// Whether it is refused when the org's trail takes no more of the day: what lends or changes something. What
    /// protects never is, nor a change of settings that only takes away.
    pub fn is_within_quota(self) -> bool {
        matches!(
            self,
            Self::Deposit
                | Self::UpdateConnection
                | Self::ChangeEnvironment
                | Self::Check
                | Self::Replace
                | Self::LendForSync
                | Self::LendForCheck
                | Self::LendForOther
                | Self::Inject
                | Self::RenewLease
                | Self::Unfreeze
                | Self::ChangeRetention
                | Self::ChangeHosts
                | Self::ChangeInjection
        )
    }

    /// The reaches with which it can be granted.
    pub(super) fn reaches(self) -> &'static [Reach] {
        match self.done() {
            Done::ToOne | Done::ToRows => &[Reach::OwnUser, Reach::OwnOrg],
            Done::AsUser => &[Reach::OwnUser],
            Done::ToOrg => &[Reach::OwnOrg],
            Done::ToVault => &[Reach::Vault],
        }
    }

    /// Whether it is about one connection, so that a grant may have conditions.
    pub fn takes_conditions(self) -> bool {
        matches!(self.done(), Done::ToOne | Done::AsUser)
    }
}
