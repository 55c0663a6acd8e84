//! TLS with a customer's host, held to the name that was typed and to the authorities of this machine.

use std::error::Error;
use std::sync::{Arc, OnceLock};

use rustls::ClientConfig;
use rustls::client::Resumption;
use rustls_platform_verifier::BuilderVerifierExt;

use crate::egress::error::EgressError;

/// What is shown to every host and asked of it, read from this machine once.
#[derive(Clone, Default)]
pub(super) struct Tls(Arc<OnceLock<Arc<ClientConfig>>>);

impl Tls {
    pub(super) fn config(&self) -> Result<Arc<ClientConfig>, EgressError> {
        if let Some(config) = self.0.get() {
            return Ok(config.clone());
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .and_then(BuilderVerifierExt::with_platform_verifier);
        let mut config = config.map_err(|_| EgressError::NoTls)?.with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        // A session that is taken up again shows no certificate.
        config.resumption = Resumption::disabled();
        Ok(self.0.get_or_init(|| Arc::new(config)).clone())
    }
}

/// Why TLS failed, if that is what lies behind `error`.
pub fn tls_cause(error: &(dyn Error + 'static)) -> Option<EgressError> {
    tls(error).or_else(|| error.source().and_then(tls_cause))
}

/// An io::Error shows its inside only by `get_ref`, its source() is the inside's source; and TLS
/// errors come wrapped in two of them.
fn tls(error: &(dyn Error + 'static)) -> Option<EgressError> {
    use rustls::CertificateError::{
        BadSignature, Expired, ExpiredContext, NotValidForName, NotValidForNameContext, NotValidYet,
        NotValidYetContext, UnknownIssuer,
    };
    if let Some(inside) = error.downcast_ref::<std::io::Error>().and_then(|io| io.get_ref()) {
        return tls(inside);
    }
    Some(match error.downcast_ref::<rustls::Error>()? {
        rustls::Error::InvalidCertificate(why) => match why {
            Expired | ExpiredContext { .. } | NotValidYet | NotValidYetContext { .. } => {
                EgressError::CertificateExpired
            }
            NotValidForName | NotValidForNameContext { .. } => EgressError::CertificateName,
            // An authority that has a known one's name alone is as unknown.
            UnknownIssuer | BadSignature => EgressError::CertificateUnknown,
            _ => EgressError::Tls,
        },
        _ => EgressError::Tls,
    })
}
