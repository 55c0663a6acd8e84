//! Time and transactions in the stand-in, as they were recorded from a real Odoo: what a bound on
//! `write_date` finds, by what it is ordered, and what becomes visible late.

use std::time::Duration;

use serde_json::{Value as Json, json};

use crate::harness::raw;
use crate::standin::company::Company;
use crate::standin::time::{second, shown};
use crate::standin::wire::Value;
use crate::standin::{DATABASE, PASSWORD, StandIn};

/// What a call with these named arguments answers, over JSON-RPC.
fn ask(odoo: &StandIn, model: &str, method: &str, named: &Json) -> String {
    let args = json!([DATABASE, 10, PASSWORD, model, method, [], named]);
    let body = json!({"jsonrpc": "2.0", "method": "call", "id": 1,
                      "params": {"service": "object", "method": "execute_kw", "args": args}});
    let head = "Content-Type: application/json\r\n";
    let answer = raw(&odoo.url(), "POST", "/jsonrpc", head, body.to_string().as_bytes());
    let result = answer.body.strip_prefix(r#"{"jsonrpc": "2.0", "id": 1, "result": "#);
    result.unwrap_or_else(|| panic!("{}", answer.body)).strip_suffix('}').unwrap().to_owned()
}

fn found(odoo: &StandIn, model: &str, domain: &Json) -> Vec<i64> {
    let named = json!({"domain": domain, "fields": ["write_date"], "order": "id asc"});
    let records: Json = serde_json::from_str(&ask(odoo, model, "search_read", &named)).unwrap();
    records.as_array().unwrap().iter().map(|record| record["id"].as_i64().unwrap()).collect()
}

/// Four invoices, written by a transaction each, all within the second at which it was recorded.
fn tied() -> StandIn {
    let odoo = StandIn::start(Company::small(1)).unwrap();
    odoo.set_clock(second("2026-11-23 17:19:00").unwrap());
    for id in [50, 40, 60, 45] {
        odoo.edit(|company| {
            company.edit("account.move", id, |record| {
                record.insert("ref", Value::text(format!("tie{id}")));
            });
        });
        odoo.advance(Duration::from_millis(37));
    }
    odoo
}

#[test]
fn a_second_in_which_four_were_written_is_what_was_recorded() {
    let odoo = tied();
    let dir = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/odoo-wire/json2");
    for (name, method) in [
        ("order-same-second", "search_read"),
        ("keyset-skips", "search_read"),
        ("write_date-ge", "search_count"),
        ("write_date-eq", "search_count"),
        ("write_date-gt", "search_count"),
    ] {
        let body = |end: &str| {
            let whole = std::fs::read_to_string(dir.join(format!("{name}.{end}"))).unwrap();
            whole.split_once("\r\n\r\n").unwrap().1.to_owned()
        };
        let named: Json = serde_json::from_str(&body("request")).unwrap();
        assert_eq!(ask(&odoo, "account.move", method, &named), body("response"), "{name}");
    }
}

#[test]
fn a_bound_is_a_whole_second() {
    let odoo = tied();
    let tie = |operator: &str, at: &str| {
        found(&odoo, "account.move", &json!([["ref", "like", "tie"], ["write_date", operator, at]])).len()
    };
    for (at, found) in [
        ("2026-11-23 17:18:59", [4, 4, 0, 0, 0]),
        ("2026-11-23 17:19:00", [4, 0, 4, 0, 4]),
        ("2026-11-23 17:19:00.123456", [4, 0, 4, 0, 4]),
        ("2026-11-23 17:19:01", [0, 0, 4, 4, 0]),
        ("2026-11-23", [4, 4, 0, 0, 0]),
    ] {
        assert_eq!([">=", ">", "<=", "<", "="].map(|operator| tie(operator, at)), found, "{at}");
    }
    let newest = json!({"domain": [], "fields": ["ref"], "order": "write_date desc, id desc", "limit": 2});
    assert_eq!(
        ask(&odoo, "account.move", "search_read", &newest),
        r#"[{"id": 45, "ref": "tie45"}, {"id": 60, "ref": "tie60"}]"#
    );
}

#[test]
fn what_is_committed_late_bears_the_time_at_which_it_began() {
    let odoo = StandIn::start(Company::small(1)).unwrap();
    let before = odoo.now();
    let mut late = odoo.begin();
    late.edit(|company| {
        company.edit("account.move", 7, |record| {
            record.insert("ref", Value::text("late"));
        });
        company.remove("account.move", 8);
        let copy = company.record("res.partner", 18).unwrap();
        company.insert("res.partner", 9_000, copy);
    });
    odoo.advance(Duration::from_secs(3_600));
    odoo.edit(|company| company.edit("account.move", 9, |_| {}));

    // Neither the change nor the deletion nor the new one is seen, and the newest time is past it.
    let since = |at: i64| json!([["write_date", ">=", shown(at)]]);
    assert_eq!(found(&odoo, "account.move", &since(before)), [9]);
    assert_eq!(found(&odoo, "account.move", &json!([["id", "in", [7, 8]]])), [7, 8]);
    assert_eq!(found(&odoo, "res.partner", &json!([["id", "=", 9_000]])).len(), 0);
    late.commit();
    assert_eq!(found(&odoo, "account.move", &since(before)), [7, 9]);
    assert_eq!(found(&odoo, "account.move", &since(before + 1_000_000)), [9]);
    assert_eq!(found(&odoo, "account.move", &json!([["id", "in", [7, 8]]])), [7]);
    assert_eq!(found(&odoo, "res.partner", &since(before)), [9_000]);
    let record = odoo.company().record("res.partner", 9_000).unwrap();
    assert_eq!(record["create_date"], Value::Text(shown(before)));

    let mut never = odoo.begin();
    never.edit(|company| company.remove("account.move", 7));
    drop(never);
    assert_eq!(found(&odoo, "account.move", &json!([["id", "=", 7]])), [7]);
}

#[test]
fn what_goes_takes_along_what_hangs_on_it() {
    let odoo = StandIn::start(Company::small(1)).unwrap();
    let of = |id: i64| found(&odoo, "account.move.line", &json!([["move_id", "=", id]]));
    let (first, second) = (of(1), of(2));
    assert_eq!(first, [1, 2, 3, 4, 5, 6, 7, 8]);
    odoo.edit(|company| {
        company.edit("account.move.line", 3, |_| {});
        company.remove("account.move", 1);
        company.remove("account.move.line", second[0]);
    });
    assert_eq!(of(1), [0; 0]);
    assert_eq!(of(2), second[1..]);
    let entry = odoo.company().record("account.move", 2).unwrap();
    let ids = entry["line_ids"].as_list().unwrap();
    assert_eq!(ids.iter().filter_map(Value::as_int).collect::<Vec<_>>(), second[1..]);

    // The type of the entry is asked of the entry, as it is now.
    let invoices = json!([["move_id.move_type", "in", ["out_invoice", "in_invoice"]], ["move_id", "=", 2]]);
    let kind = |kind: &'static str| {
        odoo.edit(|company| {
            company.edit("account.move", 2, |record| {
                record.insert("move_type", Value::text(kind));
            });
        });
    };
    kind("entry");
    assert_eq!(found(&odoo, "account.move.line", &invoices), [0; 0]);
    kind("in_invoice");
    assert_eq!(found(&odoo, "account.move.line", &invoices), second[1..]);
}

