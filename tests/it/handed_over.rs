//! What somebody hides who hands over an export, and is asked for the whole trail.

use pawl::audit::{Checkpoint, Hash, Kept, LogKey, Report, VerifierKey, link, verify_export};
use pawl::ids::OrgId;
use serde_json::{Value, json};

use crate::checkpoints::covered;
use crate::harness::{Answer, Home, Vault, deposit};
use crate::trail::dechunked;

/// An export, line by line.
pub struct Lines(pub Vec<String>);

impl Lines {
    pub fn of(vault: &Vault, query: &str) -> Self {
        let auditor = vault.token("acme", "auditor", "auditor");
        let path = format!("/v1/audit/export?format=jsonl{query}");
        Self(dechunked(&vault.call("GET", &path, &auditor, None)).lines().map(str::to_owned).collect())
    }

    pub fn text(&self) -> String {
        self.0.iter().map(|line| format!("{line}\n")).collect()
    }

    fn json(&self, at: usize) -> Value {
        serde_json::from_str(&self.0[at]).unwrap()
    }

    /// Another word in the first line, which stays as it was written.
    fn set(&mut self, name: &str, value: &Value) {
        let head = self.json(0);
        let member = |value: &Value| format!("\"{name}\":{value}");
        self.0[0] = self.0[0].replacen(&member(&head[name]), &member(value), 1);
    }

    /// Without the events before `first`.
    fn cut(&mut self, first: i64) {
        let at = usize::try_from(first - self.json(0)["first_seq"].as_i64().unwrap()).unwrap();
        let before = self.json(at)["hash"].clone();
        self.0.drain(1..=at);
        self.set("first_seq", &json!(first));
        self.set("prev_hash", &before);
    }

    /// With an event at its end, with the hash that it would have.
    fn append(&mut self, event: &Value) {
        let last = self.json(self.0.len() - 2);
        let (seq, before) = (last["seq"].as_i64().unwrap() + 1, last["hash"].as_str().unwrap());
        let prev = Hash::from_bytes(&crate::checkpoints::bytes(before)).unwrap();
        let (event, org) = (event.to_string(), OrgId::parse("acme").unwrap());
        let hash = link(Some(&org), seq, &prev, event.as_bytes());
        let line = format!(
            "{{\"seq\":{seq},\"event\":{},\"prev_hash\":\"{prev}\",\"hash\":\"{hash}\"}}",
            Value::String(event)
        );
        self.0.insert(self.0.len() - 1, line);
        self.set("last_seq", &json!(seq));
    }

    pub fn judge(&self, known: &Answer, kept: &Kept) -> Report {
        let key = VerifierKey::parse(&known.text("public_key")).unwrap();
        verify_export(|| Ok(std::io::Cursor::new(self.text())), &[key], kept).unwrap()
    }
}

pub fn deposits(vault: &Vault, names: &[&str]) {
    names.iter().for_each(|name| drop(vault.deposit_as("acme", "ada", &deposit(name, "s"))));
}

fn held(report: &Report) -> String {
    report.held.as_ref().unwrap().to_string()
}

/// Attack on P4.
#[test]
fn an_export_whose_beginning_was_cut_off_is_not_whole() {
    let vault = Vault::start();
    deposits(&vault, &["one", "two", "three"]);
    let known = covered(&vault, "acme");
    let mut kept = Kept::default();
    kept.add(&known.body).unwrap();
    let whole = Lines::of(&vault, "");
    let last = whole.json(0)["last_seq"].as_i64().unwrap();
    let report = whole.judge(&known, &kept);
    assert_eq!((report.wrong.as_slice(), held(&report)), (&[][..], format!("events 1 to {last} of acme")));
    let mut cut = Lines(whole.0.clone());
    cut.cut(4);
    let report = cut.judge(&known, &kept);
    assert!(report.wrong[0].starts_with("cut short: events up to 3 of acme are not here"), "{report:?}");
    assert_eq!(held(&report), format!("events 4 to {last} of acme"));
    // For who asked for no more it is whole, and no later one.
    for (expected, is_whole) in [(1, false), (3, false), (4, true), (9, true)] {
        kept.expect_from(Some(expected));
        assert_eq!(cut.judge(&known, &kept).wrong.is_empty(), is_whole, "{expected}");
    }
    kept.expect_from(None);
    // What lets go of the beginning is on record where the log speaks of it, and nowhere else.
    let hash = cut.json(0)["prev_hash"].clone();
    let prune = json!({"activity_name": "audit.prune", "pruned.first": "1", "pruned.hash": hash,
        "pruned.last": "3", "schema": "1", "subject": "3"});
    cut.append(&prune);
    let report = cut.judge(&known, &kept);
    assert!(report.wrong[0].contains("is past the last leaf"), "{report:?}");

    // The same on the command line.
    let file = vault.home.path().join("acme.jsonl");
    let key = known.text("public_key");
    let verify = |lines: &Lines, more: &[&str]| {
        std::fs::write(&file, lines.text()).unwrap();
        let mut command = vault.home.pawl(&[]);
        command.args(["audit", "verify", "--key", &key, "--export"]).arg(&file).args(more);
        let output = command.output().unwrap();
        (output.status.code().unwrap(), String::from_utf8(output.stdout).unwrap())
    };
    let (code, said) = verify(&whole, &[]);
    assert!(code == 0 && said.contains(&format!(" (events 1 to {last} of acme); ")), "{said}");
    let mut cut = Lines(whole.0.clone());
    cut.cut(3);
    let (code, said) = verify(&cut, &[]);
    assert!(code == 1 && said.contains("cut short: events up to 2 of acme"), "{said}");
    assert!(said.contains(" (events 3 to "), "{said}");
    assert!(said.contains("give --first-seq ") && said.contains("\nnot whole: 1 chains, "), "{said}");
    assert_eq!(verify(&cut, &["--first-seq", "3"]).0, 0);
    assert_eq!(verify(&cut, &["--first-seq", "2"]).0, 1);
}

