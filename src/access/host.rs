//! Whose rows a command on the host may touch. No token is asked for: whoever runs it has the key and the
//! database. Each such scope is made here, under the command's name, so that one search finds them all.

use crate::access::scope::Scope;
use crate::ids::OrgId;

/// The command line on the vault's own host.
pub struct Host;

impl Host {
    /// `pawl import`: the one org that `--org` named, any of its users.
    pub fn import(org: OrgId) -> Scope {
        Scope::of_org(org)
    }

    /// `pawl audit`: the trail of one org.
    pub fn audit(org: OrgId) -> Scope {
        Scope::of_org(org)
    }
}
