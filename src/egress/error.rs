//! Why a call did not go through.

/// The cause. Holds nothing of the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EgressError {
    /// Private, refused or not there: one cause, so that it tells nothing about anybody's network.
    #[error("the host is not public, or does not exist")]
    HostNotPublic,
    /// Too many names are being looked up, by the org or in all.
    #[error("too many names are being looked up just now")]
    LookUpsFull,
    /// Too many large answers are held.
    #[error("there is no room for an answer so large just now")]
    NoRoom,
    /// No connection.
    #[error("the host takes no connection")]
    Connect,
    /// No TLS, or none that both speak.
    #[error("TLS with the host failed: its certificate, its name or its version")]
    Tls,
    /// A certificate whose time is over, or has not begun.
    #[error("the host's certificate has expired, or is not valid yet")]
    CertificateExpired,
    /// A certificate for another name.
    #[error("the host's certificate is for another name")]
    CertificateName,
    /// A certificate of an authority that this machine does not know.
    #[error("the host's certificate is of an authority that this machine does not know")]
    CertificateUnknown,
    /// Too slow.
    #[error("the host did not answer in time")]
    Timeout,
    /// Too much: of headers, or of a body once it is unpacked.
    #[error("the answer is larger than allowed")]
    TooLarge,
    /// A redirect, which is never followed.
    #[error("the host redirects (HTTP {0}); give the address that it redirects to")]
    Redirected(u16),
    /// Another status than 200.
    #[error("the host answered HTTP {0}")]
    Status(u16),
    /// The connection broke, or the answer was no HTTP.
    #[error("the connection broke off")]
    Broken,
    /// The operator's proxy lets nothing through.
    #[error("the proxy between Pawl and the internet lets nothing through")]
    Proxy,
    /// This machine has no TLS to offer.
    #[error("no TLS root certificates on this machine (Debian: ca-certificates)")]
    NoTls,
}
