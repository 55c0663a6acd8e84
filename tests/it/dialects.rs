//! The client in each dialect: the same records for the same data, the same causes, and no more than reads.

use pawl::clock::Clock;
use pawl::credential::CredentialKind;
use pawl::odoo::{Credential, DialectName, Server, Servers, Version};
use pawl::secret::Secret;

/// What is known of a server that speaks this dialect alone, so that nobody asks it.
pub fn only(dialect: DialectName, url: &str, database: &str) -> Servers {
    let servers = Servers::new(Clock::system());
    let others = DialectName::ALL.iter().filter(|other| **other != dialect);
    let server = others.fold(Server::of(Version::of(19, 0)), |server, other| server.without(*other));
    servers.remember(url, database, server);
    servers
}

pub fn password(secret: &str) -> Credential {
    Credential { kind: CredentialKind::Password, secret: Secret::new(secret.into()) }
}
