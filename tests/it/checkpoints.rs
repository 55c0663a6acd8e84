//! The log over all chains, verified as a customer would: by its notes and proofs, with its public key alone.

use std::time::Duration;

use pawl::audit::{Checkpoint, Hash, LogKey, VerifierKey, leaf, verify_consistency, verify_inclusion};
use pawl::ids::OrgId;
use serde_json::Value;

use crate::database::on_postgres;
use crate::harness::{Answer, Home, Vault, call, deposit, until};
use crate::hidden::unguarded;
use crate::rotation::{keys_done, retire};
use crate::served::Served;

const PATH: &str = "/v1/audit/checkpoint";
/// Longer than `PAWL_CHECKPOINT_SECONDS`.
pub const A_WHILE: Duration = Duration::from_secs(61);

pub fn bytes(hex: &str) -> [u8; 32] {
    let at = |n: usize| u8::from_str_radix(&hex[2 * n..2 * n + 2], 16).unwrap();
    std::array::from_fn(at)
}

fn hash(value: &Value) -> Hash {
    Hash::from_bytes(&bytes(value.as_str().unwrap())).unwrap()
}

fn hashes(value: &Value) -> Vec<Hash> {
    value.as_array().unwrap().iter().map(hash).collect()
}

/// What `GET /v1/audit/checkpoint` says, verified; the checkpoint, and the number of the event that it covers.
pub fn verified(answer: &Answer, heads: &[(i64, Hash)]) -> (Checkpoint, i64) {
    assert_eq!(answer.status, 200, "{}", answer.body);
    let said = &answer.json;
    let key = VerifierKey::parse(said["public_key"].as_str().unwrap()).unwrap();
    let checkpoint = key.verify(said["checkpoint"].as_str().unwrap()).unwrap();
    let (index, seq) = (said["leaf"]["index"].as_u64().unwrap(), said["leaf"]["seq"].as_i64().unwrap());
    let org = OrgId::parse(said["org"].as_str().unwrap()).unwrap();
    let (_, head) = heads.iter().find(|(of, _)| *of == seq).unwrap();
    let leaf = leaf(&bytes(said["salt"].as_str().unwrap()), Some(&org), seq, head);
    assert_eq!(leaf, hash(&said["leaf"]["hash"]));
    let inclusion = hashes(&said["inclusion"]);
    assert!(verify_inclusion(&leaf, index, checkpoint.size, &inclusion, &checkpoint.root), "{}", answer.body);
    if let Some(note) = said["witnessed"]["checkpoint"].as_str() {
        let old = key.verify(note).unwrap();
        let proof = hashes(&said["witnessed"]["consistency"]);
        assert!(verify_consistency(old.size, checkpoint.size, &old.root, &checkpoint.root, &proof));
    }
    (checkpoint, seq)
}

fn heads(vault: &Vault, org: &str) -> Vec<(i64, Hash)> {
    let head = |event: &Value| (event["seq"].as_i64().unwrap(), hash(&event["hash"]));
    vault.whole_trail(org).iter().map(head).collect()
}

/// The number of the org's last event that a checkpoint speaks of: looked for beside the vault, whose every answer is
/// an event more.
pub fn last_covered(vault: &Vault, org: &str) -> i64 {
    let under = format!(
        "FROM audit_leaves l WHERE org_id = '{org}' \
         AND EXISTS (SELECT 1 FROM audit_checkpoints c WHERE c.log_id = l.log_id AND c.size > l.idx)"
    );
    vault.home.sql().texts("coalesce(max(seq), 0)", &under)[0].parse().unwrap()
}

/// The newest checkpoint that covers all that `org` has done until now.
pub fn covered(vault: &Vault, org: &str) -> Answer {
    let auditor = vault.token(org, "auditor", "auditor");
    let last: i64 = vault.home.sql().texts("max(seq)", &format!("FROM audit_events WHERE org_id = '{org}'"))
        [0]
    .parse()
    .unwrap();
    vault.clock.advance(A_WHILE);
    until("a checkpoint", || last_covered(vault, org) >= last);
    vault.call("GET", PATH, &auditor, None)
}

