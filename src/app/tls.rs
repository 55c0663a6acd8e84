//! The certificate that the listener shows: held against its key, its name and the time before it is used,
//! and read again when its files change. What can't be used never takes the place of what is in use.

use std::fmt;
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use rustls::ServerConfig;
use rustls::client::verify_server_name;
use rustls::crypto::ring::sign::any_supported_type;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::{ClientHello, ParsedCertificate, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use sha2::{Digest, Sha256};
use x509_cert::Certificate as X509;
use x509_cert::der::Decode;
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;
use zeroize::{Zeroize, Zeroizing};

use crate::clock::{Clock, Moment};
use crate::config::TlsFiles;
use crate::metrics;

/// Why a certificate is not shown. Names the file and the rule, nothing of what is in it.
#[derive(Debug, thiserror::Error)]
pub enum TlsRefused {
    /// A file can't be read.
    #[error("{setting}: {path} can't be read: {kind}")]
    Unreadable {
        /// The setting that names it.
        setting: &'static str,
        /// The file.
        path: PathBuf,
        /// The system's word.
        kind: ErrorKind,
    },
    /// Somebody else may read or change the key.
    #[error(
        "PAWL_TLS_KEY: {path} can be read by everybody or changed by its group (mode {mode:03o}): chmod 600 it, or 640"
    )]
    Open {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// Not PEM, or without what is wanted.
    #[error("{setting}: {path} holds no {wanted} in PEM")]
    Form {
        /// The setting that names it.
        setting: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wanted.
        wanted: &'static str,
    },
    /// The key is another certificate's, or of a kind that TLS here does not take.
    #[error(
        "PAWL_TLS_KEY: the key does not belong to the certificate in PAWL_TLS_CERT, or is of no kind that Pawl takes"
    )]
    OtherKey,
    /// The certificate is over, or not yet there.
    #[error("PAWL_TLS_CERT: the certificate is good from {from} to {to}, not now")]
    NotNow {
        /// Not before.
        from: Moment,
        /// Not after.
        to: Moment,
    },
    /// It is for another name.
    #[error("PAWL_TLS_CERT: the certificate is not for the host of PAWL_PUBLIC_URL")]
    OtherName,
}

/// A certificate with its key, good to be shown.
pub struct Certificate {
    key: Arc<CertifiedKey>,
    names: Vec<String>,
    not_after: Moment,
}

impl Certificate {
    /// Reads both files. `public_url`'s host, if it is an https one, must be among the names.
    pub fn read(files: &TlsFiles, public_url: &str, now: Moment) -> Result<Self, TlsRefused> {
        Self::of(&Pair::read(files)?, files, public_url, now)
    }

    /// The hosts that it is for.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// Until when it is good.
    pub fn not_after(&self) -> Moment {
        self.not_after
    }

    fn of(pair: &Pair, files: &TlsFiles, public_url: &str, now: Moment) -> Result<Self, TlsRefused> {
        let form = |setting, path: &Path, wanted| TlsRefused::Form { setting, path: path.into(), wanted };
        let no_chain = || form("PAWL_TLS_CERT", &files.cert, "certificate");
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pair.cert).collect();
        let chain = chain.map_err(|_| no_chain())?;
        let own = chain.first().ok_or_else(no_chain)?;
        let parsed = X509::from_der(own).map_err(|_| no_chain())?;
        let name = ParsedCertificate::try_from(own).map_err(|_| no_chain())?;

        let validity = parsed.tbs_certificate.validity;
        let moment = |since: Duration| Moment::from_micros(0).after(since);
        let from = moment(validity.not_before.to_unix_duration());
        let to = moment(validity.not_after.to_unix_duration());
        if let Some(host) = https_host(public_url) {
            verify_server_name(&name, &host).map_err(|_| TlsRefused::OtherName)?;
        }
        let mut key = PrivateKeyDer::from_pem_slice(&pair.key)
            .map_err(|_| form("PAWL_TLS_KEY", &files.key, "private key"))?;
        let signing = any_supported_type(&key);
        key.zeroize();
        let certified = CertifiedKey::new(chain, signing.map_err(|_| TlsRefused::OtherKey)?);
        certified.keys_match().map_err(|_| TlsRefused::OtherKey)?;
        // Last: what is only early is taken later, so nothing else may be wrong with it.
        if now < from || now > to {
            return Err(TlsRefused::NotNow { from, to });
        }
        Ok(Self { key: Arc::new(certified), names: names(&parsed), not_after: to })
    }
}

