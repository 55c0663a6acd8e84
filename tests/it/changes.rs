//! What a run brings home when the sink holds something already: all that changed, whenever it became
//! visible, and little else.

use std::io::Read;
use std::time::{Duration, Instant};

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use pawl::sync::{Patience, SyncError, Verdict};
use serde_json::json;

use crate::scene::{Scene, code, errors, number, text};
use crate::standin::PASSWORD;
use crate::standin::company::Company;
use crate::standin::wire::{EMPTY, Value};

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3_600);

/// Runs, and answers what was asked of Odoo.
fn run(scene: &Scene, more: &[&str]) -> Vec<String> {
    let before = scene.asked().len();
    let output = scene.command("books.db", more).output().unwrap();
    assert_eq!(code(&output), 0, "{}", errors(&output));
    scene.asked().split_off(before)
}

fn count(asked: &[String], call: &str) -> usize {
    asked.iter().filter(|asked| *asked == call).count()
}

fn watermark(scene: &Scene, model: &str) -> String {
    let sql = format!("SELECT watermark FROM pawl_watermark WHERE model = '{model}'");
    text(&scene.sink("books.db"), &sql)
}

#[test]
fn a_run_with_nothing_to_do_asks_little_and_changes_nothing() {
    let scene = Scene::new(Company::sized(3, 1_100, 60), PASSWORD);
    run(&scene, &[]);
    scene.assert_same("books.db");
    let bytes = std::fs::read(scene.sink("books.db")).unwrap();
    let asked = run(&scene, &[]);
    scene.assert_same("books.db");
    // Each model's newest write_date; then what was written since, and a list of ids and times, of
    // which a page holds 5,000; or the whole of a small model. An empty page ends each.
    let lines = scene.odoo.company().ids("account.move.line").len();
    for (model, fields, pages, lists) in [
        ("account.move", 20, 2, 2),
        ("account.move.line", 21, 2, lines / 5_000 + 2),
        ("res.partner", 17, 2, 2),
        ("product.product", 13, 2, 0),
        ("res.currency", 7, 2, 0),
        ("account.tax", 10, 2, 0),
    ] {
        let calls = [fields, 1].map(|fields| count(&asked, &format!("{model} {fields}")));
        assert_eq!(calls, [pages, 1 + lists], "{model}");
    }
    let changed = number(&scene.sink("books.db"), "SELECT count(*) FROM pawl_sweep");
    assert_eq!(changed, 0);
    assert!(!bytes.is_empty());
}

fn set_amount(company: &mut Company, id: i64, amount: f64) {
    company.edit("account.move", id, |entry| {
        entry.insert("amount_residual", Value::Float(amount));
    });
}

#[test]
fn what_changed_comes_home() {
    let scene = Scene::new(Company::sized(3, 1_100, 60), PASSWORD);
    run(&scene, &[]);
    scene.odoo.advance(HOUR);
    type Change = fn(&mut Company);
    let changes: &[(&str, Change)] = &[
        ("written now", |company| set_amount(company, 5, 0.1 + 0.2)),
        ("and again within the second", |company| set_amount(company, 5, 7.0)),
        ("back to draft", |company| {
            company.edit("account.move", 700, |entry| {
                entry.insert("state", Value::text("draft"));
                entry.insert("name", EMPTY);
            });
        }),
        ("new, with the highest id", |company| {
            let entry = company.record("account.move", 9).unwrap();
            company.insert("account.move", 90_001, entry);
        }),
        ("deleted, with its lines", |company| company.remove("account.move", 8)),
        ("the last one deleted", |company| company.remove("account.move", 90_001)),
        ("a line deleted", |company| {
            let line = company.ids("account.move.line")[40];
            company.remove("account.move.line", line);
        }),
        ("archived", |company| {
            for (model, id) in [("res.partner", 21), ("product.product", 3)] {
                company.edit(model, id, |record| {
                    record.insert("active", Value::Bool(false));
                });
            }
        }),
        ("a product, a currency and a tax, of which no time tells", |company| {
            for (model, id) in [("product.product", 4), ("res.currency", 1)] {
                company.edit_undated(model, id, |record| {
                    record.insert("name", Value::text("Ünübersehbar"));
                });
            }
            let tax = company.ids("account.tax")[0];
            company.edit_undated("account.tax", tax, |tax| {
                tax.insert("amount", Value::Float(19.0));
            });
        }),
    ];
    for (what, change) in changes {
        scene.odoo.edit(change);
        let asked = run(&scene, &[]);
        scene.assert_same("books.db");
        // What was written since, and the empty page after it.
        assert_eq!(count(&asked, "account.move 20"), 2, "{what}: {asked:?}");
    }
}