/// Attack on P4.
#[test]
fn each_checkpoint_proves_each_orgs_last_event_and_goes_on_from_the_one_before() {
    let home = Home::new();
    let witness = home.path().join("witness");
    let file = format!("file:{}", witness.display());
    let vault = Vault::start_in(home, &[("PAWL_AUDIT_WITNESSES", &file)]);
    let first = vault.call("GET", PATH, &vault.token("acme", "auditor", "auditor"), None);
    assert_eq!((first.status, &first.json["leaf"], &first.json["salt"]), (200, &Value::Null, &Value::Null));
    assert_eq!(first.json["inclusion"], serde_json::json!([]));
    let mut before: Option<Checkpoint> = None;
    for n in 0..8 {
        for org in ["acme", "other", "third"].iter().take(1 + n % 3) {
            vault.deposit_as(org, "ada", &deposit(&format!("bot{n}"), "s"));
        }
        let answer = covered(&vault, "acme");
        let (checkpoint, _) = verified(&answer, &heads(&vault, "acme"));
        assert!(before.is_none_or(|before| before.size < checkpoint.size), "{checkpoint:?}");
        let note = answer.json["checkpoint"].as_str().unwrap().to_owned();
        until("the witness", || std::fs::read_to_string(&witness).unwrap_or_default().ends_with(&note));
        let auditor = vault.token("acme", "auditor", "auditor");
        let told = || vault.call("GET", PATH, &auditor, None).json["witnessed"].clone();
        until("the note of it", || told()["checkpoint"] == note.as_str());
        assert_eq!(told()["consistency"], serde_json::json!([]));
        before = Some(checkpoint);
    }
    // Every note that the witness has is by one key, and stands over more than the one before.
    let text = std::fs::read_to_string(&witness).unwrap();
    let key = VerifierKey::parse(first.json["public_key"].as_str().unwrap()).unwrap();
    assert!(key.origin().starts_with("pawl/audit/log_"), "{key}");
    let notes =
        text.split("\n\npawl/").map(|note| format!("pawl/{}\n", note.trim_start_matches("pawl/").trim_end()));
    let sizes: Vec<u64> = notes.map(|note| key.verify(&note).unwrap().size).collect();
    assert!(sizes.len() >= 8 && sizes.is_sorted_by(|one, next| one < next), "{sizes:?}");
    // Nothing is signed where nothing moved.
    let mut sql = vault.home.sql();
    let last = sql.texts("max(size)", "FROM audit_checkpoints");
    assert_eq!(sql.texts("count(*)", "FROM audit_leaves"), last);
}

/// Attack on P5.
#[test]
fn another_org_is_told_of_its_own_leaf_alone() {
    let vault = Vault::start();
    for org in ["acme", "victim"] {
        vault.deposit_as(org, "ada", &deposit("bot", "s"));
    }
    covered(&vault, "victim");
    let (acme, victim) = (covered(&vault, "acme"), covered(&vault, "victim"));
    verified(&acme, &heads(&vault, "acme"));
    verified(&victim, &heads(&vault, "victim"));
    let victims = [&victim.json["salt"], &victim.json["leaf"]["hash"]].map(|of| of.as_str().unwrap());
    assert!(!acme.body.contains("victim") && !acme.body.contains(victims[0]), "{}", acme.body);
    // Who knows the victim's name and every event of theirs, and all of the log's hashes, still has to guess the salt.
    let hex = if on_postgres() { "encode(hash, 'hex')" } else { "lower(hex(hash))" };
    let nodes = vault.home.sql().texts(hex, "FROM audit_nodes WHERE level = 0");
    assert!(nodes.iter().any(|node| node == victims[1]));
    let org = OrgId::parse("victim").unwrap();
    let acmes = bytes(acme.json["salt"].as_str().unwrap());
    for (seq, head) in heads(&vault, "victim") {
        for salt in [[0; 32], acmes] {
            assert!(!nodes.contains(&leaf(&salt, Some(&org), seq, &head).to_string()));
        }
    }
    for role in ["backend", "worker"] {
        let refused = vault.call("GET", PATH, &vault.token("victim", "ada", role), None);
        assert_eq!(refused.problem(), "forbidden");
    }
}

/// Attack on P4.
#[test]
fn a_log_signs_on_under_every_master_key_and_is_never_left_under_one_that_goes() {
    let home = Home::new();
    let settings = [("PAWL_CHECKPOINT_SECONDS", "1")];
    let serve = || Served::of(home.serve(&settings), home.path().into(), || home.pawl(&[]));
    let newest = || {
        let rest = "FROM audit_checkpoints ORDER BY size DESC LIMIT 1";
        home.sql().texts("note", rest).pop().unwrap_or_default()
    };
    let key = || {
        let text = home.sql().texts("public_key", "FROM audit_logs").remove(0);
        VerifierKey::parse(&text).unwrap()
    };
    let signs_on = |served: &Served, name: &str| {
        let before = key().verify(&newest()).unwrap().size;
        served.deposit(name);
        until("a checkpoint", || key().verify(&newest()).unwrap().size > before);
    };
    let served = serve();
    let first = key();
    signs_on(&served, "one");
    keys_done(&home, &["rotate"]);
    let (code, said) = retire(&home, "k1");
    assert!(code != 0 && said.contains("1 log keys are still under k1"), "{said}");
    signs_on(&served, "two");
    keys_done(&home, &["reseal"]);
    assert_eq!(retire(&home, "k1").0, 0);
    signs_on(&served, "three");
    drop(served);
    signs_on(&serve(), "four");
    assert_eq!(key(), first);
    assert_eq!(home.sql().texts("key_id", "FROM audit_logs"), ["k2"]);
    // Moved into another log's row, or under another name, the key opens for nobody: nothing is signed with it.
    let before = newest();
    unguarded(&home).run("UPDATE audit_logs SET origin = 'evil.example/log'");
    let served = serve();
    let log = std::fs::read_to_string(home.path().join("log")).unwrap();
    assert!(log.contains("frozen: the log's key does not open"), "{log}");
    let ready = call(&served.process.url, "GET", "/readyz", "", None);
    assert_eq!(ready.json["frozen"], "log");
    drop(served);
    assert_eq!(newest(), before);
}

