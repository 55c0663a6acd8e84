//! Why Odoo did not answer with records, by cause. Known by fault codes, exception classes and HTTP
//! statuses: fault texts are translated and can quote anything, so none is kept.

use crate::egress::EgressError;
use crate::odoo::json::{Exception, JsonError};
use crate::odoo::readable::Model;
use crate::odoo::xmlrpc::{Fault, XmlError};

/// The cause.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OdooError {
    /// Wrong login, password or API key; or an API key that ended. Never tried again.
    #[error("Odoo refused the login: wrong user, password or API key, or an API key that ended")]
    LoginRefused,
    /// The key is good, and of somebody else than the connection names.
    #[error("the API key is not of the user that the connection names")]
    OtherUser,
    /// The server takes API keys alone.
    #[error("that Odoo takes no password any more; it wants an API key")]
    PasswordNotTaken,
    /// No database of that name there.
    #[error("there is no such database on that Odoo")]
    NoSuchDatabase,
    /// The server chose no database.
    #[error("that Odoo offers no database of that name to this host")]
    DatabaseNotSelected,
    /// The model is not installed.
    #[error("that Odoo does not have this model; its app is not installed")]
    ModelMissing,
    /// The user may not read it.
    #[error("the user may not read this model")]
    NotAllowed,
    /// A record went away while it was read.
    #[error("a record went away while it was read")]
    RecordMissing,
    /// This version lacks a field.
    #[error("that Odoo does not have one of the fields")]
    UnknownField,
    /// Odoo does not take the query.
    #[error("Odoo does not take this query")]
    QueryRefused,
    /// Something failed there.
    #[error("Odoo failed")]
    ServerFailed,
    /// The host is no Odoo.
    #[error("the host does not answer as Odoo does")]
    NotOdoo,
    /// An Odoo, or a proxy before it, that does not have the paths of its API.
    #[error("that Odoo's API is closed off: the host does not have its paths")]
    ApiClosed,
    /// What stands before an Odoo answers for it, to those who have not logged in.
    #[error("what stands before that Odoo lets nobody in")]
    KeptOut,
    /// The same, to those who have: the secret was shown, and it is not told who judged it.
    #[error("what stands before that Odoo turned the login away")]
    TurnedAway,
    /// No answer of that format, or not the one to this call.
    #[error("Odoo's answer is malformed")]
    Malformed,
    /// A value that can't be said.
    #[error("the database, user or secret holds a character that can't be sent")]
    Unspeakable,
    /// The way there.
    #[error(transparent)]
    Egress(#[from] EgressError),
}

