//! Who speaks TLS: Pawl itself with a certificate from two files, a proxy on this host, or nobody.

use std::path::PathBuf;

use super::read::Settings;

/// Who speaks TLS with our callers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tls {
    /// Nobody: for loopback in embedded mode.
    Nobody,
    /// A proxy on this host.
    ProxyOnThisHost,
    /// The listener itself.
    Listener(TlsFiles),
}

/// Where the listener's certificate lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// The chain, PEM, our own certificate first.
    pub cert: PathBuf,
    /// Its private key, PEM: PKCS#8, SEC1 or PKCS#1.
    pub key: PathBuf,
}

impl Settings {
    pub(super) fn tls(&mut self) -> Tls {
        let is_proxied = self.choice("tls", &[("terminated-on-this-host", true)], false);
        let files = (self.text("tls_cert"), self.text("tls_key"));
        match (is_proxied, files) {
            (false, (None, None)) => Tls::Nobody,
            (true, (None, None)) => Tls::ProxyOnThisHost,
            (true, _) => {
                let both = "PAWL_TLS says that a proxy speaks TLS, PAWL_TLS_CERT and PAWL_TLS_KEY that Pawl does: \
                            set one or the other";
                self.wrong.push(both.into());
                Tls::ProxyOnThisHost
            }
            (false, (Some(cert), Some(key))) => {
                Tls::Listener(TlsFiles { cert: cert.into(), key: key.into() })
            }
            (false, (Some(_), None)) => {
                self.half("PAWL_TLS_CERT is set and PAWL_TLS_KEY is not: TLS takes both")
            }
            (false, (None, Some(_))) => {
                self.half("PAWL_TLS_KEY is set and PAWL_TLS_CERT is not: TLS takes both")
            }
        }
    }

    fn half(&mut self, rule: &str) -> Tls {
        self.wrong.push(rule.into());
        // Not `Nobody`, of which production would complain beside.
        Tls::ProxyOnThisHost
    }
}
