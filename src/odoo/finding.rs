//! What a check can find, each with a stable code, one sentence and what to do. The sentences are ours
//! alone: of what a server said, none quotes anything but the host that a redirect leads to.

use crate::credential::CredentialKind;
use crate::egress::EgressError;
use crate::odoo::fault::OdooError;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// A sync would fail.
    Error,
    /// A sync works; somebody should look.
    Warning,
}

impl Severity {
    /// As the API writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }
}

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $text:literal, $severity:ident, $detail:literal, $advice:literal;)*) => {
        /// Every cause there is. `docs/checks.md` lists each.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Code {
            $($(#[$doc])* $name,)*
        }

        impl Code {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// Its stable name.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            /// How bad it is.
            pub fn severity(self) -> Severity {
                match self { $(Self::$name => Severity::$severity,)* }
            }

            /// What it means.
            pub fn detail(self) -> &'static str {
                match self { $(Self::$name => $detail,)* }
            }

            /// What to do.
            pub fn advice(self) -> &'static str {
                match self { $(Self::$name => $advice,)* }
            }
        }
    };
}

codes! {
    /// No check was made.
    NotChecked = "not_checked", Error, "The check could not be made now.", "Ask for it again.";
    /// Private, absent or refused: one cause.
    HostNotPublic = "host_not_public", Error, "The host is not public, or does not exist.",
        "Look at the URL; give the host a public address, or ask who runs Pawl for an exception.";
    /// Too many look-ups.
    LookUpsFull = "look_ups_full", Error, "Too many names are being looked up just now.",
        "Check again; if it stays so, see that the name servers of your hosts answer.";
    /// No TCP connection.
    Connect = "connect", Error, "The host takes no connection.",
        "See that Odoo is up, that the port is right, and that a firewall lets Pawl in.";
    /// A certificate's time.
    CertificateExpired = "certificate_expired", Error, "The host's certificate has expired, or is not valid yet.",
        "Renew the certificate.";
    /// A certificate's name.
    CertificateName = "certificate_name", Error, "The host's certificate is for another name.",
        "Use the name that the certificate is for, or get one for this name.";
    /// A certificate's authority.
    CertificateUnknown = "certificate_unknown", Error, "The host's certificate is of an unknown authority.",
        "Use a certificate of a public authority, and send the whole chain.";
    /// Other TLS trouble.
    Tls = "tls", Error, "TLS with the host failed.", "See that the port speaks HTTPS with TLS 1.2 or 1.3.";
    /// This machine's fault.
    NoTlsRoots = "no_tls_roots", Error, "The machine that checks has no TLS root certificates.",
        "Install ca-certificates where Pawl runs.";
    /// The operator's fault.
    EgressProxy = "egress_proxy", Error, "The proxy between Pawl and the internet lets nothing through.",
        "Ask who runs Pawl to look at PAWL_EGRESS_PROXY, and check again.";
    /// Too slow.
    Timeout = "timeout", Error, "The host did not answer in time.",
        "See that Odoo is up and not overloaded, and check again.";
    /// Broken.
    BrokenOff = "broken_off", Error, "The connection broke off, or the answer was no HTTP.",
        "See what stands before Odoo, and check again.";
    /// A redirect.
    Redirected = "redirected", Error, "The host redirects; Pawl follows no redirect.",
        "Deposit the address that a browser ends at, without its path.";
    /// A gateway's status.
    ProxyError = "proxy_error", Error, "What stands before Odoo answers that Odoo does not.",
        "See that Odoo is up behind its proxy, and that the proxy waits long enough.";
    /// Another status.
    HttpStatus = "http_status", Error, "The host answers with an HTTP error.",
        "See that Odoo is up behind its proxy, and check again.";
    /// Too much.
    TooLarge = "too_large", Error, "The answer is larger than Odoo's would be.", "See that the host is Odoo.";
    /// Something else there.
    NotOdoo = "not_odoo", Error, "The host does not answer as Odoo does.",
        "Look at the URL, and at what stands before Odoo.";
    /// Nothing at the paths of the API.
    ApiClosed = "api_closed", Error, "That Odoo does not offer its API: the host does not have its paths.",
        "Let /jsonrpc or /xmlrpc/2 through; on Odoo 19 and later /json/2 with an API key will do.";
    /// A login page, a password or an address filter of a proxy.
    KeptOut = "kept_out", Error,
        "What stands before Odoo lets nobody in: it answers 401 or 403 to those who have not logged in. The credential was not sent.",
        "Let Pawl past its password, login page or address filter, at /web/version and at /json/2, /jsonrpc or /xmlrpc/2.";
    /// The same, once the secret was shown.
    TurnedAway = "turned_away", Error,
        "What stands before Odoo answered the login with 401 or 403, which is no answer of Odoo's. It counts as a refused login.",
        "Look into the log of what stands before Odoo for the reason. Odoo itself has not judged the credential.";
    /// Not of the format, or not of that shape.
    Malformed = "malformed_answer", Error, "The host's answer is malformed.",
        "See that the host is Odoo, and what stands before it.";
    /// Failing.
    ServerFailed = "server_failed", Error, "Odoo failed.", "Look into Odoo's log, and check again.";
    /// An old one.
    OdooTooOld = "odoo_too_old", Warning, "That Odoo is older than version 14, for which Pawl is not built.",
        "Upgrade Odoo; API keys came with 14.";
    /// A name that can't be sent.
    Unspeakable = "unspeakable", Error, "The database, user or secret holds a character that can't be sent.",
        "Forget the connection, and deposit it without that character.";
    /// The database.
    NoSuchDatabase = "no_such_database", Error, "There is no database of that name.",
        "Look at the database's name; deposit the connection anew.";
    /// The database, to a server that has to choose one.
    DatabaseNotSelected = "database_not_selected", Error,
        "Odoo offers no database of that name under that host name.",
        "Look at the database's name, and at Odoo's dbfilter; deposit the connection anew.";
    /// The date of the key.
    CredentialExpired = "credential_expired", Error, "The credential has ended by its own date; it was not sent.",
        "Make a new API key in Odoo, and replace the credential.";
    /// A server without passwords.
    PasswordNotTaken = "password_not_taken", Error, "That Odoo takes no password any more; it was not sent.",
        "Make an API key in Odoo, forget the connection, and deposit it with the key.";
    /// Somebody else's key.
    OtherUser = "other_user", Error, "The API key is good, but not of the user that was named.",
        "Look at the user name; deposit the connection anew with the key's own user.";
    /// A login by password.
    LoginRefused = "login_refused", Error,
        "Odoo refused the login: wrong user or password, or a user with two-factor authentication, of whom it takes API keys alone.",
        "Look at the user, and replace the password; with two-factor authentication, deposit an API key. It is not tried again by itself.";
    /// A login by key. Odoo says the same to all three.
    KeyRefused = "key_refused", Error,
        "Odoo refused the API key: it is wrong or of another user, has ended, or was made for another scope than RPC.",
        "Look at the user and their API keys, make a new one, and replace the credential; it is not tried again by itself.";
    /// A plan, or a user, without the API. Not recorded: told by rights that are refused at the login itself.
    NoExternalApi = "no_external_api", Error,
        "Odoo refuses its API at the login itself: a plan without external API, or a user who may not use it.",
        "On Odoo Online see that the plan includes the external API (Custom does); else look at the user's rights.";
    /// An app that is not there.
    ModelMissing = "model_missing", Warning, "The model is not there: its app is not installed.",
        "Install the app if its records are wanted.";
    /// Rights.
    NotAllowed = "not_allowed", Error, "The user may not read the model.",
        "Give the user a group that reads it, such as Accounting / Read-only.";
    /// A field that is not there.
    UnknownField = "unknown_field", Error, "That Odoo lacks one of the model's fields.",
        "Tell who runs Pawl which version of Odoo it is.";
    /// A record.
    RecordMissing = "record_missing", Error, "A record went away while it was read.", "Check again.";
    /// The query.
    QueryRefused = "query_refused", Error, "Odoo does not take the query.",
        "Tell who runs Pawl which version of Odoo it is.";
    /// Rights that can't be seen, or groups that nobody here knows.
    RightsUnknown = "rights_unknown", Warning,
        "What else the user may do can't be told: its groups can't be read, or one of them is none that Pawl knows.",
        "See in Odoo that the user has read-only groups alone.";
    /// The server's clock, or this machine's.
    ClockSkew = "clock_skew", Warning, "The host's clock and this machine's differ by more than two minutes.",
        "Set both by NTP: by which time things changed is how a sync knows what to read.";
    /// By the date of the deposit.
    CredentialExpiresSoon = "credential_expires_soon", Warning,
        "The credential ends by its own date within 14 days.",
        "Make a new API key in Odoo, and replace the credential.";
    /// By Odoo's own word.
    KeyExpiresSoon = "key_expires_soon", Warning, "An API key of the user ends in Odoo within 14 days.",
        "If it is this one, make a new API key in Odoo, and replace the credential.";
    /// An administrator.
    ReadsRights = "bot_reads_access_rights", Warning, "The user can read Odoo's access rights, as administrators can.",
        "Use a user of its own, with read-only groups alone.";
    /// A bookkeeper.
    MayWrite = "bot_may_write", Warning, "The user is of a group that writes, such as Invoicing, Contact Creation, Sales / User or Settings.",
        "Take the user out of such groups; Accounting / Read-only is enough.";
}

