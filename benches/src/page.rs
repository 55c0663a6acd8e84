//! The recorded page of 80 invoices, made longer.

use std::path::Path;

/// `records` invoices as Odoo wrote them, in one answer: those of `xml-page-80` over and over, each
/// with an id of its own.
pub fn of(records: usize) -> String {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/odoo-wire");
    let whole = std::fs::read_to_string(dir.join("xml-page-80.response")).unwrap();
    let (_, body) = whole.split_once("\r\n\r\n").unwrap();
    let (head, rest) = body.split_once("<data>\n").unwrap();
    let (inside, tail) = rest.rsplit_once("</data>").unwrap();
    let recorded: Vec<&str> = inside.split_inclusive("</struct></value>\n").collect();
    assert_eq!(recorded.len(), 80);
    let mut page = format!("{head}<data>\n");
    for (id, record) in (1..=records).zip(recorded.iter().cycle()) {
        let (before, after) = record.split_once("<name>id</name>\n<value><int>").unwrap();
        let (_, after) = after.split_once('<').unwrap();
        page.push_str(&format!("{before}<name>id</name>\n<value><int>{id}<{after}"));
    }
    page + "</data>" + tail
}

/// The same as JSON-2 answers it, of the recorded `json2/page-80`.
pub fn json_of(records: usize) -> String {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/odoo-wire");
    let whole = std::fs::read_to_string(dir.join("json2/page-80.response")).unwrap();
    let (_, body) = whole.split_once("\r\n\r\n").unwrap();
    let inside = body.trim().strip_prefix("[{\"id\": ").unwrap().strip_suffix("}]").unwrap();
    let recorded: Vec<&str> = inside.split("}, {\"id\": ").collect();
    assert_eq!(recorded.len(), 80);
    let records = (1..=records).zip(recorded.iter().cycle()).map(|(id, record)| {
        let (_, rest) = record.split_once(',').unwrap();
        format!("{{\"id\": {id},{rest}}}")
    });
    format!("[{}]", records.collect::<Vec<_>>().join(", "))
}
