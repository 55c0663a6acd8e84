//! The trail in the hands of somebody who can write all of it: whatever they do to an event, it is found and named;
//! what they make anew with all its hashes, the log tells.

use pawl::audit::{GENESIS, Hash, Kept, VerifierKey, Wrong, link, verify_export};
use pawl::ids::OrgId;
use pawl::vault::Which;

use crate::checkpoints::covered;
use crate::database::{Sql, on_postgres};
use crate::harness::{Vault, deposit};
use crate::xml_answers::random;

const ORGS: [&str; 3] = ["acme", "other", "third"];

/// An event as it lies in the database.
#[derive(Clone)]
struct Stored {
    event: String,
    prev: Vec<u8>,
    hash: Vec<u8>,
}

/// A vault with a trail of some 200 events over three orgs, which the log has all seen.
fn filled() -> Vault {
    let vault = Vault::start();
    for n in 0..32 {
        ORGS.iter().for_each(|org| drop(vault.deposit_as(org, "ada", &deposit(&format!("bot{n}"), "s"))));
    }
    ORGS.iter().for_each(|org| drop(covered(&vault, org)));
    vault
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Vec<u8> {
    let text = text.trim_start_matches("\\x");
    (0..text.len() / 2).map(|n| u8::from_str_radix(&text[2 * n..2 * n + 2], 16).unwrap()).collect()
}

fn blob(bytes: &[u8]) -> String {
    if on_postgres() { format!("'\\x{}'::bytea", hex(bytes)) } else { format!("X'{}'", hex(bytes)) }
}

fn text(of: &str) -> String {
    format!("'{}'", of.replace('\'', "''"))
}

/// Nothing stands in the way of who owns the file, or is PostgreSQL's superuser.
fn unguarded(sql: &mut Sql) {
    if on_postgres() {
        for table in ["audit_events", "audit_leaves", "audit_nodes", "audit_checkpoints"] {
            sql.run(&format!("ALTER TABLE {table} DISABLE TRIGGER USER"));
        }
    } else {
        for name in sql.texts("name", "FROM sqlite_master WHERE type = 'trigger' AND name LIKE 'audit_%'") {
            sql.run(&format!("DROP TRIGGER {name}"));
        }
    }
}

fn chain(sql: &mut Sql, org: &str) -> Vec<Stored> {
    let rest = format!("FROM audit_events WHERE org_id = '{org}' ORDER BY seq");
    let column = |sql: &mut Sql, name: &str| {
        let name = if on_postgres() { format!("encode({name}, 'hex')") } else { format!("hex({name})") };
        sql.texts(&name, &rest).iter().map(|text| unhex(text)).collect::<Vec<_>>()
    };
    let (events, prev, hash) = (sql.texts("event", &rest), column(sql, "prev_hash"), column(sql, "hash"));
    events.into_iter().zip(prev).zip(hash).map(|((event, prev), hash)| Stored { event, prev, hash }).collect()
}

fn set(org: &str, seq: i64, of: &Stored) -> String {
    format!(
        "UPDATE audit_events SET event = {}, prev_hash = {}, hash = {} WHERE org_id = '{org}' AND seq = {seq}",
        text(&of.event),
        blob(&of.prev),
        blob(&of.hash)
    )
}

fn insert(org: &str, seq: i64, of: &Stored) -> String {
    format!(
        "INSERT INTO audit_events (org_id, seq, event, prev_hash, hash) VALUES ('{org}', {seq}, {}, {}, {})",
        text(&of.event),
        blob(&of.prev),
        blob(&of.hash)
    )
}

/// Another letter in the place of one of them.
fn flipped(of: &str, at: u64) -> String {
    let mut bytes = of.as_bytes().to_vec();
    let at = usize::try_from(at).unwrap() % bytes.len();
    bytes[at] = if bytes[at] == b'x' { b'y' } else { b'x' };
    String::from_utf8(bytes).unwrap()
}

fn flip(of: &mut [u8], seed: &mut u64) {
    let (at, bit) = (random(seed, 32) as usize, random(seed, 8));
    of[at] ^= 1 << bit;
}

fn rounds() -> u64 {
    if std::env::var_os("TEST_LONG").is_some() { 1_000 } else { 150 }
}

/// One edit of the stored chain, as SQL, and what is to be said of it.
fn edit(org: &str, rows: &[Stored], seed: &mut u64) -> (String, Wrong) {
    let last = i64::try_from(rows.len()).unwrap();
    let seq = 1 + i64::try_from(random(seed, last as u64)).unwrap();
    let row = |seq: i64| rows[usize::try_from(seq - 1).unwrap()].clone();
    let mut of = row(seq);
    let move_to =
        |to: i64| format!("UPDATE audit_events SET seq = {to} WHERE org_id = '{org}' AND seq = {seq}");
    let drop_it = |seq: i64| format!("DELETE FROM audit_events WHERE org_id = '{org}' AND seq = {seq}");
    match random(seed, 10) {
        0 => {
            of.event = flipped(&of.event, random(seed, 10_000));
            (set(org, seq, &of), Wrong::Altered(seq))
        }
        1 => {
            flip(&mut of.hash, seed);
            (set(org, seq, &of), Wrong::Altered(seq))
        }
        2 => {
            flip(&mut of.prev, seed);
            (set(org, seq, &of), Wrong::Altered(seq))
        }
        3 => (move_to(last + 1 + i64::try_from(random(seed, 9)).unwrap()), Wrong::Altered(seq)),
        4 if seq < last => (move_to(-seq), Wrong::Dropped(seq, seq)),
        5 => (drop_it(1), Wrong::Dropped(1, 1)),
        6 => (
            drop_it(last),
            Wrong::CutOff { last: last - 1, known: last, by: "the checkpoint of size".into() },
        ),
        7 => {
            let other = 1 + i64::try_from(random(seed, last as u64)).unwrap();
            let (one, other) = (seq.min(other), seq.max(other));
            if one == other {
                return (drop_it(one), cut_or_dropped(one, last));
            }
            let both = format!("{}; {}", set(org, one, &row(other)), set(org, other, &row(one)));
            (both, Wrong::Reordered(one, other))
        }
        8 if seq == last => (insert(org, last + 1, &of), Wrong::Inserted(last, last)),
        8 => (insert(org, last + 1, &of), Wrong::Altered(last + 1)),
        _ => (drop_it(seq), cut_or_dropped(seq, last)),
    }
}

fn cut_or_dropped(seq: i64, last: i64) -> Wrong {
    match seq == last {
        true => Wrong::CutOff { last: last - 1, known: last, by: "the checkpoint of size".into() },
        false => Wrong::Dropped(seq, seq),
    }
}

/// Attack on P4.
#[test]
fn every_edit_of_the_stored_trail_is_found_and_located() {
    let vault = filled();
    let clock = vault.clock.clone();
    let home = vault.stop();
    let (trail, mut sql) = (home.host_trail(&clock), home.sql());
    let whole = trail.verify(&Which::All, &[], &Kept::default()).unwrap();
    assert!(whole.wrong.is_empty() && whole.events > 190 && whole.chains == 4, "{whole:?}");
    unguarded(&mut sql);
    // What came after the last leaf is nobody's word yet: cut off here, as if it had never come.
    for org in ORGS {
        sql.run(&format!(
            "DELETE FROM audit_events WHERE org_id = '{org}'
             AND seq > (SELECT max(seq) FROM audit_leaves WHERE org_id = '{org}')"
        ));
    }
    sql.run("CREATE TABLE kept AS SELECT * FROM audit_events");
    let chains = ORGS.map(|org| chain(&mut sql, org));
    let mut seed = 7;
    for round in 0..rounds() {
        let at = random(&mut seed, 3) as usize;
        let (edit, wrong) = edit(ORGS[at], &chains[at], &mut seed);
        sql.run(&edit);
        let report = trail.verify(&Which::All, &[], &Kept::default()).unwrap();
        let told = wrong.tell(ORGS[at]);
        let is_told = match &wrong {
            // How large that checkpoint is, is no matter of the edit.
            Wrong::CutOff { .. } => {
                let (begin, end) = told.split_once("the checkpoint of size").unwrap();
                report.wrong[0].starts_with(begin) && report.wrong[0].ends_with(end)
            }
            _ => report.wrong == [told.clone()],
        };
        assert!(is_told && report.wrong.len() == 1, "round {round}: {edit}\n{:?}\n{told}", report.wrong);
        sql.run(&format!("DELETE FROM audit_events WHERE org_id = '{}'", ORGS[at]));
        sql.run(&format!("INSERT INTO audit_events SELECT * FROM kept WHERE org_id = '{}'", ORGS[at]));
    }
    let whole = trail.verify(&Which::All, &[], &Kept::default()).unwrap();
    assert!(whole.wrong.is_empty(), "{whole:?}");
}

/// Attack on P4.
#[test]
fn a_chain_whose_hashes_are_made_anew_is_told_by_the_log() {
    let vault = Vault::start();
    let mut leaves = Vec::new();
    for round in 0..4 {
        (0..5).for_each(|n| drop(vault.deposit_as("acme", "ada", &deposit(&format!("bot{round}{n}"), "s"))));
        leaves.push(covered(&vault, "acme").json["leaf"]["seq"].as_i64().unwrap());
    }
    let clock = vault.clock.clone();
    let home = vault.stop();
    let (trail, mut sql) = (home.host_trail(&clock), home.sql());
    unguarded(&mut sql);
    let (rows, org) = (chain(&mut sql, "acme"), OrgId::parse("acme").ok());
    for altered in [2, leaves[0], leaves[0] + 1, leaves[1] + 3, leaves[3]] {
        let at = usize::try_from(altered - 1).unwrap();
        let mut head = Hash::from_bytes(&rows[at].prev).unwrap();
        for (n, row) in rows.iter().enumerate().skip(at) {
            let seq = i64::try_from(n + 1).unwrap();
            let event = if n == at { row.event.replace("Success", "Failure") } else { row.event.clone() };
            let hash = link(org.as_ref(), seq, &head, event.as_bytes());
            let forged = Stored { event, prev: head.as_bytes().into(), hash: hash.as_bytes().into() };
            sql.run(&set("acme", seq, &forged));
            head = hash;
        }
        let report = trail.verify(&Which::Org(org.clone().unwrap()), &[], &Kept::default()).unwrap();
        let last = report.wrong[0].split_whitespace().nth(4).unwrap().parse::<i64>().unwrap();
        let first = report.wrong[0].split_whitespace().nth(2).unwrap().parse::<i64>().unwrap();
        assert!(report.wrong[0].starts_with("rewritten: events "), "{:?}", report.wrong);
        assert!(
            first <= altered && altered <= last && leaves.contains(&last),
            "{altered} {:?}",
            report.wrong
        );
        for (n, row) in rows.iter().enumerate() {
            sql.run(&set("acme", i64::try_from(n + 1).unwrap(), row));
        }
    }
    assert!(trail.verify(&Which::All, &[], &Kept::default()).unwrap().wrong.is_empty());
}

/// Attack on P4.
#[test]
fn a_log_that_is_altered_is_told_and_an_old_one_by_a_checkpoint_that_was_kept() {
    let vault = filled();
    let old = covered(&vault, "acme");
    let tables = ["audit_events", "audit_leaves", "audit_nodes", "audit_checkpoints"];
    let mut sql = vault.home.sql();
    tables.iter().for_each(|of| sql.run(&format!("CREATE TABLE old_{of} AS SELECT * FROM {of}")));
    vault.deposit("later");
    let new = covered(&vault, "acme");
    let clock = vault.clock.clone();
    let home = vault.stop();
    let trail = home.host_trail(&clock);
    let note = |of: &crate::harness::Answer| of.text("checkpoint");
    let key = VerifierKey::parse(&new.text("public_key")).unwrap();
    let told = |notes: &[String]| {
        let kept = Kept::notes(notes.to_vec());
        trail.verify(&Which::All, std::slice::from_ref(&key), &kept).unwrap().wrong
    };
    assert_eq!(told(&[note(&old), note(&new)]), [""; 0]);

    unguarded(&mut sql);
    tables.iter().for_each(|of| sql.run(&format!("CREATE TABLE new_{of} AS SELECT * FROM {of}")));
    let put_back = |sql: &mut Sql, age: &str| {
        for of in tables {
            sql.run(&format!("DELETE FROM {of}; INSERT INTO {of} SELECT * FROM {age}_{of}"));
        }
    };
    put_back(&mut sql, "old");
    // Whole in itself: only the checkpoint tells.
    assert_eq!(told(&[]), [""; 0]);
    assert_eq!(told(&[note(&old)]), [""; 0]);
    let wrong = told(&[note(&old), note(&new)]);
    assert!(wrong.len() == 1 && wrong[0].contains("older than the checkpoint"), "{wrong:?}");
    put_back(&mut sql, "new");

    let zero = blob(&[0; 32]);
    for (edit, what) in [
        (
            "DELETE FROM audit_events WHERE org_id = 'acme' AND seq > 1; \
             DELETE FROM audit_leaves WHERE org_id = 'acme'"
                .to_owned(),
            "say whose they are",
        ),
        (
            format!("UPDATE audit_nodes SET hash = {zero} WHERE level = 0 AND idx = 1"),
            "altered or dropped: the hash of node 0 of level 1",
        ),
        (
            format!("UPDATE audit_nodes SET hash = {zero} WHERE level = 1 AND idx = 1"),
            "the hash of node 1 of level 1",
        ),
        ("DELETE FROM audit_nodes WHERE level = 0 AND idx = 1".into(), "dropped: leaf 1"),
        ("DELETE FROM audit_nodes WHERE idx >= 2".into(), "cut off after 2 leaves"),
        (format!("UPDATE audit_checkpoints SET root = {zero}"), "altered: the checkpoint"),
        (
            "UPDATE audit_checkpoints SET note = replace(note, 'pawl', 'pawn')".into(),
            "altered: the checkpoint",
        ),
        ("DELETE FROM audit_events WHERE org_id = 'other'".into(), "cut off after event 0 of other"),
        ("DELETE FROM audit_events WHERE org_id = ''".into(), "cut off after event 0 of the vault"),
    ] {
        sql.run(&edit);
        let wrong = told(&[]);
        assert!(wrong.iter().any(|wrong| wrong.contains(what)), "{edit}: {wrong:?}");
        put_back(&mut sql, "new");
    }
    // Another key than the one that the customer knows.
    let forged = pawl::audit::LogKey::generate(key.origin()).unwrap().verifier().clone();
    let wrong = trail.verify(&Which::All, &[key.clone(), forged], &Kept::default()).unwrap().wrong;
    assert!(wrong[0].contains("not the one that was given"), "{wrong:?}");
}

/// Attack on P4.
#[test]
fn every_edit_of_an_export_is_found_and_located() {
    let vault = filled();
    let auditor = vault.token("acme", "auditor", "auditor");
    let export = vault.call("GET", "/v1/audit/export?format=jsonl", &auditor, None);
    let key = VerifierKey::parse(&covered(&vault, "acme").text("public_key")).unwrap();
    let body = crate::trail::dechunked(&export);
    let judge = |bytes: &[u8]| match verify_export(|| Ok(bytes), std::slice::from_ref(&key), &Kept::default())
    {
        Ok(report) => report.wrong,
        Err(unreadable) => vec![unreadable.to_string()],
    };
    assert_eq!(judge(body.as_bytes()), [""; 0]);
    let lines: Vec<&[u8]> = body.as_bytes().split_inclusive(|byte| *byte == b'\n').collect();
    let count = lines.len() - 2;
    assert!(count > 60, "{count}");
    // A line that is no event's, before the last; and an end that proves nothing.
    let whole: Vec<Vec<u8>> = lines.iter().map(|line| line.to_vec()).collect();
    let mut added = whole.clone();
    added.insert(count + 1, br#"{"seq": 9999,"event":"{}"}"#.iter().chain(b"\n").copied().collect());
    assert!(judge(&added.concat())[0].contains("inserted"), "{:?}", judge(&added.concat()));
    for end in [
        r#"{"checkpoint":null,"leaf":null,"inclusion":[],"witnessed":null}"#.to_owned(),
        String::from_utf8(whole[count + 1].clone()).unwrap().replace("\"leaf\":{", "\"leaf\":null,\"was\":{"),
    ] {
        let mut unproven = whole.clone();
        unproven[count + 1] = format!("{}\n", end.trim_end()).into_bytes();
        assert_ne!(judge(&unproven.concat()), [""; 0], "{end}");
    }
    let cut = |last: i64, known: i64| Wrong::CutOff { last, known, by: "its first line".into() };
    let stranger = |seq: i64| {
        let hash = hex(link(OrgId::parse("acme").ok().as_ref(), seq, &GENESIS, b"{}").as_bytes());
        format!(
            "{{\"seq\":{seq},\"event\":\"{{}}\",\"prev_hash\":\"{}\",\"hash\":\"{hash}\"}}\n",
            "0".repeat(64)
        )
    };
    let mut seed = 11;
    for round in 0..rounds() {
        let mut file: Vec<Vec<u8>> = lines.iter().map(|line| line.to_vec()).collect();
        let at = 1 + random(&mut seed, count as u64) as usize;
        let (seq, last) = (at as i64, count as i64);
        let wrong = match random(&mut seed, 7) {
            0..3 => {
                let byte = random(&mut seed, file[at].len() as u64) as usize;
                file[at][byte] ^= 1 << random(&mut seed, 8);
                Wrong::Altered(seq)
            }
            3 => {
                file.remove(at);
                if seq == last { cut(last - 1, last) } else { Wrong::Dropped(seq, seq) }
            }
            4 => {
                let other = 1 + random(&mut seed, count as u64) as usize;
                let (one, other) = (at.min(other), at.max(other));
                if one == other {
                    continue;
                }
                file.swap(one, other);
                Wrong::Reordered(one as i64, other as i64)
            }
            5 => {
                let to = 1 + random(&mut seed, count as u64) as usize;
                let again = file[at].clone();
                file.insert(to + 1, again);
                Wrong::Inserted(seq, if at == to + 1 { seq } else { to as i64 })
            }
            _ => {
                file.insert(at, stranger(seq).into_bytes());
                if seq == 1 { Wrong::Inserted(1, 1) } else { Wrong::Inserted(seq, seq - 1) }
            }
        };
        let told = judge(&file.concat());
        let expected = wrong.tell("acme");
        // The first event is forged whole by whoever begins from nothing: which of two it is, the next one tells.
        let is_told = told == [expected.clone()]
            || (seq == 1 && matches!(wrong, Wrong::Inserted(..)) && told[0].contains("event 1 "));
        assert!(is_told, "round {round}: {told:?}, not {expected}");
    }
    // Its first and its last line.
    for line in [0, lines.len() - 1] {
        for _ in 0..rounds() {
            let mut file: Vec<Vec<u8>> = lines.iter().map(|line| line.to_vec()).collect();
            let byte = random(&mut seed, file[line].len() as u64 - 1) as usize;
            file[line][byte] ^= 1 << random(&mut seed, 8);
            let text = String::from_utf8_lossy(&file[line]).into_owned();
            assert!(!judge(&file.concat()).is_empty(), "{byte} of {text}");
        }
    }
    assert!(judge(&lines[..lines.len() - 1].concat())[0].starts_with("broken off"));
    assert!(judge(&lines[..lines.len() - 9].concat())[0].starts_with("cut off after event"));
}
