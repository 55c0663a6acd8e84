//! Checkpoints of a log as C2SP writes them (`signed-note`, `tlog-checkpoint`): a text with the log's origin, size and
//! root, and under it who signed. Only what a known key signed is believed.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::signature::{ED25519, UnparsedPublicKey};
use sha2::{Digest, Sha256};

use crate::audit::chain::Hash;

/// A note is refused beyond that; C2SP asks to take 16 signatures, of up to nearly 5 kB.
pub const MOST_NOTE_BYTES: usize = 128 * 1024;
const MOST_SIGNATURES: usize = 100;
/// The signature type of Ed25519.
pub(super) const ED25519_TYPE: u8 = 1;
const ED25519_BYTES: usize = 64;

/// What a log says of itself: how many leaves it has, and the root over them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// Which log.
    pub origin: String,
    /// How many leaves.
    pub size: u64,
    /// The root over them.
    pub root: Hash,
}

impl Checkpoint {
    /// The text that is signed: `origin\nsize\nbase64(root)\n`.
    pub fn text(&self) -> String {
        format!("{}\n{}\n{}\n", self.origin, self.size, STANDARD.encode(self.root.as_bytes()))
    }

    /// Reads the text. Lines after the third are others' extensions, and say nothing here.
    fn parse(text: &str) -> Result<Self, NoteRefused> {
        let malformed = |what| NoteRefused::Malformed(what);
        let mut lines = text.strip_suffix('\n').ok_or(malformed("the text has no end"))?.split('\n');
        let mut line = || lines.next().filter(|line| !line.is_empty());
        let origin = line().ok_or(malformed("no origin"))?;
        let size = line().and_then(whole_number).ok_or(malformed("no size"))?;
        let root =
            line().and_then(|line| STANDARD.decode(line).ok()).and_then(|root| Hash::from_bytes(&root));
        let root = root.ok_or(malformed("no root hash"))?;
        if lines.any(str::is_empty) {
            return Err(malformed("an empty line in the text"));
        }
        Ok(Self { origin: origin.to_owned(), size, root })
    }

    /// Whether an Ed25519 signature under `note` bears the very name of the log. Whether it is one is not known here.
    pub fn is_signed_by_its_own(note: &str) -> bool {
        let Ok(Note { text, signatures }) = Note::parse(note) else { return false };
        let Ok(Self { origin, .. }) = Self::parse(text) else { return false };
        signatures.iter().any(|of| of.name == origin && of.bytes.len() == ED25519_BYTES)
    }

    /// What an unproven note claims: only to choose the key that it is to be verified with.
    pub fn claimed(note: &str) -> Result<Self, NoteRefused> {
        Self::parse(Note::parse(note)?.text)
    }
}

/// A decimal without a sign or leading zeros.
fn whole_number(text: &str) -> Option<u64> {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    if is_plain { text.parse().ok() } else { None }
}

/// Why a note is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoteRefused {
    /// It is no note, or no checkpoint.
    #[error("no signed checkpoint: {0}")]
    Malformed(&'static str),
    /// None of its signatures is by this key.
    #[error("not signed by this log's key")]
    NotSigned,
    /// A signature that says to be by this key is not.
    #[error("the signature is not that of this log's key")]
    WrongSignature,
    /// This key signed for another log.
    #[error("the checkpoint of another log")]
    OtherLog,
}

/// Text and signatures of a note, of which nothing is verified yet.
struct Note<'a> {
    text: &'a str,
    signatures: Vec<Signature<'a>>,
}

struct Signature<'a> {
    name: &'a str,
    id: [u8; 4],
    bytes: Vec<u8>,
}

impl<'a> Note<'a> {
    fn parse(note: &'a str) -> Result<Self, NoteRefused> {
        let malformed = NoteRefused::Malformed;
        if note.len() > MOST_NOTE_BYTES {
            return Err(malformed("too long"));
        }
        if note.bytes().any(|byte| byte < b' ' && byte != b'\n') {
            return Err(malformed("a control character"));
        }
        let (text, signatures) = note.rsplit_once("\n\n").ok_or(malformed("no signatures"))?;
        let text = note.get(..=text.len()).ok_or(malformed("no text"))?;
        let lines = signatures.strip_suffix('\n').ok_or(malformed("the last line has no end"))?;
        let signatures: Vec<_> = lines.split('\n').take(MOST_SIGNATURES + 1).map(Signature::parse).collect();
        if signatures.len() > MOST_SIGNATURES {
            return Err(malformed("too many signatures"));
        }
        let signatures = signatures.into_iter().collect::<Option<_>>();
        Ok(Self { text, signatures: signatures.ok_or(malformed("a line that is no signature"))? })
    }
}

