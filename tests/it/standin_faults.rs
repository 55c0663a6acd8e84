//! What can be made to go wrong with the stand-in's answers, and that only that goes wrong.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::standin::company::Company;
use crate::standin::{API_KEY, DATABASE, StandIn};

/// Asks for names, lowest id first; not yet read.
fn asked(odoo: &StandIn, limit: usize) -> TcpStream {
    let texts =
        [DATABASE, API_KEY, "account.move", "search_read"].map(|text| format!("<string>{text}</string>"));
    let [database, key, model, method] = texts;
    let named = format!(
        "<struct><member><name>fields</name><value><array><data><value><string>name</string></value>\
         <value><string>narration</string></value></data></array></value></member><member><name>limit</name>\
         <value><int>{limit}</int></value></member></struct>"
    );
    let params = [&database, "<int>10</int>", &key, &model, &method, "<array><data></data></array>", &named];
    let params: String = params.map(|param| format!("<param><value>{param}</value></param>")).concat();
    let body =
        format!("<methodCall><methodName>execute_kw</methodName><params>{params}</params></methodCall>");
    let mut stream = TcpStream::connect(odoo.url().strip_prefix("http://").unwrap()).unwrap();
    let head = format!("POST /xmlrpc/2/object HTTP/1.1\r\nContent-Length: {}\r\n\r\n", body.len());
    stream.write_all(&[head, body].concat().into_bytes()).unwrap();
    stream
}

fn answer(mut stream: TcpStream) -> String {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).unwrap();
    String::from_utf8_lossy(&bytes).into_owned()
}

#[test]
fn what_is_to_go_wrong_does_and_nothing_else() {
    let odoo = StandIn::start(Company::small(1)).unwrap();
    let ask = || answer(asked(&odoo, 20));
    let whole = ask();
    let (head, body) = whole.split_once("\r\n\r\n").unwrap();
    assert_eq!(body.matches("<name>id</name>").count(), 20);
    odoo.break_off(2, 300);
    odoo.answer_status(3, "502 BAD GATEWAY");
    odoo.trickle(4, 1);
    odoo.answer_raw(5, "");
    odoo.break_off(6, 0);
    assert_eq!(ask(), whole);
    assert_eq!(ask(), format!("{head}\r\n\r\n{}", &body[..300]));
    let gateway = ask();
    assert!(gateway.starts_with("HTTP/1.0 502 BAD GATEWAY\r\n"), "{gateway}");
    assert!(gateway.contains("<h1>BAD GATEWAY</h1>"), "{gateway}");
    assert_eq!(ask(), whole, "a byte at a time is the same answer");
    assert_eq!(ask(), "");
    assert_eq!(ask(), format!("{head}\r\n\r\n"));
    assert_eq!(ask(), whole);
    // What was answered wrongly was asked all the same.
    let seen = odoo.seen();
    assert_eq!(seen.len(), 8);
    assert!(seen.iter().all(|seen| (seen.fields, seen.limit, seen.domain.as_str()) == (2, 20, "")));
}

#[test]
fn an_answer_can_stop_in_the_middle_and_go_on() {
    let odoo = StandIn::start(Company::small(1)).unwrap();
    let whole = answer(asked(&odoo, 20));
    let head = whole.find("\r\n\r\n").unwrap() + 4;
    odoo.stall(1, 500);
    let mut stream = asked(&odoo, 20);
    assert!(odoo.wait_until_held());
    let mut first = vec![0; head + 500];
    stream.read_exact(&mut first).unwrap();
    stream.set_nonblocking(true).unwrap();
    assert_eq!(stream.read(&mut [0]).unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
    stream.set_nonblocking(false).unwrap();
    odoo.release();
    assert_eq!([first, answer(stream).into_bytes()].concat(), whole.into_bytes());
}

#[test]
fn as_many_are_at_work_as_there_are_workers() {
    let odoo = StandIn::start(Company::small(1)).unwrap();
    odoo.set_workers(2);
    odoo.hold(1);
    let first = asked(&odoo, 1);
    assert!(odoo.wait_until_held());
    // The second worker is free, and again for the next.
    assert_eq!(answer(asked(&odoo, 2)).matches("<name>id</name>").count(), 2);
    odoo.set_workers(1);
    let second = asked(&odoo, 3);
    assert!(odoo.wait_until_waiting());
    assert_eq!(odoo.seen().len(), 2, "the third is not even read");
    odoo.release();
    assert_eq!(answer(first).matches("<name>id</name>").count(), 1);
    assert_eq!(answer(second).matches("<name>id</name>").count(), 3);
    let limits: Vec<i64> = odoo.seen().iter().map(|seen| seen.limit).collect();
    assert_eq!(limits, [1, 2, 3]);
}

#[test]
fn latency_is_what_an_answer_takes_at_least() {
    let odoo = StandIn::start(Company::small(1)).unwrap();
    odoo.set_latency(Duration::from_millis(30));
    let began = Instant::now();
    answer(asked(&odoo, 1));
    assert!(began.elapsed() >= Duration::from_millis(30));
}
