//! What the store's refusals mean here: no key, a key already there, one key's trouble, everybody's.
//! Of an answer its code and its sentence are told, never its body.

use std::error::Error;

use aws_sdk_secretsmanager::error::{ProvideErrorMetadata, SdkError};

/// How a call failed.
#[derive(Debug)]
pub(super) enum Fault {
    /// There is no such secret, or it is marked for deletion.
    Missing,
    /// There is a secret of that name.
    Taken,
    /// This secret can't be had; others may.
    Key(String),
    /// The store can't be had.
    Store(String),
}

/// What a failed `call` means. `quotes` says whether the store's sentence may be told: not of a call
/// that carried a key.
pub(super) fn of<E, R>(call: &'static str, error: &SdkError<E, R>, quotes: Quotes) -> Fault
where
    E: ProvideErrorMetadata + Error + 'static,
    R: std::fmt::Debug + 'static,
{
    let refused = match error {
        SdkError::ServiceError(answer) => answer.err(),
        SdkError::TimeoutError(_) => return Fault::Store(format!("{call}: no answer in time")),
        SdkError::ResponseError(_) => {
            return Fault::Store(format!("{call}: the answer is not Secrets Manager's"));
        }
        failed => return Fault::Store(format!("{call}: {}", chain(failed))),
    };
    let code = refused.code().unwrap_or("an error without a code");
    let message = refused.message().unwrap_or_default();
    let said = match quotes {
        Quotes::Message if !message.is_empty() => format!("{call}: {}: {}", plain(code), plain(message)),
        _ => format!("{call}: {}", plain(code)),
    };
    match code {
        // A secret that has no value yet is there all the same.
        "ResourceNotFoundException" if message.contains("staging label") => Fault::Key(said),
        "ResourceNotFoundException" => Fault::Missing,
        "ResourceExistsException" => Fault::Taken,
        "InvalidRequestException" if message.contains("marked") => Fault::Missing,
        "InvalidRequestException" if message.contains("scheduled for deletion") => Fault::Key(format!(
            "{call}: a secret of this name is scheduled for deletion: restore it, or delete it for good"
        )),
        "AccessDeniedException"
        | "DecryptionFailure"
        | "EncryptionFailure"
        | "InvalidParameterException"
        | "InvalidRequestException"
        | "LimitExceededException"
        | "ValidationException" => Fault::Key(said),
        "InvalidSignatureException" | "RequestExpired" | "RequestTimeTooSkewed" | "SignatureDoesNotMatch" => {
            Fault::Store(format!("{said} (is this machine's clock right, and its secret access key?)"))
        }
        _ => Fault::Store(said),
    }
}

/// Whether the store's own sentence is told.
#[derive(Clone, Copy)]
pub(super) enum Quotes {
    /// It can hold nothing secret.
    Message,
    /// It could quote what was sent.
    Nothing,
}

/// The causes behind an error, outermost first.
fn chain(error: &(dyn Error + 'static)) -> String {
    let mut said: Vec<String> = Vec::new();
    let mut at = error.source();
    while let Some(cause) = at {
        let text = plain(&cause.to_string());
        if said.last().is_none_or(|last| !last.ends_with(&text)) {
            said.push(text);
        }
        at = cause.source();
    }
    if said.is_empty() { plain(&error.to_string()) } else { plain(&said.join(": ")) }
}

/// One line of a bounded length, whoever wrote it.
fn plain(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(400).collect()
}