impl Code {
    /// The code of what ended a login with a credential of that kind.
    pub fn of_login(error: OdooError, kind: CredentialKind) -> Self {
        match error {
            // No model was asked for yet.
            OdooError::NotAllowed => Self::NoExternalApi,
            error => Self::of_call(error, kind),
        }
    }

    /// The same of a call after it.
    pub fn of_call(error: OdooError, kind: CredentialKind) -> Self {
        match error {
            OdooError::LoginRefused if kind == CredentialKind::ApiKey => Self::KeyRefused,
            error => Self::of(error),
        }
    }

    /// The code of what ended a call.
    pub fn of(error: OdooError) -> Self {
        match error {
            OdooError::LoginRefused => Self::LoginRefused,
            OdooError::OtherUser => Self::OtherUser,
            OdooError::PasswordNotTaken => Self::PasswordNotTaken,
            OdooError::NoSuchDatabase => Self::NoSuchDatabase,
            OdooError::DatabaseNotSelected => Self::DatabaseNotSelected,
            OdooError::ModelMissing => Self::ModelMissing,
            OdooError::NotAllowed => Self::NotAllowed,
            OdooError::RecordMissing => Self::RecordMissing,
            OdooError::UnknownField => Self::UnknownField,
            OdooError::QueryRefused => Self::QueryRefused,
            OdooError::ServerFailed => Self::ServerFailed,
            OdooError::NotOdoo => Self::NotOdoo,
            OdooError::ApiClosed => Self::ApiClosed,
            OdooError::KeptOut => Self::KeptOut,
            OdooError::TurnedAway => Self::TurnedAway,
            OdooError::Malformed => Self::Malformed,
            OdooError::Unspeakable => Self::Unspeakable,
            OdooError::Egress(EgressError::HostNotPublic) => Self::HostNotPublic,
            OdooError::Egress(EgressError::LookUpsFull) => Self::LookUpsFull,
            // A check holds nothing large.
            OdooError::Egress(EgressError::NoRoom) => Self::NotChecked,
            OdooError::Egress(EgressError::Connect) => Self::Connect,
            OdooError::Egress(EgressError::Tls) => Self::Tls,
            OdooError::Egress(EgressError::CertificateExpired) => Self::CertificateExpired,
            OdooError::Egress(EgressError::CertificateName) => Self::CertificateName,
            OdooError::Egress(EgressError::CertificateUnknown) => Self::CertificateUnknown,
            OdooError::Egress(EgressError::Timeout) => Self::Timeout,
            OdooError::Egress(EgressError::TooLarge) => Self::TooLarge,
            OdooError::Egress(EgressError::Redirected(_)) => Self::Redirected,
            OdooError::Egress(EgressError::Status(502..=504)) => Self::ProxyError,
            OdooError::Egress(EgressError::Status(_)) => Self::HttpStatus,
            OdooError::Egress(EgressError::Broken) => Self::BrokenOff,
            OdooError::Egress(EgressError::Proxy) => Self::EgressProxy,
            OdooError::Egress(EgressError::NoTls) => Self::NoTlsRoots,
        }
    }
}

/// One thing that a check found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The cause.
    pub code: Code,
    /// The model it is about, by the policy's name for it.
    pub model: Option<String>,
    /// The host that a redirect leads to: all that is ever told of what a server said.
    pub redirect: Option<String>,
}

impl Finding {
    /// Of no model.
    pub fn of(code: Code) -> Self {
        Self { code, model: None, redirect: None }
    }

    /// One plain sentence, after the model's name if it is about one.
    pub fn detail(&self) -> String {
        match (&self.model, &self.redirect) {
            (Some(model), _) => format!("{model}: {}", self.code.detail()),
            (None, Some(host)) => format!("{} It leads to {host}.", self.code.detail()),
            (None, None) => self.code.detail().to_owned(),
        }
    }
}