/// Whoever holds the log's key signs another past, which no witness has seen.
/// Attack on P4.
#[test]
fn a_checkpoint_that_can_be_compared_with_nothing_proves_nothing() {
    let home = Home::new();
    let witness = home.path().join("witness");
    let address = format!("file:{}", witness.display());
    let vault = Vault::start_in(home, &[("PAWL_AUDIT_WITNESSES", &address)]);
    let mut answers = Vec::new();
    for name in ["one", "two", "three", "four"] {
        deposits(&vault, &[name]);
        answers.push(covered(&vault, "acme"));
    }
    let [first, older, .., newest] = &answers[..] else { panic!("{}", answers.len()) };
    let judge = |lines: &Lines, texts: &[&str]| {
        let mut kept = Kept::default();
        texts.iter().for_each(|text| kept.add(text).unwrap());
        lines.judge(newest, &kept).wrong
    };
    let whole = Lines::of(&vault, "");
    let last = whole.0.last().unwrap();
    let at = last.find(",\"witnessed\":").unwrap();
    let mut stripped = Lines(whole.0.clone());
    *stripped.0.last_mut().unwrap() = format!("{},\"witnessed\":null}}", &last[..at]);
    for lines in [&whole, &stripped] {
        assert_eq!(judge(lines, &[]), [""; 0]);
        // A bare note of another size says nothing that could be held against it.
        for note in [first.text("checkpoint"), older.text("checkpoint")] {
            for texts in [vec![note.as_str()], vec![&newest.body, &note]] {
                let wrong = judge(lines, &texts);
                assert!(wrong[0].starts_with("not proven: the checkpoint of size "), "{wrong:?}");
            }
        }
        // An answer says how far the chain had come, and what its checkpoint goes on from.
        assert_eq!(judge(lines, &[&first.body, &older.body, &newest.body]), [""; 0]);
        let witnessed = newest.json["witnessed"]["checkpoint"].as_str().unwrap();
        assert_eq!(judge(lines, &[&newest.body, witnessed]), [""; 0]);
    }
    // It can be exported so that it goes on from just that one, and from no other of that size.
    let size = VerifierKey::parse(&newest.text("public_key")).unwrap();
    let size = size.verify(&older.text("checkpoint")).unwrap().size;
    let mut since = Lines::of(&vault, &format!("&since_size={size}"));
    assert_eq!(judge(&since, &[&older.text("checkpoint")]), [""; 0]);
    assert!(judge(&since, &[&first.text("checkpoint")])[0].starts_with("not proven: "));
    let last = since.0.last_mut().unwrap();
    let at = last.find(",\"since\":").unwrap();
    let proof: Value = serde_json::from_str::<Value>(last).unwrap()["since"]["consistency"][0].clone();
    let forged = last[at..].replacen(proof.as_str().unwrap(), &"11".repeat(32), 1);
    last.replace_range(at.., &forged);
    assert!(judge(&since, &[&older.text("checkpoint")])[0].starts_with("rewritten: "));
    // Of a log that is shorter there is no such proof.
    let short = Lines::of(&vault, "&since_size=100000");
    assert!(!short.text().contains("since\":"));
    let auditor = vault.token("acme", "auditor", "auditor");
    for wrong in ["0", "-1", "+1", "x", "", "9999999999999999999"] {
        let path = format!("/v1/audit/export?format=jsonl&since_size={wrong}");
        let refused = vault.call("GET", &path, &auditor, None);
        assert_eq!((refused.status, refused.errors()), (422, vec!["since_size range".to_owned()]), "{wrong}");
    }
    // Of a chain's later stretch the older answers know no event.
    let mut cut = Lines(whole.0.clone());
    let seq = older.json["leaf"]["seq"].as_i64().unwrap();
    cut.cut(seq + 1);
    let mut kept = Kept::default();
    kept.expect_from(Some(seq + 1));
    kept.add(&older.body).unwrap();
    assert_eq!(cut.judge(newest, &kept).wrong, [""; 0], "its first line has the hash of that event");
    let mut kept = Kept::default();
    kept.expect_from(Some(seq + 1));
    kept.add(&first.body).unwrap();
    assert!(cut.judge(newest, &kept).wrong[0].starts_with("not proven: "));
    // Nor is a checkpoint of another log one of this.
    let other = LogKey::generate("other.example/audit/log").unwrap();
    let root = newest.json["leaf"]["hash"].as_str().unwrap();
    let root = Hash::from_bytes(&crate::checkpoints::bytes(root)).unwrap();
    let origin = other.verifier().origin().to_owned();
    let wrong = judge(&whole, &[&other.sign(&Checkpoint { origin, size: 1, root })]);
    assert!(wrong[0].contains("none of the checkpoints"), "{wrong:?}");
}
