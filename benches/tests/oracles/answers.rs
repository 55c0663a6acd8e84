//! Every recorded answer and as many generated ones, read by four readers to the same values and
//! types. Where a peer is known to differ, the rule that makes up for it says how, and no more.

use std::collections::BTreeMap;

use serde_json::{Value as Json, json};

use crate::readers::{by_dxr, by_xmlrpc};
use crate::xml_answers::{Oddity, by_pawl, by_python, generated, recordings};

fn how_many() -> usize {
    if std::env::var_os("TEST_LONG").is_some() { 20_000 } else { 300 }
}

/// A peer, what it does not read at all, and what it reads otherwise.
struct Peer {
    name: &'static str,
    reads: fn(&[u8]) -> Json,
    /// Changes the bytes into others that mean the same, for this peer to read.
    before: fn(&str) -> String,
    /// Changes what Pawl read into what this peer is known to make of it.
    expects: fn(Json) -> Json,
    /// Left out of what is generated for it; `every_oddity_left_out_is_one` holds each to be true.
    without: &'static [Oddity],
}

const PEERS: &[Peer] = &[
    Peer {
        name: "xmlrpc",
        reads: by_xmlrpc,
        before: |xml| one_kind_of_line_end(xml),
        expects: |read| without_white_texts(without_order(read)),
        without: &[Oddity::SpacedNumber],
    },
    Peer {
        name: "dxr",
        reads: by_dxr,
        before: |xml| typed_white_texts(xml),
        expects: without_order,
        without: &[],
    },
];

/// `xmlrpc` leaves `\r\n` and `\r` as they are; XML 1.0 (2.11) reads them as `\n`.
fn one_kind_of_line_end(xml: &str) -> String {
    xml.replace("\r\n", "\n").replace('\r', "\n")
}

/// `dxr` reads white space without a type as an empty text, and with `<string>` as it is; the
/// specification has the two mean the same.
fn typed_white_texts(xml: &str) -> String {
    let mut typed = String::new();
    for piece in xml.split_inclusive("</value>") {
        let inside = piece.strip_suffix("</value>").and_then(|it| it.rsplit_once("<value>"));
        match inside {
            Some((head, text)) if reads_white(text) => {
                typed.push_str(&format!("{head}<value><string>{text}</string></value>"));
            }
            _ => typed.push_str(piece),
        }
    }
    typed
}

/// Whether what stands between `<value>` and `</value>` is text, and white space alone.
fn reads_white(inside: &str) -> bool {
    let read = by_pawl(answer(inside).as_bytes());
    !inside.starts_with("<string>") && read[1][0] == "text" && is_white(read[1][1].as_str().unwrap())
}

fn is_white(text: &str) -> bool {
    text.bytes().all(|b| matches!(b, b' ' | b'\t' | b'\n' | b'\r'))
}

fn answer(inside: &str) -> String {
    format!("<methodResponse><params><param><value>{inside}</value></param></params></methodResponse>")
}

/// Both keep a struct as a map: the order of its members, which means nothing, is lost.
fn without_order(read: Json) -> Json {
    match read {
        Json::Array(all) if all.first() == Some(&json!("struct")) => {
            let members: BTreeMap<String, Json> =
                serde_json::from_value::<Vec<(String, Json)>>(all[1].clone())
                    .unwrap()
                    .into_iter()
                    .map(|(name, value)| (name, without_order(value)))
                    .collect();
            json!(["struct", members.into_iter().collect::<Vec<_>>()])
        }
        Json::Array(all) => all.into_iter().map(without_order).collect(),
        other => other,
    }
}

/// `xmlrpc` reads a text that is white space alone as an empty one.
fn without_white_texts(read: Json) -> Json {
    match read {
        Json::Array(all) if all.first() == Some(&json!("text")) => {
            let text = all[1].as_str().unwrap();
            json!(["text", if is_white(text) { "" } else { text }])
        }
        Json::Array(all) => all.into_iter().map(without_white_texts).collect(),
        other => other,
    }
}

/// Holds `bodies` against each peer, and answers how many comparisons that were.
fn compare(bodies: &BTreeMap<String, Vec<u8>>, peers: &[Peer]) -> usize {
    let mut compared = 0;
    for (name, body) in bodies {
        let text = std::str::from_utf8(body).unwrap();
        let ours = by_pawl(body);
        assert_ne!(ours[0], "error", "{name}: {text}");
        for peer in peers {
            let theirs = without_order((peer.reads)((peer.before)(text).as_bytes()));
            assert_eq!(theirs, (peer.expects)(ours.clone()), "{name} by {}: {text}", peer.name);
            compared += 1;
        }
    }
    compared
}

#[test]
fn recorded_answers_read_alike_in_all_four() {
    let mut recordings = recordings();
    // the one that is no XML-RPC: HTTP's own page for a GET
    let html = recordings.remove("xml-get").unwrap();
    assert_eq!([by_pawl(&html), by_xmlrpc(&html), by_dxr(&html)], [(); 3].map(|()| json!(["error"])));
    let python = by_python(&recordings);
    for (name, body) in &recordings {
        assert_eq!(by_pawl(body), python[name], "{name}");
    }
    assert_eq!(compare(&recordings, PEERS), 2 * recordings.len());
    assert!(recordings.len() >= 77, "{}", recordings.len());
}

#[test]
fn generated_answers_read_alike_in_all_four() {
    let all = generated(how_many(), &[]);
    let python = by_python(&all);
    assert_eq!(python.len(), how_many());
    for (name, body) in &all {
        assert_eq!(by_pawl(body), python[name], "{}", String::from_utf8_lossy(body));
    }
    for peer in PEERS {
        let bodies = generated(how_many(), peer.without);
        assert_eq!(compare(&bodies, std::slice::from_ref(peer)), how_many(), "{}", peer.name);
    }
}

/// Were a peer to read one of them after all, it would have to be generated for it too.
#[test]
fn every_oddity_left_out_is_one() {
    let examples = |oddity| match oddity {
        Oddity::SpacedNumber => ["<int> 1</int>", "<double>1.5\n</double>"],
    };
    for (peer, oddity) in PEERS.iter().flat_map(|peer| peer.without.iter().map(move |it| (peer, *it))) {
        for inside in examples(oddity) {
            let xml = answer(inside);
            assert_eq!(by_pawl(xml.as_bytes())[0], "result", "{inside}");
            assert_eq!((peer.reads)(xml.as_bytes()), json!(["error"]), "{inside} by {}", peer.name);
        }
    }
}
