//! What somebody does to the rows that `pawl audit verify` goes by, so that it would look at less: the log's own row,
//! rows of its tree that it has no place for, what its witnesses have taken.

use pawl::audit::Kept;
use pawl::vault::Which;

use crate::checkpoints::covered;
use crate::database::Sql;
use crate::harness::{Home, Vault, deposit};
use crate::hidden::unguarded;

const TABLES: [&str; 7] = [
    "audit_events",
    "audit_leaves",
    "audit_nodes",
    "audit_checkpoints",
    "audit_chains",
    "audit_logs",
    "audit_witnesses",
];

/// A vault that was stopped, with a log of three checkpoints at least, and a copy of all its tables.
fn kept() -> (Home, pawl::clock::Clock, Sql) {
    let vault = Vault::start();
    for name in ["one", "two", "three"] {
        vault.deposit_as("acme", "ada", &deposit(name, "s"));
        covered(&vault, "acme");
    }
    let clock = vault.clock.clone();
    let home = vault.stop();
    let mut sql = unguarded(&home);
    TABLES.iter().for_each(|of| sql.run(&format!("CREATE TABLE kept_{of} AS SELECT * FROM {of}")));
    (home, clock, sql)
}

fn put_back(sql: &mut Sql) {
    TABLES
        .iter()
        .for_each(|of| sql.run(&format!("DELETE FROM {of}; INSERT INTO {of} SELECT * FROM kept_{of}")));
}

/// Attack on P4.
#[test]
fn a_log_whose_row_is_gone_or_renamed_is_missed() {
    let (home, clock, mut sql) = kept();
    let trail = home.host_trail(&clock);
    let told = |which: &Which| trail.verify(which, &[], &Kept::default()).unwrap().wrong;
    assert_eq!(told(&Which::All), [""; 0]);
    let other = "log_01ARZ3NDEKTSV4RRFFQ69G5FAV";
    let cut = "DELETE FROM audit_events WHERE org_id = 'acme' AND seq > 2";
    let all = "DELETE FROM audit_leaves; DELETE FROM audit_nodes; DELETE FROM audit_checkpoints;
               DELETE FROM audit_witnesses; DELETE FROM audit_logs";
    let begun = "of which the vault's own chain says that it was begun";
    for (edit, what) in [
        (format!("DELETE FROM audit_logs; {cut}"), "of which there are rows in audit_leaves"),
        (format!("UPDATE audit_logs SET id = '{other}'; {cut}"), "of which there are rows in audit_nodes"),
        (
            "DELETE FROM audit_logs; DELETE FROM audit_leaves; DELETE FROM audit_nodes".into(),
            "of which there are rows in audit_checkpoints",
        ),
        (
            format!("{all}; INSERT INTO audit_witnesses VALUES ('{other}', 'w', 3, 1)"),
            "of which there are rows in audit_witnesses",
        ),
        (format!("{all}; {cut}"), begun),
        (format!("UPDATE audit_logs SET id = '{other}'"), begun),
        ("UPDATE audit_logs SET public_key = origin || '+00000000+AAAA'".into(), "altered: its public key"),
        (format!("UPDATE audit_logs SET public_key = '{}'", another_key(&mut sql)), begun),
    ] {
        sql.run(&edit);
        for which in [Which::All, Which::Vault, Which::Org(pawl::ids::OrgId::parse("acme").unwrap())] {
            let wrong = told(&which);
            assert!(wrong.iter().any(|wrong| wrong.contains(what)), "{edit}: {which:?}: {wrong:?}");
        }
        let output = home.pawl(&[]).args(["audit", "verify"]).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{edit}: {}", String::from_utf8_lossy(&output.stdout));
        put_back(&mut sql);
    }
    assert_eq!(told(&Which::All), [""; 0]);
}

/// A right key of the same log's name.
fn another_key(sql: &mut Sql) -> String {
    let origin = sql.texts("origin", "FROM audit_logs").remove(0);
    pawl::audit::LogKey::generate(&origin).unwrap().verifier().to_string()
}

#[test]
fn a_trail_from_before_there_was_a_log_is_whole_without_one() {
    let home = Home::new();
    let vault = Vault::start_in(home, &[]);
    vault.deposit_as("acme", "ada", &deposit("one", "s"));
    let clock = vault.clock.clone();
    let home = vault.stop();
    // As it was before an upgrade: no log was ever begun.
    let mut sql = unguarded(&home);
    for of in ["logs", "leaves", "nodes", "checkpoints", "witnesses"] {
        sql.run(&format!("DELETE FROM audit_{of}"));
    }
    sql.run("DELETE FROM audit_events WHERE org_id = ''; DELETE FROM audit_chains WHERE org_id = ''");
    let org = pawl::ids::OrgId::parse("acme").unwrap();
    let report = home.host_trail(&clock).verify(&Which::Org(org), &[], &Kept::default()).unwrap();
    assert!(report.wrong.is_empty() && report.events > 0 && report.uncovered == report.events, "{report:?}");
}