#[test]
fn what_is_on_an_invoice_adds_up() {
    let company = Company::small(3);
    let lines = company.records("account.move.line");
    let float = |value: &Value| if let Value::Float(float) = value { *float } else { panic!("{value:?}") };
    let cents = |value: &Value| (float(value) * 100.0).round() as i64;
    let mut sections = 0;
    for (id, entry) in company.records("account.move") {
        let ids = |field: &str| -> Vec<i64> {
            entry[field].as_list().unwrap().iter().filter_map(Value::as_int).collect()
        };
        let sum = |ids: &[i64], field: &str| -> i64 { ids.iter().map(|id| cents(&lines[id][field])).sum() };
        let (invoiced, all) = (ids("invoice_line_ids"), ids("line_ids"));
        assert_eq!(sum(&invoiced, "price_subtotal"), cents(&entry["amount_untaxed"]), "{id}");
        assert_eq!(sum(&invoiced, "price_total"), cents(&entry["amount_total"]), "{id}");
        assert_eq!(sum(&all, "balance"), 0, "{id}");
        assert_eq!(sum(&all, "debit"), sum(&all, "credit"), "{id}");
        for line in all.iter().map(|line| &lines[line]) {
            assert_eq!(line["move_id"].first(), Some(&Value::Int(id)));
            assert_eq!((&line["currency_id"], &line["date"]), (&entry["currency_id"], &entry["date"]));
            sections += usize::from(line["display_type"] == Value::text("line_section"));
        }
    }
    assert!(sections > 0);
}
