//! What Odoo does not show is not always gone: what a run takes from the sink, and what it leaves.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::changes::answer;
use crate::scene::{Scene, code, deposit, errors, number};
use crate::standin::PASSWORD;
use crate::standin::company::Company;
use crate::standin::wire::Value;

const MOVES: &str = "SELECT count(*) FROM account_move";

/// What a front leaves of an answer: the question, a record and its place.
type Leaves = fn(&str, &str, usize) -> bool;

/// A scene whose Odoo answers through a front, while that is on.
fn behind(company: Company, leaves: Leaves) -> (Scene, Arc<AtomicBool>) {
    let is_on = Arc::new(AtomicBool::new(false));
    let mut scene = Scene::new(company, PASSWORD);
    let mut body = deposit(&scene.odoo, PASSWORD);
    body["url"] = front(&scene.odoo.url(), leaves, is_on.clone()).into();
    scene.connection = scene.vault.deposit_as("acme", "ada", &body);
    (scene, is_on)
}

/// Serves until the test ends.
fn front(odoo: &str, leaves: Leaves, is_on: Arc<AtomicBool>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let odoo = odoo.strip_prefix("http://").unwrap().to_owned();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (mut stream, mut asked, mut chunk) = (stream.unwrap(), Vec::new(), [0; 4096]);
            while !asked.ends_with(b"</methodCall>\n") && !is_other(&asked) {
                let read = stream.read(&mut chunk).unwrap();
                assert!(read > 0, "a request broke off");
                asked.extend_from_slice(&chunk[..read]);
            }
            // It lets XML-RPC through and nothing else.
            if is_other(&asked) {
                let _ = stream.write_all(NOT_THERE);
                continue;
            }
            let mut beyond = TcpStream::connect(&odoo).unwrap();
            beyond.write_all(&asked).unwrap();
            let mut answer = String::new();
            beyond.read_to_string(&mut answer).unwrap();
            let mut body = answer.split_once("\r\n\r\n").unwrap().1.to_owned();
            if is_on.load(Ordering::SeqCst) {
                body = left_of(&body, |record, n| leaves(&String::from_utf8_lossy(&asked), record, n));
            }
            let length = body.len();
            let head = format!(
                "HTTP/1.0 200 OK\r\nContent-Type: text/xml; charset=utf-8\r\nContent-Length: {length}\r\n\
                 Connection: close\r\n\r\n"
            );
            // The worker may have been killed.
            let _ = stream.write_all((head + &body).as_bytes());
        }
    });
    url
}

pub const NOT_THERE: &[u8] = b"HTTP/1.0 404 NOT FOUND\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";

/// Whether it is a whole request that is none of XML-RPC.
pub fn is_other(asked: &[u8]) -> bool {
    let text = String::from_utf8_lossy(asked);
    let is_whole =
        text.split_once("\r\n\r\n").is_some_and(|(_, body)| !text.starts_with("POST") || body.ends_with('}'));
    is_whole && !text.starts_with("POST /xmlrpc")
}

fn left_of(body: &str, leaves: impl Fn(&str, usize) -> bool) -> String {
    const END: &str = "</struct></value>\n";
    let mut pieces: Vec<&str> = body.split_inclusive(END).collect();
    let tail = pieces.pop().unwrap();
    let Some((head, first)) = pieces.first().and_then(|first| first.split_once("<value><struct>")) else {
        return body.to_owned();
    };
    let first = format!("<value><struct>{first}");
    pieces[0] = &first;
    let left = pieces.iter().enumerate().filter(|(n, record)| leaves(record, *n));
    let left: String = left.map(|(_, record)| *record).collect();
    format!("{head}{left}{tail}")
}

fn id(record: &str) -> i64 {
    let (_, rest) = record.split_once("<name>id</name>\n<value><int>").unwrap();
    rest.split_once('<').unwrap().0.parse().unwrap()
}

fn is_of_moves(asked: &str) -> bool {
    asked.contains("<string>account.move</string>")
}

/// Asserts that a run ends well.
fn run(scene: &Scene, more: &[&str]) {
    let output = scene.command("books.db", more).output().unwrap();
    assert_eq!(code(&output), 0, "{}", errors(&output));
}

/// Odoo leaves a record out of an answer when one of its fields leads to a record that is gone.
#[test]
fn what_cannot_be_read_on_its_page_stays_and_is_read_when_it_can() {
    let (scene, is_on) = behind(Company::sized(3, 1_100, 40), |asked, record, _| {
        !(is_of_moves(asked) && asked.contains("amount_residual") && id(record) == 500)
    });
    run(&scene, &[]);
    is_on.store(true, Ordering::SeqCst);
    let here = "SELECT count(*) FROM account_move WHERE id = 500";
    for more in [&["--full"][..], &[], &[]] {
        scene.odoo.edit(|company| {
            let last = *company.ids("account.move").last().unwrap();
            company.remove("account.move", last);
            company.edit("account.move", 500, |entry| {
                entry.insert("amount_residual", Value::Float(last as f64));
            });
        });
        run(&scene, more);
        assert_eq!(number(&scene.sink("books.db"), here), 1, "{more:?}");
        let there = scene.odoo.company().ids("account.move").len() as i64;
        assert_eq!(number(&scene.sink("books.db"), MOVES), there, "{more:?}");
    }
    // What was never read is found when it can be.
    let output = scene.run("fresh.db");
    assert_eq!(code(&output), 0, "{}", errors(&output));
    assert_eq!(number(&scene.sink("fresh.db"), here), 0);
    is_on.store(false, Ordering::SeqCst);
    for sink in ["books.db", "fresh.db"] {
        let output = scene.run(sink);
        assert_eq!(code(&output), 0, "{}", errors(&output));
        scene.assert_same(sink);
    }
}

