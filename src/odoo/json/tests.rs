//! The reader against serde_json over whatever a seed makes of JSON, and against what nobody honest sends.
#![allow(clippy::as_conversions)]

use serde_json::Value as Json;

use super::*;
use crate::odoo::caps::Caps;
use crate::odoo::decimal::Decimal;
use crate::odoo::readable::{Fields, Readable};
use crate::odoo::record::{Cell, Record};

struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        // xorshift64*, Vigna 2016
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % bound
    }

    fn of<'a>(&mut self, all: &[&'a str]) -> &'a str {
        all[self.below(all.len())]
    }
}

fn skim(answer: &[u8]) -> Result<(), JsonError> {
    let mut reader = Reader::begin(answer, &Caps::default())?;
    reader.skip(0)?;
    reader.end()
}

fn rounds(few: usize) -> usize {
    if std::env::var_os("TEST_LONG").is_some() { few * 50 } else { few }
}

const PIECES: &[&str] = &[
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "\"",
    "\"a\"",
    "\"b\":",
    "\"\\u00e9\"",
    "\"\\ud83d\\ude00\"",
    "\"\\ud83d\"",
    "\\",
    "\\u0001",
    "\\x",
    "0",
    "-0",
    "01",
    "1.5",
    "1.",
    ".5",
    "-",
    "1e5",
    "1E+5",
    "1e",
    "1e999",
    "-9223372036854775808",
    "true",
    "false",
    "null",
    "nul",
    "NaN",
    "Infinity",
    " ",
    "\t",
    "\n",
    "\r",
    "\u{1}",
    "é🧾",
    "/*",
    "'",
    "\u{feff}",
];

/// Attack on P10.
#[test]
fn what_is_json_is_what_another_reader_takes_for_it() {
    let mut dice = Dice(0x6a50_4e5e);
    let (mut taken, mut refused) = (0, 0);
    let seeds = [
        r#"[{"id": 1, "name": "a\n", "x": [1, "b"], "y": [1, 2], "z": false}, {"id": 2, "name": "é", "x": null, "y": [], "z": 1.50}]"#,
        r#"{"jsonrpc": "2.0", "id": 7, "error": {"code": 0, "data": {"name": "builtins.ValueError", "message": "m", "debug": "\u0001"}}}"#,
        "\"text\"",
        "-12.5e-3",
        "[[[[]]]]",
    ];
    for _ in 0..rounds(20_000) {
        let mut text: Vec<u8> = match dice.below(3) {
            0 => (0..dice.below(8)).flat_map(|_| dice.of(PIECES).bytes()).collect(),
            _ => dice.of(&seeds).into(),
        };
        for _ in 0..dice.below(3) {
            let at = dice.below(text.len() + 1);
            match dice.below(3) {
                0 => drop(text.splice(at..at, dice.of(PIECES).bytes())),
                1 if at < text.len() => text[at] = dice.below(256) as u8,
                _ => text.truncate(at),
            }
        }
        let shown = String::from_utf8_lossy(&text).into_owned();
        let (ours, theirs) = (skim(&text), serde_json::from_slice::<Json>(&text));
        match ours {
            // The other lets the last one win.
            Err(TWICE) => continue,
            ours => assert_eq!(ours.is_ok(), theirs.is_ok(), "{shown}: {ours:?} {theirs:?}"),
        }
        if theirs.is_ok() { taken += 1 } else { refused += 1 }
    }
    assert!(taken > 1_000 && refused > 1_000, "{taken} {refused}");
}

fn fields() -> Fields {
    let model = Readable::embedded().unwrap().model("account.move.line").unwrap();
    model.fields(&["name", "quantity", "sequence", "product_id", "tax_ids", "date"]).unwrap()
}

fn read(answer: &[u8]) -> Result<Vec<Record>, JsonError> {
    let mut records = Vec::new();
    read_records(answer, &Caps::default(), &fields(), &mut |record| records.push(record))?;
    Ok(records)
}

const ONE: &str = r#"[{"id": 7, "name": "n", "quantity": 1.50, "sequence": 3, "product_id": [5, "p"], "tax_ids": [1, 2], "date": "2026-11-27"}]"#;

/// In any order, with any space, each kind with and without a value; held against another reader.
#[test]
fn records_are_what_another_reader_reads() {
    let mut dice = Dice(0x5eed);
    for _ in 0..rounds(200) {
        let (mut written, mut expected) = (Vec::new(), Vec::new());
        for _ in 0..dice.below(5) {
            let id = 1 + dice.below(9_000) as i64;
            let text = dice.of(&[
                "",
                "plain",
                "q\\\"\\\\\\/",
                "\\u00e9\\ud83e\\uddfe",
                "é🧾",
                "\\ttab\\nline",
                "]}{[,:",
            ]);
            let number = dice.of(&[
                "0",
                "-0.0",
                "3846.10",
                "1e+16",
                "0.30000000000000004",
                "12345678901234567890.125",
            ]);
            let whole = dice.of(&["0", "-1", "9223372036854775807", "-9223372036854775808"]);
            let mut members = [
                ("id", id.to_string()),
                ("name", format!("\"{text}\"")),
                ("quantity", number.to_owned()),
                ("sequence", whole.to_owned()),
                ("product_id", format!("[ {id},\t\"{text}\" ]")),
                ("tax_ids", dice.of(&["[]", "[1]", "[ 3 ,2,\n1 ]"]).to_owned()),
                ("date", "\"2026-11-27\"".to_owned()),
            ];
            let value = |name: &str| -> Json {
                let (_, written) = members.iter().find(|(member, _)| *member == name).unwrap();
                serde_json::from_str(written).unwrap()
            };
            let text = value("name").as_str().unwrap().to_owned();
            let ids = value("tax_ids").as_array().unwrap().iter().map(|id| id.as_i64().unwrap()).collect();
            let mut cells = vec![
                Cell::Text(text.as_str().into()),
                Cell::Number(Decimal::parse(number).unwrap()),
                Cell::Int(value("sequence").as_i64().unwrap()),
                Cell::Ref { id, name: text.into() },
                Cell::Ids(ids),
                Cell::Text("2026-11-27".into()),
            ];
            for (cell, member) in cells.iter_mut().zip(&mut members[1..]) {
                if dice.below(4) == 0 {
                    (*cell, member.1) = (Cell::Empty, dice.of(&["false", "null"]).to_owned());
                }
            }
            let (one, other) = (dice.below(members.len()), dice.below(members.len()));
            members.swap(one, other);
            let space = dice.of(&["", " ", "\n\t"]);
            let members: Vec<String> = members
                .iter()
                .map(|(name, value)| format!("{space}\"{name}\"{space}:{value}{space}"))
                .collect();
            written.push(format!("{{{}}}", members.join(",")));
            expected.push(Record { id, cells });
        }
        let written = format!(" [{}]\n", written.join(" ,"));
        assert_eq!(read(written.as_bytes()), Ok(expected), "{written}");
    }
}

