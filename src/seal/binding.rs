//! Where a sealed value belongs. All of it goes into the value's own key, so a value that was moved,
//! swapped or sent elsewhere does not open.

use crate::access::UserScope;
use crate::credential::{CredentialKind, Destination};
use crate::ids::{ConnectionId, IssuerKeyId, KeyId, LogId, Revision};

/// The place of one sealed value: which field, whose, which row, and where it may be sent.
pub struct Binding<'a> {
    field: &'static str,
    parts: [&'a str; 7],
    revision: String,
}

impl<'a> Binding<'a> {
    /// A connection's credential. `scope` is the caller's, never the row's own columns, so a row
    /// handed to the wrong caller does not open.
    pub fn credential(
        scope: &'a UserScope,
        id: &'a ConnectionId,
        revision: Revision,
        kind: CredentialKind,
        destination: &'a Destination,
    ) -> Self {
        let (kind, (url, database, username)) = (kind.as_str(), destination.parts());
        Self {
            field: "credential",
            parts: [scope.org().as_str(), scope.user().as_str(), id.as_str(), kind, url, database, username],
            revision: revision.number().to_string(),
        }
    }

    /// The seed of a key that signs tokens: nobody's tenant, sent nowhere.
    pub fn issuer_key(id: &'a IssuerKeyId) -> Self {
        Self { field: "issuer_key", parts: ["", "", id.as_str(), "", "", "", ""], revision: String::new() }
    }

    /// The seed of a key that signs the checkpoints of one log of the trail, under the name that it signs with, and
    /// with what that log goes on from.
    pub fn audit_log(id: &'a LogId, origin: &'a str, follows: &'a str) -> Self {
        let parts = ["", "", id.as_str(), "", origin, follows, ""];
        Self { field: "audit_log", parts, revision: String::new() }
    }

    /// The canary of a master key, by which a start proves it.
    pub fn canary(id: &'a KeyId) -> Self {
        Self { field: "canary", parts: ["", "", id.as_str(), "", "", "", ""], revision: String::new() }
    }

    /// The `info` of the row key's derivation:
    ///
    /// ```text
    /// part("pawl/v1") ‖ part(field) ‖ part(org) ‖ part(user) ‖ part(connection id) ‖ part(revision)
    ///   ‖ part(kind) ‖ part(url) ‖ part(database) ‖ part(username)
    /// part(x) = length of x in bytes as u32 big-endian ‖ x as UTF-8; an absent part is empty
    /// ```
    pub(super) fn info(&self) -> Vec<u8> {
        let [org, user, id, kind, url, database, username] = self.parts;
        let mut info = Vec::with_capacity(256);
        for part in ["pawl/v1", self.field, org, user, id, &self.revision, kind, url, database, username] {
            // Parts are checked to be far below 4 GiB where they come in; a longer one could only
            // make a key that opens nothing.
            let length = u32::try_from(part.len()).unwrap_or(u32::MAX);
            info.extend_from_slice(&length.to_be_bytes());
            info.extend_from_slice(part.as_bytes());
        }
        info
    }
}