/// Its names of hosts, as it writes them; addresses are left out.
fn names(certificate: &X509) -> Vec<String> {
    let found = certificate.tbs_certificate.get::<SubjectAltName>().ok().flatten();
    let names = found.into_iter().flat_map(|(_, names)| names.0);
    names
        .filter_map(|name| if let GeneralName::DnsName(name) = name { Some(name.to_string()) } else { None })
        .collect()
}

fn https_host(public_url: &str) -> Option<ServerName<'static>> {
    let url = url::Url::parse(public_url).ok().filter(|url| url.scheme() == "https")?;
    let host = url.host_str()?.trim_start_matches('[').trim_end_matches(']').to_owned();
    ServerName::try_from(host).ok()
}

/// The bytes of both files.
struct Pair {
    cert: Vec<u8>,
    key: Zeroizing<Vec<u8>>,
}

impl Pair {
    /// A key that everybody may read is no key; its group may, since that is how a secret is mounted for a
    /// process that does not own it (`0440`, of a group that is the process's alone).
    fn read(files: &TlsFiles) -> Result<Self, TlsRefused> {
        let unreadable = |setting, path: &Path| {
            let path = path.to_owned();
            move |e: std::io::Error| TlsRefused::Unreadable { setting, path, kind: e.kind() }
        };
        let cert = std::fs::read(&files.cert).map_err(unreadable("PAWL_TLS_CERT", &files.cert))?;
        let mode = std::fs::metadata(&files.key).map_err(unreadable("PAWL_TLS_KEY", &files.key))?;
        let mode = mode.permissions().mode() & 0o777;
        if mode & 0o027 != 0 {
            return Err(TlsRefused::Open { path: files.key.clone(), mode });
        }
        let key = std::fs::read(&files.key).map_err(unreadable("PAWL_TLS_KEY", &files.key))?;
        Ok(Self { cert, key: Zeroizing::new(key) })
    }

    fn digest(&self) -> [u8; 32] {
        let key = Sha256::digest(&*self.key);
        Sha256::new().chain_update(Sha256::digest(&self.cert)).chain_update(key).finalize().into()
    }
}

/// The files as they were when they were last judged.
#[derive(Default)]
struct Judged {
    digest: Option<[u8; 32]>,
    /// They hold what is not good yet: what is refused now is taken later.
    is_early: bool,
    /// On how many days before its end the certificate in use was spoken of.
    days_told: Option<u64>,
}

/// A certificate that ends sooner is spoken of, once a day.
pub const SOON_DAYS: u64 = 14;

/// The certificate in use, for every handshake.
pub(super) struct Shown {
    now: RwLock<Certificate>,
    judged: Mutex<Judged>,
    files: TlsFiles,
    public_url: String,
    clock: Clock,
}

/// What became of a look at the files.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Looked {
    /// They are as they were.
    Same,
    /// The new certificate is shown from now on.
    Taken,
    /// They can't be used; the old one is still shown.
    Refused,
}

impl Shown {
    /// Reads the files for the first time.
    pub(super) fn open(files: &TlsFiles, public_url: &str, clock: Clock) -> Result<Self, TlsRefused> {
        let pair = Pair::read(files)?;
        let first = Certificate::of(&pair, files, public_url, clock.now())?;
        metrics::certificate_ends(first.not_after);
        Ok(Self {
            now: RwLock::new(first),
            judged: Mutex::new(Judged { digest: Some(pair.digest()), ..Judged::default() }),
            files: files.clone(),
            public_url: public_url.to_owned(),
            clock,
        })
    }