/// A transaction that was begun before the last run, and is committed after it, is dated before what
/// that run saw.
#[test]
fn what_became_visible_late_comes_home_whatever_its_age() {
    let scene = Scene::new(Company::sized(3, 1_100, 60), PASSWORD);
    run(&scene, &[]);
    // How long it took; and how many pages of invoices that takes: one of what was written since, the
    // empty one after it, and another when only the list of times shows it.
    for (n, (took, pages)) in
        [(MINUTE, 2), (MINUTE * 59, 2), (MINUTE * 61, 3), (HOUR * 30, 3)].iter().enumerate()
    {
        let n = n as i64;
        let mut late = scene.odoo.begin();
        late.edit(move |company| set_amount(company, 5 + n, 7.5));
        late.edit(move |company| {
            let entry = company.record("account.move", 9).unwrap();
            company.insert("account.move", 90_001 + n, entry);
        });
        scene.odoo.advance(*took);
        scene.odoo.edit(|company| set_amount(company, 500, n as f64));
        run(&scene, &[]);
        scene.assert_same("books.db");
        late.commit();
        let asked = run(&scene, &[]);
        scene.assert_same("books.db");
        assert_eq!(count(&asked, "account.move 20"), *pages, "{took:?}: {asked:?}");
    }
}

#[test]
fn what_no_time_tells_is_healed_by_a_full_run_and_once_a_day() {
    let scene = Scene::new(Company::sized(3, 300, 60), PASSWORD);
    let clock = &scene.vault.clock;
    let rename = |name: &str| {
        scene.odoo.edit(|company| {
            company.edit_undated("account.move", 7, |entry| {
                entry.insert("ref", Value::text(name));
            });
        });
    };
    let here = || {
        let sql = "SELECT ref FROM account_move WHERE id = 7";
        text(&scene.sink("books.db"), sql)
    };
    scene.run_here(clock, &mut |_, _| {}).unwrap();
    rename("first");
    clock.advance(Duration::from_secs(24 * 3_600 - 1));
    scene.run_here(clock, &mut |_, _| {}).unwrap();
    assert_ne!(here(), "first");
    clock.advance(Duration::from_secs(1));
    scene.run_here(clock, &mut |_, _| {}).unwrap();
    assert_eq!(here(), "first");
    rename("second");
    run(&scene, &["--full"]);
    assert_eq!(here(), "second");
    scene.assert_same("books.db");
}

/// Attack on P6 and P10.
#[test]
fn a_run_that_fails_moves_no_watermark() {
    let scene = Scene::new(Company::sized(3, 1_100, 60), PASSWORD);
    run(&scene, &[]);
    let first = watermark(&scene, "account.move");
    let an_hour_later = || {
        scene.odoo.advance(HOUR);
        scene.odoo.edit(|company| [3, 900].into_iter().for_each(|id| set_amount(company, id, 1.5)));
    };
    let fails_at = |request: usize| {
        scene.odoo.answer_raw(request, "HTTP/1.0 406 NOT ACCEPTABLE\r\nConnection: close\r\n\r\n");
        let output = scene.run("books.db");
        assert_eq!(code(&output), 1, "{request}: {}", errors(&output));
    };
    an_hour_later();
    // The login, the newest time, what was written since and its end; and below, the list.
    for request in 1..=4 {
        fails_at(request);
        assert_eq!(watermark(&scene, "account.move"), first, "{request}");
    }
    an_hour_later();
    run(&scene, &[]);
    assert_eq!(watermark(&scene, "account.move"), "2025-11-01 14:00:00");
    an_hour_later();
    fails_at(5);
    assert_eq!(watermark(&scene, "account.move"), "2025-11-01 14:00:00");
    run(&scene, &[]);
    assert_eq!(watermark(&scene, "account.move"), "2025-11-01 15:00:00");
    scene.assert_same("books.db");
}

#[test]
fn the_next_page_is_on_its_way_while_one_is_written() {
    let scene = Scene::new(Company::sized(3, 1_100, 40), PASSWORD);
    run(&scene, &[]);
    let rows = "SELECT count(*) FROM account_move";
    scene.odoo.edit(|company| company.remove("account.move", 1));
    // Login, newest, and the first page of a whole sweep, which is held back until nobody can write.
    scene.odoo.hold(3);
    let before = scene.asked().len();
    let mut worker = scene.command("books.db", &["--full"]).spawn().unwrap();
    assert!(scene.odoo.wait_until_held());
    let mut other = SqliteConnection::establish(scene.sink("books.db").to_str().unwrap()).unwrap();
    other.batch_execute("BEGIN IMMEDIATE").unwrap();
    scene.odoo.release();
    let patience = Instant::now() + Duration::from_secs(60);
    while scene.asked().len() < before + 4 {
        assert!(Instant::now() < patience, "the second page was not asked for");
        std::thread::yield_now();
    }
    assert_eq!(number(&scene.sink("books.db"), rows), 1_100, "the first page is not written yet");
    other.batch_execute("ROLLBACK").unwrap();
    let mut said = String::new();
    worker.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert!(worker.wait().unwrap().success(), "{said}");
    scene.assert_same("books.db");
}