/// XML readers give `\n` for each line end, and Odoo's XML-RPC leaves control characters out.
#[test]
fn a_text_is_as_xml_could_carry_it() {
    let text = r#"Ctl\u0001\b\u000b\u001fname\ttab\nnew\r\nline\rend\u007f\u0085"#;
    let answer = ONE.replace("\"n\"", &format!("\"{text}\"")).replace("\"p\"", "\"a\\r\\u0000b\"");
    let record = read(answer.as_bytes()).unwrap().remove(0);
    assert_eq!(record.cells[0], Cell::Text("Ctlname\ttab\nnew\nline\nend\u{7f}\u{85}".into()));
    assert_eq!(record.cells[3], Cell::Ref { id: 5, name: "a\nb".into() });
}

/// Attack on P10.
#[test]
fn hostile_json_ends_in_an_error_that_quotes_nothing() {
    assert_eq!(read(ONE.as_bytes()).unwrap().len(), 1);
    let (deep, wide) = ("[".repeat(1 << 20), format!("[{}]", "0,".repeat(3_000_000)));
    let nested = "{\"a\":".repeat(1 << 20);
    let members: String = (0..1025).map(|n| format!("\"{n}\":1,")).collect();
    let limit = |what| Err(JsonError::Limit(what));
    for (answer, expected) in [
        (deep, limit("depth")),
        (nested, limit("depth")),
        (wide, limit("values")),
        (format!("\"{}\"", "x".repeat((16 << 20) + 1)), limit("text")),
        (format!("\"{}\"", "\\u0001xxxxxxxxxxxxxxxx".repeat(1 << 20)), limit("text")),
        (format!("1{}", "0".repeat(400)), limit("number")),
        (format!("0.{}", "1".repeat(399)), limit("number")),
        (format!("{{{members}\"x\":1}}"), limit("members")),
        ("{\"a\":1,\"b\":{\"c\":1,\"c\":2}}".into(), Err(TWICE)),
        ("{\"a\":1,\"\\u0061\":2}".into(), Err(TWICE)),
    ] {
        assert_eq!(skim(answer.as_bytes()), expected, "{:.80}", answer);
    }
    for (from, to) in [
        ("\"name\": \"n\"", "\"name\": \"n\", \"name\": \"n\""),
        ("\"name\": \"n\"", "\"\\u006eame\": \"n\", \"name\": \"n\""),
        ("\"name\": \"n\", ", ""),
        ("\"name\"", "\"password\""),
        ("\"n\"", "1"),
        ("\"n\"", "true"),
        ("\"n\"", "[\"n\"]"),
        ("\"n\"", "{}"),
        ("\"n\"", "\"a\nb\""),
        ("\"n\"", "\"\\ud800\""),
        ("1.50", "\"1.50\""),
        ("1.50", "1e999"),
        ("1.50", "01.5"),
        ("1.50", "NaN"),
        ("\"sequence\": 3", "\"sequence\": 3.0"),
        ("\"sequence\": 3", "\"sequence\": 9223372036854775808"),
        ("\"sequence\": 3", "\"sequence\": 03"),
        ("[5, \"p\"]", "[5]"),
        ("[5, \"p\"]", "[5, \"p\", 1]"),
        ("[5, \"p\"]", "[5, 6]"),
        ("[5, \"p\"]", "5"),
        ("[1, 2]", "[1, \"2\"]"),
        ("[1, 2]", "[1, 2"),
        ("[1, 2]", "[1, 2,]"),
        ("\"id\": 7", "\"id\": 0"),
        ("\"id\": 7", "\"id\": -7"),
        ("\"id\": 7", "\"id\": \"7\""),
        ("\"id\": 7, ", ""),
        ("}]", "}] []"),
        ("[{", "{"),
    ] {
        let answer = ONE.replacen(from, to, 1);
        assert_ne!(answer, ONE);
        let refused = read(answer.as_bytes());
        assert!(matches!(refused, Err(JsonError::Malformed(_))), "{answer}");
        assert!(!format!("{refused:?}").contains("2026"), "{refused:?}");
    }
    assert!(read(b"[\"\xff\"]").is_err());
    for end in 0..ONE.len() {
        assert!(read(&ONE.as_bytes()[..end]).is_err(), "{end}");
    }
}