impl<'a> Signature<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        let (name, signature) = line.strip_prefix("— ")?.split_once(' ')?;
        let signature = STANDARD.decode(signature).ok()?;
        let (id, bytes) = signature.split_first_chunk()?;
        (is_name(name) && !bytes.is_empty()).then(|| Self { name, id: *id, bytes: bytes.to_vec() })
    }
}

/// Whether `line`, without its end, is a signature as a note ends with.
pub fn is_signature(line: &str) -> bool {
    Signature::parse(line).is_some()
}

/// A key's name: not empty, without Unicode spaces and `+`.
pub(super) fn is_name(name: &str) -> bool {
    !name.is_empty() && !name.contains(|c: char| c.is_whitespace() || c.is_control() || c == '+')
}

/// The public key of a log, with the log's origin as its name: `name+hex(key id)+base64(0x01 ‖ public key)`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifierKey {
    name: String,
    public: [u8; 32],
}

/// The text is no such key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no verifier key: it looks like origin+0123abcd+base64 and is an Ed25519 key")]
pub struct VerifierKeyRefused;

impl VerifierKey {
    pub(super) fn new(name: &str, public: [u8; 32]) -> Self {
        Self { name: name.to_owned(), public }
    }

    /// Reads the key's text.
    pub fn parse(text: &str) -> Result<Self, VerifierKeyRefused> {
        let mut parts = text.splitn(3, '+');
        let (Some(name), Some(id), Some(key)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(VerifierKeyRefused);
        };
        let key = STANDARD.decode(key).map_err(|_| VerifierKeyRefused)?;
        let Some((&ED25519_TYPE, public)) = key.split_first() else { return Err(VerifierKeyRefused) };
        let key = Self::new(name, public.try_into().map_err(|_| VerifierKeyRefused)?);
        if is_name(name) && id == hex(&key.id()) { Ok(key) } else { Err(VerifierKeyRefused) }
    }

    /// Which log's it is.
    pub fn origin(&self) -> &str {
        &self.name
    }

    /// `SHA-256(name ‖ 0x0A ‖ 0x01 ‖ public key)[:4]`.
    pub(super) fn id(&self) -> [u8; 4] {
        let digest = Sha256::new().chain_update(&self.name).chain_update([b'\n', ED25519_TYPE]);
        let digest = digest.chain_update(self.public).finalize();
        std::array::from_fn(|at| digest[at])
    }

    /// The checkpoint of `note`, if this key signed it for its own log. Signatures of other keys say nothing.
    pub fn verify(&self, note: &str) -> Result<Checkpoint, NoteRefused> {
        let checkpoint = Checkpoint::parse(self.open(note)?)?;
        if checkpoint.origin == self.name { Ok(checkpoint) } else { Err(NoteRefused::OtherLog) }
    }

    /// The text of `note`, if this key signed it.
    fn open<'a>(&self, note: &'a str) -> Result<&'a str, NoteRefused> {
        let Note { text, signatures } = Note::parse(note)?;
        let id = self.id();
        let mut ours = signatures.iter().filter(|of| of.name == self.name && of.id == id).peekable();
        if ours.peek().is_none() {
            return Err(NoteRefused::NotSigned);
        }
        let key = UnparsedPublicKey::new(&ED25519, self.public);
        if ours.all(|of| key.verify(text.as_bytes(), &of.bytes).is_ok()) {
            Ok(text)
        } else {
            Err(NoteRefused::WrongSignature)
        }
    }
}

impl fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key: Vec<u8> = [ED25519_TYPE].into_iter().chain(self.public).collect();
        write!(f, "{}+{}+{}", self.name, hex(&self.id()), STANDARD.encode(key))
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests;