/// In JSON-RPC, to the run's `n`th call: ids and times.
pub fn answer(n: usize, records: &[(i64, &str)]) -> Vec<u8> {
    let records = records.iter().map(|(id, written)| json!({"id": id, "write_date": written}));
    let body = json!({"jsonrpc": "2.0", "id": n, "result": records.collect::<Vec<_>>()}).to_string();
    let length = body.len();
    format!(
        "HTTP/1.0 200 OK\r\nContent-Type: application/json; charset=utf-8\r\nContent-Length: {length}\r\n\
         Connection: close\r\n\r\n{body}"
    )
    .into_bytes()
}

/// Attack on P6 and P10.
#[test]
fn a_server_that_lies_about_time_or_order_loses_nothing() {
    let scene = Scene::new(Company::sized(3, 300, 60), PASSWORD);
    run(&scene, &[]);
    let mark = watermark(&scene, "account.move");
    let many: Vec<(i64, &str)> = (1..=5_001).map(|id| (id, "2025-03-01 10:00:00")).collect();
    // The answer to which request: 2 asks for the newest time, 5 for the list.
    for (what, request, records) in [
        ("a time beyond every other", 2, vec![(1, "9999-12-31 23:59:59")]),
        ("no time", 2, vec![(1, "yesterday")]),
        ("two of them", 2, vec![(2, "2025-03-01 10:00:00"), (1, "2025-03-01 10:00:00")]),
        ("one record twice", 5, vec![(5, "2025-03-01 10:00:00"), (5, "2025-03-01 10:00:00")]),
        ("falling ids", 5, vec![(6, "2025-03-01 10:00:00"), (5, "2025-03-01 10:00:00")]),
        ("more than was asked for", 5, many),
    ] {
        scene.odoo.answer_raw(request, answer(request, &records));
        let output = scene.run("books.db");
        assert_eq!(code(&output), 1, "{what}: {}", errors(&output));
        assert!(errors(&output).contains("not what was asked for"), "{what}: {}", errors(&output));
        assert_eq!(watermark(&scene, "account.move"), mark, "{what}");
        scene.assert_same("books.db");
        run(&scene, &[]);
    }
    // A list of times that are none: what is here differs from it, and is read again.
    let nonsense: Vec<(i64, &str)> = (1..=300).map(|id| (id, "soon")).collect();
    scene.odoo.answer_raw(5, answer(5, &nonsense));
    run(&scene, &[]);
    scene.assert_same("books.db");
}

/// Attack on P6 and P10.
#[test]
fn a_server_without_end_is_given_up() {
    let scene = Scene::new(Company::sized(3, 1_100, 60), PASSWORD);
    let clock = &scene.vault.clock;
    let ended = scene.run_patiently(Patience { most_pages: 1, ..Patience::default() }, clock, &mut |_, _| {});
    let error = ended.err().unwrap();
    assert!(matches!(error, SyncError::Endless(_)), "{error}");
    assert_eq!((error.verdict(), scene.open_leases()), (Verdict::Failed, 0));
    assert_eq!(number(&scene.sink("books.db"), "SELECT count(*) FROM account_move"), 1_000);
}

#[test]
fn a_sink_that_another_program_writes_to_is_tried_again_later() {
    let scene = Scene::new(Company::sized(3, 30, 20), PASSWORD);
    run(&scene, &[]);
    let mut other = SqliteConnection::establish(scene.sink("books.db").to_str().unwrap()).unwrap();
    other.batch_execute("BEGIN IMMEDIATE").unwrap();
    let output = scene.run("books.db");
    assert_eq!(code(&output), 75, "{}", errors(&output));
    assert!(errors(&output).contains("another program"), "{}", errors(&output));
    other.batch_execute("ROLLBACK").unwrap();
    run(&scene, &[]);
    scene.assert_same("books.db");
}

/// As an earlier version might have left it.
/// Attack on P1 and P10.
#[test]
fn a_sink_of_another_layout_is_refused_and_left_alone() {
    let scene = Scene::new(Company::sized(3, 30, 20), PASSWORD);
    let sink = scene.sink("books.db");
    let mut other = SqliteConnection::establish(sink.to_str().unwrap()).unwrap();
    other.batch_execute("CREATE TABLE pawl_sink (connection_id TEXT NOT NULL)").unwrap();
    let output = scene.run("books.db");
    assert_eq!(code(&output), 2, "{}", errors(&output));
    assert!(errors(&output).contains("another version"), "{}", errors(&output));
    assert_eq!(number(&sink, "SELECT count(*) FROM sqlite_master"), 1);
    assert_eq!(scene.asked().len(), 0);
}

/// A field that the policy gains is empty in what was read before: everything is read again.
#[test]
fn a_column_that_is_not_there_is_made_and_filled() {
    let scene = Scene::new(Company::sized(3, 30, 20), PASSWORD);
    run(&scene, &[]);
    let mut other = SqliteConnection::establish(scene.sink("books.db").to_str().unwrap()).unwrap();
    other.batch_execute("ALTER TABLE account_move DROP COLUMN amount_total").unwrap();
    run(&scene, &[]);
    scene.assert_same("books.db");
}
