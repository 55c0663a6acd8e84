//! What is removed from a sink, and what is not: a record left out of a page, an answer that is empty for
//! a moment, half a model hidden from the bot, somebody else's file.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::changes::answer;
use crate::missing::{NOT_THERE, is_other};
use crate::scene::{Scene, code, deposit, errors, number};
use crate::standin::PASSWORD;
use crate::standin::company::Company;

fn http(body: &str) -> String {
    let length = body.len();
    format!(
        "HTTP/1.0 200 OK\r\nContent-Type: text/xml; charset=utf-8\r\nContent-Length: {length}\r\n\
         Connection: close\r\n\r\n{body}"
    )
}

/// Between the worker and the stand-in: leaves the 500th record out of every page of a thousand, in
/// silence, as Odoo leaves out one that it can't show whole.
fn leaving_out(odoo: &str, on: Arc<AtomicBool>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let odoo = odoo.strip_prefix("http://").unwrap().to_owned();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (mut stream, odoo, on) = (stream.unwrap(), odoo.clone(), on.clone());
            std::thread::spawn(move || {
                let (mut asked, mut chunk) = (Vec::new(), [0; 4096]);
                while !asked.ends_with(b"</methodCall>\n") && !is_other(&asked) {
                    match stream.read(&mut chunk) {
                        Ok(read @ 1..) => asked.extend_from_slice(&chunk[..read]),
                        _ => return,
                    }
                }
                if is_other(&asked) {
                    let _ = stream.write_all(NOT_THERE);
                    return;
                }
                let mut beyond = TcpStream::connect(&odoo).unwrap();
                beyond.write_all(&asked).unwrap();
                let mut answer = String::new();
                beyond.read_to_string(&mut answer).unwrap();
                let body = answer.split_once("\r\n\r\n").unwrap().1;
                let mut parts: Vec<&str> = body.split("<value><struct>").collect();
                if on.load(Ordering::SeqCst) && parts.len() == 1_001 {
                    parts.remove(500);
                }
                let _ = stream.write_all(http(&parts.join("<value><struct>")).as_bytes());
            });
        }
    });
    url
}

/// Attack on P6 and P10.
#[test]
fn a_page_with_a_record_left_out_is_not_the_last_and_removes_nothing() {
    let on = Arc::new(AtomicBool::new(false));
    let mut scene = Scene::new(Company::sized(3, 2_500, 40), PASSWORD);
    let mut body = deposit(&scene.odoo, PASSWORD);
    body["url"] = leaving_out(body["url"].as_str().unwrap(), on.clone()).into();
    scene.connection = scene.vault.deposit_as("acme", "ada", &body);
    assert_eq!(code(&scene.run("books.db")), 0);
    scene.assert_same("books.db");
    on.store(true, Ordering::SeqCst);
    let output = scene.command("books.db", &["--no-wait", "--full"]).output().unwrap();
    assert_eq!(code(&output), 0, "{}", errors(&output));
    scene.assert_same("books.db");
    // a fresh sink lacks what was never shown, and nothing after it
    assert_eq!(code(&scene.run("fresh.db")), 0);
    let there = number(&scene.sink("fresh.db"), "SELECT count(*) FROM account_move");
    assert!((2_490..2_500).contains(&there), "{there}");
    // what is left out of no page any more comes with the next whole sweep
    on.store(false, Ordering::SeqCst);
    let output = scene.command("fresh.db", &["--no-wait", "--full"]).output().unwrap();
    assert_eq!(code(&output), 0, "{}", errors(&output));
    scene.assert_same("fresh.db");
}

/// Attack on P6 and P10.
#[test]
fn an_answer_that_is_empty_for_a_moment_empties_nothing() {
    // login, the newest move, then the first page of what changed, the listing, …
    for nth in 3..=8 {
        let scene = Scene::new(Company::sized(3, 300, 20), PASSWORD);
        assert_eq!(code(&scene.run("books.db")), 0);
        scene.odoo.answer_raw(nth, answer(nth, &[]));
        let _ = scene.run("books.db");
        assert_eq!(number(&scene.sink("books.db"), "SELECT count(*) FROM account_move"), 300, "{nth}");
        assert_eq!(code(&scene.run("books.db")), 0);
        scene.assert_same("books.db");
    }
}

/// Attack on P6 and P10.
#[test]
fn much_at_once_is_removed_only_when_that_was_said() {
    let scene = Scene::new(Company::sized(3, 600, 20), PASSWORD);
    assert_eq!(code(&scene.run("books.db")), 0);
    let ids = scene.odoo.company().ids("account.move");
    scene.odoo.edit(|company| {
        for id in ids.into_iter().take(300) {
            company.remove("account.move", id);
        }
    });
    for _ in 0..2 {
        let output = scene.run("books.db");
        assert_eq!(code(&output), 1, "{}", errors(&output));
        let said = errors(&output);
        assert!(
            said.contains("300 of 600 records of account.move") && said.contains("--accept-removals"),
            "{said}"
        );
        assert_eq!(number(&scene.sink("books.db"), "SELECT count(*) FROM account_move"), 600);
    }
    let output = scene.command("books.db", &["--no-wait", "--accept-removals"]).output().unwrap();
    assert_eq!(code(&output), 0, "{}", errors(&output));
    scene.assert_same("books.db");
}

/// Attack on P1 and P10.
#[test]
fn a_database_of_another_program_is_not_taken_over() {
    use diesel::connection::SimpleConnection;
    use diesel::{Connection, SqliteConnection};
    let scene = Scene::new(Company::sized(3, 30, 20), PASSWORD);
    let sink = scene.sink("mine.db");
    let mut own = SqliteConnection::establish(sink.to_str().unwrap()).unwrap();
    own.batch_execute(
        "PRAGMA user_version = 41; CREATE TABLE res_partner (id INTEGER PRIMARY KEY, note TEXT); \
         INSERT INTO res_partner VALUES (100001, 'mine')",
    )
    .unwrap();
    drop(own);
    let before = std::fs::read(&sink).unwrap();
    let output = scene.run("mine.db");
    assert_eq!(code(&output), 2, "{}", errors(&output));
    assert!(errors(&output).contains("of another program"), "{}", errors(&output));
    assert_eq!(std::fs::read(&sink).unwrap(), before);
    assert_eq!(scene.odoo.seen().len(), 0);
}

/// Attack on P1 and P10.
#[test]
fn a_sink_by_another_name_is_the_same_sink() {
    let scene = Scene::new(Company::sized(3, 1_200, 20), PASSWORD);
    assert_eq!(code(&scene.run("books.db")), 0);
    std::os::unix::fs::symlink(scene.sink("books.db"), scene.sink("link.db")).unwrap();
    scene.odoo.hold(3);
    let first = scene.spawn("books.db");
    assert!(scene.odoo.wait_until_held());
    let second = scene.run("link.db");
    assert_eq!(code(&second), 75, "{}", errors(&second));
    assert!(errors(&second).contains("another run is writing to"), "{}", errors(&second));
    scene.odoo.release();
    let (ended, said) = first.end();
    assert_eq!(ended, 0, "{said}");
}