    /// How the listener speaks: TLS 1.2 and 1.3 by ring, HTTP/1.1.
    pub(super) fn server_config(self: &Arc<Self>) -> Result<ServerConfig, rustls::Error> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_cert_resolver(self.clone());
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(config)
    }

    /// Until when the one in use is good.
    pub(super) fn not_after(&self) -> Moment {
        self.now.read().unwrap_or_else(PoisonError::into_inner).not_after
    }

    /// Looks whether the files changed since they were last judged, and takes them if they can be used. Of
    /// a pair that is half replaced the key does not fit, so it is not taken until the other half is there.
    pub(super) fn look(&self) -> Looked {
        let mut judged = self.judged.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.clock.now();
        let read = Pair::read(&self.files).map(|pair| (pair.digest(), pair));
        let digest = read.as_ref().ok().map(|(digest, _)| *digest);
        let is_new = judged.digest != digest;
        let looked = if is_new || judged.is_early {
            let new = read.and_then(|(_, pair)| Certificate::of(&pair, &self.files, &self.public_url, now));
            judged.is_early = matches!(&new, Err(TlsRefused::NotNow { from, .. }) if *from > now);
            judged.digest = digest;
            self.take(new, is_new)
        } else {
            Looked::Same
        };
        let days = self.not_after().since(now).as_secs() / (24 * 60 * 60);
        if days >= SOON_DAYS {
            judged.days_told = None;
        } else if judged.days_told != Some(days) {
            judged.days_told = Some(days);
            tracing::warn!(days, good_until = %self.not_after(), "the listener's certificate ends soon, or has ended");
        }
        looked
    }

    fn take(&self, new: Result<Certificate, TlsRefused>, is_new: bool) -> Looked {
        match new {
            Ok(new) => {
                tracing::info!(good_until = %new.not_after, "the listener shows a new certificate");
                metrics::certificate_ends(new.not_after);
                *self.now.write().unwrap_or_else(PoisonError::into_inner) = new;
                Looked::Taken
            }
            // Known to be early: said once, not at every look.
            Err(_) if !is_new => Looked::Refused,
            Err(refused) => {
                let good_until = self.not_after();
                tracing::error!(%refused, %good_until, "the listener keeps the certificate that it has");
                Looked::Refused
            }
        }
    }
}

impl ResolvesServerCert for Shown {
    fn resolve(&self, _: ClientHello) -> Option<Arc<CertifiedKey>> {
        Some(self.now.read().unwrap_or_else(PoisonError::into_inner).key.clone())
    }
}

impl fmt::Debug for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shown").field("not_after", &self.not_after()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair, date_time_ymd};

    use super::*;

    fn lay(dir: &Path, from: i32, to: i32) -> TlsFiles {
        let files = TlsFiles { cert: dir.join("cert"), key: dir.join("key") };
        let mut params = CertificateParams::new(vec!["a.example".into(), "b.example".into()]).unwrap();
        (params.not_before, params.not_after) = (date_time_ymd(from, 1, 1), date_time_ymd(to, 1, 1));
        let key = KeyPair::generate().unwrap();
        std::fs::write(&files.cert, params.self_signed(&key).unwrap().pem()).unwrap();
        std::fs::write(&files.key, key.serialize_pem()).unwrap();
        std::fs::set_permissions(&files.key, std::fs::Permissions::from_mode(0o600)).unwrap();
        files
    }

    #[test]
    fn one_that_is_not_good_yet_is_taken_when_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let clock = Clock::held(Moment::parse("2026-12-31T00:00:00Z").unwrap());
        let files = lay(dir.path(), 2026, 2028);
        let shown = Shown::open(&files, "https://b.example", clock.clone()).unwrap();
        assert_eq!(shown.look(), Looked::Same);
        lay(dir.path(), 2027, 2029);
        assert_eq!((shown.look(), shown.look()), (Looked::Refused, Looked::Refused));
        assert_eq!(shown.not_after().to_string(), "2028-01-01T00:00:00.000000Z");
        clock.advance(Duration::from_secs(24 * 60 * 60));
        assert_eq!((shown.look(), shown.look()), (Looked::Taken, Looked::Same));
        assert_eq!(shown.not_after().to_string(), "2029-01-01T00:00:00.000000Z");
        assert_eq!(shown.now.read().unwrap().names(), ["a.example", "b.example"]);
        // one that is early and whose key is another's is not waited for
        let files = lay(dir.path(), 2030, 2031);
        std::fs::write(&files.key, KeyPair::generate().unwrap().serialize_pem()).unwrap();
        assert_eq!((shown.look(), shown.look()), (Looked::Refused, Looked::Same));
        // one that is over is never taken, and looked at no more
        lay(dir.path(), 2020, 2021);
        assert_eq!((shown.look(), shown.look()), (Looked::Refused, Looked::Same));
    }
}