#[test]
fn so_many_events_make_a_checkpoint_whatever_the_time() {
    let home = Home::new();
    let settings = [("PAWL_CHECKPOINT_SECONDS", "86400"), ("PAWL_CHECKPOINT_EVENTS", "5")];
    let served = Served::of(home.serve(&settings), home.path().into(), || home.pawl(&[]));
    let count = || home.sql().count("audit_checkpoints");
    assert_eq!(count(), 1);
    (0..3).for_each(|n| drop(served.deposit(&format!("bot{n}"))));
    assert_eq!(count(), 1);
    (3..6).for_each(|n| drop(served.deposit(&format!("bot{n}"))));
    until("a checkpoint", || count() == 2);
    // One that ends says what it did.
    served.deposit("last");
    served.process.signal(rustix::process::Signal::TERM);
    let Served { process, .. } = served;
    process.rest();
    assert_eq!(count(), 3);
}

/// Attack on P4.
#[test]
fn vaults_on_one_database_keep_one_log() {
    let mut vault = Vault::start();
    let urls = [vault.url.clone(), vault.replica(), vault.replica()];
    let backend = vault.token("acme", "ada", "backend");
    for round in 0..6 {
        for (n, url) in urls.iter().enumerate() {
            let body = deposit(&format!("bot{round}-{n}"), "s");
            assert_eq!(call(url, "POST", "/v1/connections", &backend, Some(&body)).status, 201);
        }
        verified(&covered(&vault, "acme"), &heads(&vault, "acme"));
    }
    let mut sql = vault.home.sql();
    // Of the same moment there is one, whoever was first: three vaults, six rounds and the start.
    let moments = sql.texts("created_at", "FROM audit_checkpoints GROUP BY created_at ORDER BY created_at");
    assert_eq!(sql.count("audit_checkpoints"), i64::try_from(moments.len()).unwrap(), "{moments:?}");
    assert_eq!(sql.count("audit_logs"), 1);
    let leaves = sql.texts("idx", "FROM audit_leaves ORDER BY idx");
    assert!(leaves.iter().enumerate().all(|(n, idx)| *idx == n.to_string()), "{leaves:?}");
    let gone_back = "FROM audit_leaves AS a JOIN audit_leaves AS b ON b.org_id = a.org_id AND b.idx > a.idx AND b.seq <= a.seq";
    assert_eq!(sql.texts("count(*)", gone_back), ["0"]);
}

/// More chains than one transaction takes in.
#[test]
fn many_orgs_move_at_once() {
    let vault = Vault::start();
    vault.deposit("s");
    let mut sql = vault.home.sql();
    let series = match on_postgres() {
        true => "FROM generate_series(1, 1200) AS n",
        false => {
            "FROM (WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 1200) SELECT n FROM c)"
        }
    };
    sql.run(&format!(
        "INSERT INTO audit_chains (org_id, salt, day, day_seq)
         SELECT 'org' || n, (SELECT salt FROM audit_chains WHERE org_id = 'acme'), 0, 0 {series}"
    ));
    sql.run(&format!(
        "INSERT INTO audit_events (org_id, seq, event, prev_hash, hash)
         SELECT 'org' || n, 1, '{{}}', prev_hash, hash
         FROM audit_events CROSS JOIN (SELECT n {series}) AS many WHERE org_id = 'acme' AND seq = 1"
    ));
    verified(&covered(&vault, "acme"), &heads(&vault, "acme"));
    let whole = sql.texts("count(DISTINCT org_id)", "FROM audit_leaves WHERE org_id LIKE 'org%'");
    assert_eq!(whole, ["1200"]);
    verified(&covered(&vault, "acme"), &heads(&vault, "acme"));
}

/// A log as somebody else makes one, for what is forged with it.
pub fn forged(origin: &str, size: u64) -> String {
    let root = pawl::audit::leaf_hash(b"forged");
    LogKey::generate(origin).unwrap().sign(&Checkpoint { origin: origin.to_owned(), size, root })
}
