//! Notes against the pair that every implementation of signed notes is tested with, and against hostile ones.

use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::*;
use crate::audit::LogKey;
use crate::secret::Secret;

const PETER: &str = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
const PETERS_SEED: &str = "AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz";
const TEXT: &str =
    "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n";
const SIGNED: &str = "\n— PeterNeumann \
     x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";

fn pair(name: &str, seed: &[u8; 32]) -> LogKey {
    LogKey::from_seed(name, &Secret::new(URL_SAFE_NO_PAD.encode(seed))).unwrap()
}

#[test]
fn the_well_known_note_is_signed_byte_for_byte_and_verified() {
    let peter = VerifierKey::parse(PETER).unwrap();
    assert_eq!(peter.to_string(), PETER);
    let note = format!("{TEXT}{SIGNED}");
    assert_eq!(peter.open(&note), Ok(TEXT));
    let seed = STANDARD.decode(PETERS_SEED).unwrap();
    let key = pair("PeterNeumann", &seed[1..].try_into().unwrap());
    assert_eq!(*key.verifier(), peter);
    assert_eq!(key.sign_text(TEXT), note);
    // Right for a note, and no checkpoint.
    assert_eq!(peter.verify(&note), Err(NoteRefused::Malformed("no size")));
    assert_eq!(peter.open(&note.replace("answer", "solution")), Err(NoteRefused::WrongSignature));
}

#[test]
fn verifier_keys_are_taken_whole_or_not_at_all() {
    for at in 0..PETER.len() {
        assert!(VerifierKey::parse(&PETER[..at]).is_err(), "{}", &PETER[..at]);
        let mut changed = PETER.as_bytes().to_vec();
        changed[at] += 1;
        assert!(VerifierKey::parse(&String::from_utf8(changed).unwrap()).is_err(), "{at}");
    }
    // Of a length or a type that it is not, with the id that such a one would have.
    for wrong in [
        "PeterNeumann+cc469956+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TWBADKEY==",
        "PeterNeumann+173116ae+ZRpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
    ] {
        assert!(VerifierKey::parse(wrong).is_err(), "{wrong}");
    }
}

fn checkpoint() -> Checkpoint {
    Checkpoint { origin: "pawl.example/audit/log_1".into(), size: 7, root: crate::audit::leaf_hash(b"x") }
}

#[test]
fn a_checkpoint_comes_back_from_its_note_beside_others_signatures() {
    let (ours, other) = (pair("pawl.example/audit/log_1", &[1; 32]), pair("witness.example/w", &[2; 32]));
    let note = ours.sign(&checkpoint());
    assert_eq!(note.lines().count(), 5);
    assert_eq!(ours.verifier().verify(&note), Ok(checkpoint()));
    assert_eq!(Checkpoint::claimed(&note), Ok(checkpoint()));
    // Witnesses add their lines; a stranger under our name has another key id.
    let line = |key: &LogKey| key.sign(&checkpoint()).rsplit_once("\n\n").unwrap().1.to_owned();
    let stranger = pair("pawl.example/audit/log_1", &[3; 32]);
    let cosigned = format!("{note}{}{}", line(&other), line(&stranger));
    assert_eq!(ours.verifier().verify(&cosigned), Ok(checkpoint()));
    assert_eq!(stranger.verifier().verify(&note), Err(NoteRefused::NotSigned));
    // Extension lines of the text are not ours to read.
    let extended = ours.sign_text(&format!("{}more\n", checkpoint().text()));
    assert_eq!(ours.verifier().verify(&extended), Ok(checkpoint()));
    // A key that signed another log's checkpoint vouches for nothing here.
    let misused = pair("other.example/log", &[1; 32]).sign(&checkpoint());
    assert_eq!(pair("other.example/log", &[1; 32]).verifier().verify(&misused), Err(NoteRefused::OtherLog));
}

#[test]
fn hostile_notes_are_refused() {
    let ours = pair("pawl.example/audit/log_1", &[1; 32]);
    let note = ours.sign(&checkpoint());
    let key = ours.verifier();
    let signed = |text: String| ours.sign_text(&text);
    let (text, line) = (checkpoint().text(), note.rsplit_once("\n\n").unwrap().1.to_owned());
    let malformed: Vec<String> = vec![
        String::new(),
        "\n\n".into(),
        text.clone(),
        format!("{text}\n"),
        note.trim_end().into(),
        format!("{note}\n"),
        note.replace("— ", "- "),
        format!("{note}— nobody\n"),
        format!("{note}— nobody AAAA\n"),
        format!("{note}— no+body AAAAAAA=\n"),
        format!("{note}—  AAAAAAA=\n"),
        format!("{note}— nobody AAAAAAB\n"),
        note.replace('7', "7\r"),
        note.replace('7', "7\0"),
        format!("{note}{}", "— nobody AAAAAAA=\n".repeat(100)),
        format!("{}{note}", "x".repeat(MOST_NOTE_BYTES)),
        signed(text.replace("\n7\n", "\n07\n")),
        signed(text.replace("\n7\n", "\n+7\n")),
        signed(text.replace("\n7\n", "\n7 \n")),
        signed(text.replace("\n7\n", "\n18446744073709551616\n")),
        signed(text.replace("\n7\n", "\n\n")),
        signed(text.replace("=\n", "\n")),
        signed("pawl.example/audit/log_1\n7\nAAAA\n".into()),
        signed("pawl.example/audit/log_1\n7\n".into()),
    ];
    for hostile in &malformed {
        let refused = key.verify(hostile);
        assert!(matches!(refused, Err(NoteRefused::Malformed(_))), "{hostile:?}: {refused:?}");
    }
    for forged in [
        note.replace("\n7\n", "\n8\n"),
        note.replace("log_1\n7", "log_2\n7"),
        format!("{text}more\n\n{line}"),
        // A right signature does not make up for a wrong one by the same key.
        format!("{note}{}", signed("other\n".into()).rsplit_once("\n\n").unwrap().1),
    ] {
        assert_eq!(key.verify(&forged), Err(NoteRefused::WrongSignature), "{forged:?}");
    }
}