/// Attack on P4.
#[test]
fn a_node_that_a_log_has_no_place_for_is_found_on_every_level() {
    let (home, clock, mut sql) = kept();
    let trail = home.host_trail(&clock);
    let size: u64 = sql.texts("count(*)", "FROM audit_leaves")[0].parse().unwrap();
    assert!(size >= 4, "{size}");
    let top = u64::from(size.ilog2());
    let beyond = |level: u64| (size >> level, level);
    let mut tried: Vec<(i64, i64)> = (0..=top + 1)
        .map(beyond)
        .chain([(size + 7, 1), (0, top + 1), (0, 63), (0, 200)])
        .map(|(idx, level)| (i64::try_from(idx).unwrap(), i64::try_from(level).unwrap()))
        .collect();
    tried.extend([(-1, 0), (-3, 1), (0, -1)]);
    for (idx, level) in tried {
        sql.run(&format!(
            "INSERT INTO audit_nodes (log_id, level, idx, hash)
             SELECT log_id, {level}, {idx}, hash FROM audit_nodes WHERE level = 0 AND idx = 0"
        ));
        let wrong = trail.verify(&Which::All, &[], &Kept::default()).unwrap().wrong;
        let what = match (idx, level) {
            // It is a leaf, of nodes that are not there or of which nobody says whose it is.
            (idx, 0) if idx >= 0 => "the log ".into(),
            _ => format!("inserted: node {idx} of level {level}"),
        };
        assert!(wrong.iter().any(|wrong| wrong.contains(&what)), "{idx} {level}: {wrong:?}");
        put_back(&mut sql);
    }
}

/// Attack on P4.
#[test]
fn a_log_that_is_shorter_than_what_a_witness_took_is_cut_off() {
    let (home, clock, mut sql) = kept();
    let trail = home.host_trail(&clock);
    let told = || trail.verify(&Which::All, &[], &Kept::default()).unwrap().wrong;
    let sizes = sql.texts("size", "FROM audit_checkpoints ORDER BY size");
    let (old, new) = (sizes[0].clone(), sizes[sizes.len() - 1].clone());
    let taken = format!(
        "INSERT INTO audit_witnesses SELECT log_id, 'w', size, 1 FROM audit_checkpoints WHERE size = {new}"
    );
    sql.run(&taken);
    assert_eq!(told(), [""; 0]);
    // All as it was at an earlier checkpoint, but for what the witness took.
    sql.run(&format!(
        "DELETE FROM audit_leaves WHERE idx >= {old};
         DELETE FROM audit_checkpoints WHERE size > {old}"
    ));
    let old_size: u64 = old.parse().unwrap();
    for level in 0..10 {
        sql.run(&format!("DELETE FROM audit_nodes WHERE level = {level} AND idx >= {}", old_size >> level));
    }
    for org in ["", "acme"] {
        let last = format!("(SELECT coalesce(max(seq), 0) FROM audit_leaves WHERE org_id = '{org}')");
        sql.run(&format!("DELETE FROM audit_events WHERE org_id = '{org}' AND seq > {last} AND seq > 3"));
    }
    let wrong = told();
    let what = format!("cut off after {old} leaves: a witness has taken {new}: w");
    assert!(wrong.len() == 1 && wrong[0].ends_with(&what), "{wrong:?}");
    sql.run("DELETE FROM audit_witnesses");
    assert_eq!(told(), [""; 0]);
}

/// Attack on P4.
#[test]
fn a_leaf_that_names_another_and_a_salt_are_told_from_a_trail_that_was_rewritten() {
    let (home, clock, mut sql) = kept();
    let trail = home.host_trail(&clock);
    let told = || trail.verify(&Which::All, &[], &Kept::default()).unwrap().wrong;
    let of_acme = sql.texts("idx", "FROM audit_leaves WHERE org_id = 'acme' ORDER BY seq");
    let seqs = sql.texts("seq", "FROM audit_leaves WHERE org_id = 'acme' ORDER BY seq");
    assert!(of_acme.len() > 2, "{of_acme:?}");
    for (idx, seq) in of_acme.iter().zip(&seqs) {
        let zeros = "(SELECT pruned_hash FROM audit_chains WHERE org_id = '')";
        for (edit, of) in [
            ("org_id = ''".to_owned(), format!("event {seq} of the vault")),
            ("seq = seq - 1".into(), format!("event {} of acme", seq.parse::<i64>().unwrap() - 1)),
            ("seq = seq + 1000".into(), format!("event {} of acme", seq.parse::<i64>().unwrap() + 1000)),
            (format!("head = {zeros}"), format!("event {seq} of acme")),
        ] {
            sql.run(&format!("UPDATE audit_leaves SET {edit} WHERE idx = {idx}"));
            let wrong = told();
            let is_it = wrong.len() == 1
                && wrong[0].starts_with(&format!("altered: leaf {idx} of the log "))
                && wrong[0].ends_with(&of);
            assert!(is_it, "{edit} {idx} {seq}: {wrong:?}");
            put_back(&mut sql);
        }
    }
    sql.run("UPDATE audit_chains SET salt = pruned_hash WHERE org_id = 'acme'");
    let wrong = told();
    assert!(
        wrong.len() == 1 && wrong[0].starts_with("altered: the salt of acme in audit_chains"),
        "{wrong:?}"
    );
    put_back(&mut sql);
    assert_eq!(told(), [""; 0]);
}