/// Attack on P6 and P10.
#[test]
fn a_gateway_that_caps_pages_hides_and_removes_nothing() {
    let (scene, is_on) = behind(Company::sized(3, 1_100, 350), |_, _, n| n < 300);
    is_on.store(true, Ordering::SeqCst);
    for more in [&[][..], &[], &["--full"]] {
        run(&scene, more);
        scene.assert_same("books.db");
        scene.odoo.edit(|company| {
            let ids = company.ids("account.move");
            company.remove("account.move", ids[10]);
            company.remove("account.move", ids[ids.len() - 1]);
        });
    }
}

#[test]
fn an_empty_answer_after_a_newest_record_removes_nothing() {
    let scene = Scene::new(Company::sized(3, 90, 40), PASSWORD);
    run(&scene, &[]);
    // The only page of a whole sweep; the list, after what was written since and its end.
    for (more, request) in [(&["--full"][..], 3), (&[], 5)] {
        scene.odoo.answer_raw(request, answer(request, &[]));
        let output = scene.command("books.db", more).output().unwrap();
        assert_eq!(code(&output), 1, "{more:?}: {}", errors(&output));
        assert!(errors(&output).contains("then none at all"), "{}", errors(&output));
        scene.assert_same("books.db");
        run(&scene, &[]);
        scene.assert_same("books.db");
    }
}

#[test]
fn what_becomes_empty_while_it_is_read_is_emptied() {
    let scene = Scene::new(Company::sized(3, 90, 40), PASSWORD);
    run(&scene, &[]);
    scene.odoo.hold(3);
    let worker = scene.spawn_with("books.db", &["--full"]);
    assert!(scene.odoo.wait_until_held());
    scene.odoo.edit(|company| {
        company.ids("account.move").into_iter().for_each(|id| company.remove("account.move", id));
    });
    scene.odoo.release();
    worker.end();
    run(&scene, &["--accept-removals"]);
    scene.assert_same("books.db");
    assert_eq!(number(&scene.sink("books.db"), MOVES), 0);
}

/// As when one of the bot's companies is taken from it.
#[test]
fn much_is_removed_only_by_leave() {
    let (scene, is_on) =
        behind(Company::sized(3, 600, 40), |asked, record, _| !is_of_moves(asked) || id(record) <= 300);
    run(&scene, &[]);
    is_on.store(true, Ordering::SeqCst);
    for more in [&[][..], &["--full"], &[]] {
        let output = scene.command("books.db", more).output().unwrap();
        assert_eq!(code(&output), 1, "{more:?}: {}", errors(&output));
        let said = errors(&output);
        assert!(said.contains("300 of 600 records of account.move are no longer shown"), "{said}");
        assert!(said.contains("--accept-removals"), "{said}");
        scene.assert_same("books.db");
        assert_eq!(scene.open_leases(), 0);
    }
    is_on.store(false, Ordering::SeqCst);
    run(&scene, &[]);
    scene.assert_same("books.db");

    scene.odoo.edit(|company| (1..=300).for_each(|id| company.remove("account.move", id)));
    assert_eq!(code(&scene.run("books.db")), 1);
    run(&scene, &["--accept-removals"]);
    scene.assert_same("books.db");
    run(&scene, &[]);
}

/// Attack on P6 and P10.
#[test]
fn a_run_killed_before_it_removes_is_gone_on_with_and_removes_then() {
    let scene = Scene::new(Company::sized(3, 1_100, 40), PASSWORD);
    run(&scene, &[]);
    scene.odoo.edit(|company| [3, 500, 1_100].iter().for_each(|id| company.remove("account.move", *id)));
    // Login, newest, what was written since and its end, the list and its end, and those three again.
    scene.odoo.hold(7);
    let mut worker = scene.spawn("books.db");
    assert!(scene.odoo.wait_until_held());
    assert_eq!(number(&scene.sink("books.db"), "SELECT count(*) FROM pawl_missing"), 3);
    assert_eq!(number(&scene.sink("books.db"), MOVES), 1_100);
    worker.child.kill().unwrap();
    worker.child.wait().unwrap();
    scene.odoo.release();
    run(&scene, &[]);
    scene.assert_same("books.db");
    assert_eq!(number(&scene.sink("books.db"), "SELECT count(*) FROM pawl_missing"), 0);
}