impl OdooError {
    /// Its stable name.
    pub fn code(self) -> &'static str {
        match self {
            Self::LoginRefused => "login_refused",
            Self::OtherUser => "other_user",
            Self::PasswordNotTaken => "password_not_taken",
            Self::NoSuchDatabase => "no_such_database",
            Self::DatabaseNotSelected => "database_not_selected",
            Self::ModelMissing => "model_missing",
            Self::NotAllowed => "not_allowed",
            Self::RecordMissing => "record_missing",
            Self::UnknownField => "unknown_field",
            Self::QueryRefused => "query_refused",
            Self::ServerFailed => "server_failed",
            Self::NotOdoo => "not_odoo",
            Self::ApiClosed => "api_closed",
            Self::KeptOut => "kept_out",
            Self::TurnedAway => "turned_away",
            Self::Malformed => "malformed_answer",
            Self::Unspeakable => "unspeakable",
            Self::Egress(EgressError::HostNotPublic) => "host_not_public",
            Self::Egress(EgressError::LookUpsFull) => "look_ups_full",
            Self::Egress(EgressError::NoRoom) => "no_room",
            Self::Egress(EgressError::Connect) => "connect",
            Self::Egress(EgressError::Tls) => "tls",
            Self::Egress(EgressError::CertificateExpired) => "certificate_expired",
            Self::Egress(EgressError::CertificateName) => "certificate_name",
            Self::Egress(EgressError::CertificateUnknown) => "certificate_unknown",
            Self::Egress(EgressError::Timeout) => "timeout",
            Self::Egress(EgressError::TooLarge) => "too_large",
            Self::Egress(EgressError::Redirected(_)) => "redirected",
            Self::Egress(EgressError::Status(_)) => "http_status",
            Self::Egress(EgressError::Broken) => "broken_off",
            Self::Egress(EgressError::Proxy) => "egress_proxy",
            Self::Egress(EgressError::NoTls) => "no_tls_roots",
        }
    }

    /// Whether it says that the credential opens nothing there that the connection names: not to be tried again.
    pub fn is_refusal(self) -> bool {
        matches!(self, Self::LoginRefused | Self::OtherUser)
    }

    /// Whether the same call may go well a moment later.
    pub fn retryable(self) -> bool {
        match self {
            Self::ServerFailed | Self::RecordMissing => true,
            // A name that no resolver could look up just now ends as "not public" too.
            Self::Egress(
                EgressError::HostNotPublic
                | EgressError::LookUpsFull
                | EgressError::NoRoom
                | EgressError::Connect
                | EgressError::Timeout
                | EgressError::Broken
                | EgressError::Proxy,
            ) => true,
            Self::Egress(EgressError::Status(status)) => matches!(status, 429 | 500 | 502 | 503 | 504),
            Self::LoginRefused
            | Self::OtherUser
            | Self::PasswordNotTaken
            | Self::NoSuchDatabase
            | Self::DatabaseNotSelected
            | Self::ModelMissing
            | Self::NotAllowed
            | Self::UnknownField
            | Self::QueryRefused
            | Self::NotOdoo
            | Self::ApiClosed
            | Self::KeptOut
            | Self::TurnedAway
            | Self::Malformed
            | Self::Unspeakable
            | Self::Egress(
                EgressError::Tls
                | EgressError::CertificateExpired
                | EgressError::CertificateName
                | EgressError::CertificateUnknown
                | EgressError::TooLarge
                | EgressError::Redirected(_)
                | EgressError::NoTls,
            ) => false,
        }
    }

    /// The cause of a fault; `asked` is the model that the call named, if it named one. Codes (Odoo's
    /// `http.py` and the recordings): 1 unforeseen, with a traceback; 2 user, missing-record and
    /// validation errors; 3 access denied, the login; 4 access error, the rights.
    pub fn of_fault(fault: &Fault, asked: Option<&Model>) -> Self {
        match fault.code {
            3 => Self::LoginRefused,
            4 => Self::NotAllowed,
            2 => Self::of_user_error(&fault.text, asked),
            _ => Self::of_traceback(&fault.text),
        }
    }

    /// The cause of an exception that JSON tells by its class; `asked` is as above.
    pub(super) fn of_exception(told: &Exception, asked: Option<&Model>) -> Self {
        match told.class.as_str() {
            "odoo.exceptions.AccessDenied" | "werkzeug.exceptions.Unauthorized" => Self::LoginRefused,
            "odoo.exceptions.AccessError" | "werkzeug.exceptions.Forbidden" => Self::NotAllowed,
            "odoo.exceptions.MissingError" => Self::RecordMissing,
            // Of the two that JSON-2 looks for, the methods are always there.
            "werkzeug.exceptions.NotFound" => Self::ModelMissing,
            "werkzeug.exceptions.UnprocessableEntity" | "werkzeug.exceptions.BadRequest" => {
                Self::QueryRefused
            }
            class if class.starts_with("odoo.exceptions.") => Self::of_user_error(&told.said, asked),
            class => Self::of_class(class.strip_prefix("builtins.").unwrap_or(class), &told.said),
        }
    }

    /// What Odoo tells its users in words alone.
    fn of_user_error(said: &str, asked: Option<&Model>) -> Self {
        // In English; and in the user's language, which keeps the model's name.
        if said.starts_with("Object ") || asked.is_some_and(|model| has_word(said, model.name())) {
            return Self::ModelMissing;
        }
        Self::QueryRefused
    }

    /// By the class of the exception that ended the traceback: it begins the first line after the
    /// last frame. What follows may be more of its text, or PostgreSQL's `DETAIL` and `HINT`.
    fn of_traceback(text: &str) -> Self {
        let after_frames = text.rfind("\n  File \"").and_then(|at| text.get(at + 1..)).unwrap_or(text);
        let last = after_frames
            .lines()
            .find(|line| line.starts_with(|c: char| c.is_ascii_alphabetic()))
            .unwrap_or_default();
        let (class, said) = last.split_once(": ").unwrap_or((last, ""));
        Self::of_class(class, said)
    }

    fn of_class(class: &str, said: &str) -> Self {
        match class {
            "psycopg2.OperationalError"
                if said.contains("database \"") && said.contains("\" does not exist") =>
            {
                Self::NoSuchDatabase
            }
            "ValueError" if said.starts_with("Invalid field ") => Self::UnknownField,
            "ValueError" | "TypeError" | "AttributeError" => Self::QueryRefused,
            class if class.starts_with("psycopg2.errors.Invalid") => Self::QueryRefused,
            _ => Self::ServerFailed,
        }
    }
}

/// Whether `text` has `name` as a word of its own. In brackets, or before one, it says of which model
/// a record or a constraint is; with a point before or after, it is part of another name.
fn has_word(text: &str, name: &str) -> bool {
    let joins = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '(' | ')');
    text.match_indices(name).any(|(at, _)| {
        let before = text.get(..at).and_then(|before| before.chars().next_back());
        let after = text.get(at + name.len()..).and_then(|after| after.chars().next());
        !before.is_some_and(joins) && !after.is_some_and(joins)
    })
}

impl From<JsonError> for OdooError {
    fn from(error: JsonError) -> Self {
        match error {
            JsonError::Malformed(_) => Self::Malformed,
            JsonError::Limit(_) => Self::Egress(EgressError::TooLarge),
        }
    }
}

impl From<XmlError> for OdooError {
    fn from(error: XmlError) -> Self {
        match error {
            XmlError::Unspeakable => Self::Unspeakable,
            XmlError::OtherModel => Self::QueryRefused,
            XmlError::Malformed(_) => Self::Malformed,
            XmlError::Limit(_) => Self::Egress(EgressError::TooLarge),
        }
    }
}
