//! Clients of other makers against the stand-in, unchanged: what they read is what it holds. What takes
//! our own client and these in will hardly be a server of our own imagination.

use std::process::Command;

use serde_json::{Value as Json, json};

use crate::standin::company::Company;
use crate::standin::seen::Dialect;
use crate::standin::wire::Value;
use crate::standin::{API_KEY, DATABASE, LOGIN, PASSWORD, StandIn};

/// What a script of `tests/clients` printed.
fn said_by(script: &str, arguments: &[&str]) -> Json {
    let python = std::env::var("TEST_PYTHON").unwrap_or_else(|_| "python3".into());
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients").join(script);
    let output = Command::new(python).arg("-B").arg(path).args(arguments).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(!errors.contains("No module named"), "run ./test, which installs such clients: {errors}");
    assert!(output.status.success(), "{errors}");
    serde_json::from_slice(&output.stdout).unwrap()
}

fn as_json(value: &Value) -> Json {
    serde_json::from_str(&value.json()).unwrap()
}

#[test]
fn what_pythons_xmlrpc_client_reads_is_what_is_there() {
    let odoo = StandIn::start(Company::small(7295)).unwrap();
    odoo.edit(|company| {
        company.edit("res.partner", 17, |record| {
            record.insert("name", Value::text("Ctl\u{1}\u{1f} <b>Tom & \"Jerry\"</b> ]]> &amp; \t🐎"));
        });
        company.remove("account.move", 5);
        company.edit("account.move", 6, |record| {
            record.insert("amount_total", Value::Float(0.1 + 0.2));
        });
    });
    let said = said_by("by_xmlrpc.py", &[&odoo.url(), DATABASE, LOGIN, PASSWORD]);

    let company = odoo.company();
    for (model, read) in said["records"].as_object().unwrap() {
        let records = company.records(model);
        assert!(!records.is_empty(), "{model}");
        assert_eq!(read.as_object().unwrap().len(), records.len(), "{model}");
        for (id, record) in records {
            let mut held: serde_json::Map<String, Json> =
                record.iter().map(|(field, value)| ((*field).to_owned(), as_json(value))).collect();
            if (model.as_str(), id) == ("res.partner", 17) {
                // XML has no way to say the two control characters.
                held.insert("name".into(), json!("Ctl <b>Tom & \"Jerry\"</b> ]]> &amp; \t🐎"));
            }
            assert_eq!(read[id.to_string()], Json::Object(held), "{model} {id}");
        }
    }
    let version = json!({"server_version": "19.0", "server_version_info": [19, 0, 0, "final", 0, ""],
                         "server_serie": "19.0", "protocol_version": 1});
    assert_eq!((&said["version"], &said["version of the old path"]), (&version, &version));
    assert_eq!(
        (&said["uid"], &said["login"], &said["wrong password"]),
        (&json!(10), &json!(10), &json!(false))
    );
    let refunds: Vec<i64> = company
        .records("account.move")
        .iter()
        .filter(|(_, record)| record["move_type"] == Value::text("out_refund"))
        .map(|(id, _)| *id)
        .collect();
    assert_eq!((&said["ids"], &said["count"]), (&json!(refunds[2..5]), &json!(refunds.len())));
    assert_eq!(said["count of partners"], json!(56), "four of 60 are archived");
    let name = |id: i64| as_json(&company.record("account.move", id).unwrap()["name"]);
    assert_eq!(said["read"], json!([{"id": 3, "name": name(3)}, {"id": 1, "name": name(1)}]));
    assert_eq!(said["write"][0], json!(4));
    // As recorded: all fields of an entry are more than the bot may read.
    let recorded = include_str!("../odoo-wire/json2/read-all-fields-move.response");
    let refusal: Json = serde_json::from_str(recorded.split_once("\r\n\r\n").unwrap().1).unwrap();
    let currency =
        json!(["active", "create_date", "decimal_places", "id", "name", "rounding", "symbol", "write_date"]);
    assert_eq!(said["without fields"], json!([[4, refusal["message"]], currency]));
    assert_eq!(said["wrong password later"], json!([3, "Access Denied"]));
    assert_eq!(said["no such model"], json!([2, "Object no.such.model doesn't exist"]));
    assert_eq!(odoo.logins(), 3);
}

#[test]
fn what_odoorpc_reads_is_what_is_there() {
    let odoo = StandIn::start(Company::small(7295)).unwrap();
    let url = odoo.url();
    let (host, port) = url.strip_prefix("http://").unwrap().split_once(':').unwrap();
    let said = said_by("by_odoorpc.py", &[host, port, DATABASE, LOGIN, PASSWORD]);

    let company = odoo.company();
    let field = |model: &str, id: i64, field: &str| as_json(&company.record(model, id).unwrap()[field]);
    let first = |name: &str| field("account.move", 1, name);
    assert_eq!(said["version"], json!("19.0"));
    assert_eq!(said["wrong password"], json!("Wrong login ID or password"));
    assert_eq!(said["user"], json!([10, "Bot", LOGIN, "en_US"]));
    for (model, fields) in said["fields"].as_object().unwrap() {
        let record = company.records(model).into_values().next().unwrap();
        assert_eq!(*fields, json!(record.into_keys().collect::<Vec<_>>()), "{model}");
    }
    let lines = first("invoice_line_ids");
    let lines = lines.as_array().unwrap().iter().map(|id| {
        let line = |name: &str| field("account.move.line", id.as_i64().unwrap(), name);
        json!([id, line("name"), line("product_id")[0], line("price_subtotal"), line("tax_ids")])
    });
    let partner = first("partner_id")[0].as_i64().unwrap();
    assert_eq!(
        said["first"],
        json!({"name": first("name"), "date": first("date"), "total": first("amount_total"),
               "written": first("write_date"), "partner": [partner, field("res.partner", partner, "name")],
               "currency": first("currency_id")[1], "lines": lines.collect::<Vec<_>>()})
    );
    let bills = company.records("account.move").into_iter().rev();
    let bills = bills.filter(|(_, record)| record["move_type"] == Value::text("in_invoice"));
    assert_eq!(said["search"], json!(bills.map(|(id, _)| id).take(3).collect::<Vec<_>>()));
    let read = |id: i64| {
        json!({"id": id, "name": field("account.move", id, "name"),
               "partner_id": field("account.move", id, "partner_id")})
    };
    assert_eq!(said["read"], json!([read(2), read(1)]));
    let name = |id: i64| json!({"id": id, "name": field("res.partner", id, "name")});
    assert_eq!(said["search_read"], json!([name(16), name(17), name(18)]));
    assert_eq!(said["archived"], json!([56, 60]));
    assert!(said["write"].as_str().unwrap().starts_with("You are not allowed to modify 'Journal Entry'"));
    assert_eq!(said["unknown model"], json!("Object no.such.model doesn't exist"));
    assert_eq!((&said["logged out"], odoo.logins()), (&json!(true), 2));
}

#[test]
fn what_odoo_json2_reads_is_what_is_there() {
    let odoo = StandIn::start(Company::small(7295)).unwrap();
    let said = said_by("by_json2.py", &[&odoo.url(), DATABASE, API_KEY]);

    let company = odoo.company();
    let field = |model: &str, id: i64, field: &str| as_json(&company.record(model, id).unwrap()[field]);
    let of = |id: i64, fields: &[&str]| {
        let mut record = serde_json::Map::from_iter([("id".to_owned(), json!(id))]);
        record.extend(fields.iter().map(|name| ((*name).to_owned(), field("account.move", id, name))));
        Json::Object(record)
    };
    assert_eq!(said["version"], json!({"version": "19.0", "version_info": [19, 0, 0, "final", 0, ""]}));
    let fields = ["name", "partner_id", "amount_total", "write_date", "invoice_line_ids"];
    assert_eq!(said["first"], json!([of(1, &fields)]));
    let bills = company.records("account.move").into_iter().rev();
    let bills = bills.filter(|(_, record)| record["move_type"] == Value::text("in_invoice"));
    let bills: Vec<i64> = bills.map(|(id, _)| id).collect();
    assert_eq!((&said["search"], &said["count"]), (&json!(bills[..3]), &json!(bills.len())));
    assert_eq!(said["read"], json!([of(2, &["name", "partner_id"]), of(1, &["name", "partner_id"])]));
    let partner: Vec<&str> = company.record("res.partner", 16).unwrap().into_keys().collect();
    assert_eq!(said["fields"], json!(partner));
    assert_eq!(said["archived"], json!([56, 60]));
    assert_eq!(said["user"], json!({"lang": "en_US", "tz": "UTC", "uid": 10}));
    for (what, error, status, message) in [
        ("wrong key", "OdooAuthError", 401, "Invalid apikey"),
        ("write", "OdooServerException", 403, "You are not allowed to modify 'Journal Entry'"),
        ("unknown model", "OdooNotFoundError", 404, "the model 'no.such.model' does not exist"),
        ("unknown field", "OdooServerException", 500, "Invalid field 'no_such_field' on 'account.move'"),
        ("bad order", "OdooValidationError", 422, "Invalid \"order\" specified (id; drop)."),
    ] {
        assert_eq!((&said[what][0], &said[what][1]), (&json!(error), &json!(status)), "{what}");
        assert!(said[what][2].as_str().unwrap().starts_with(message), "{what}: {}", said[what]);
    }
    // That is a page, of which it makes no message.
    assert_eq!(said["wrong database"], json!(["OdooNotFoundError", 404, null]));
    assert!(odoo.seen().iter().all(|seen| seen.dialect == Dialect::Json2));
}

/// The maker's own client: the same records over all three dialects.
#[test]
fn what_odoo_client_lib_reads_is_the_same_in_each_dialect() {
    let odoo = StandIn::start(Company::small(7295)).unwrap();
    // JSON-2 has it in a header, where its client takes ASCII alone.
    odoo.set_password("plain password");
    let url = odoo.url();
    let (host, port) = url.strip_prefix("http://").unwrap().split_once(':').unwrap();
    let said = said_by("by_odoolib.py", &[host, port, DATABASE, LOGIN, "plain password", API_KEY]);

    let company = odoo.company();
    let of = |id: i64, fields: &[&str]| {
        let record = company.record("account.move", id).unwrap();
        let mut read = serde_json::Map::from_iter([("id".to_owned(), json!(id))]);
        read.extend(fields.iter().map(|name| ((*name).to_owned(), as_json(&record[name]))));
        Json::Object(read)
    };
    let second = of(2, &["name", "partner_id", "amount_total", "invoice_line_ids"]);
    let bills = company.records("account.move").into_iter().rev();
    let bills = bills.filter(|(_, record)| record["move_type"] == Value::text("in_invoice"));
    let bills: Vec<i64> = bills.map(|(id, _)| id).take(3).collect();
    let is_company = |record: &&std::collections::BTreeMap<&str, Value>| {
        record["is_company"] == Value::Bool(true) && record["active"] == Value::Bool(true)
    };
    let found = [3, 2, 1].map(|id| of(id, &["name", "date"]));
    let expected = |read: Json| {
        json!({"context": {"lang": "en_US", "tz": "UTC", "uid": 10}, "search": bills, "read": read,
               "search_read": found,
               "count": company.records("res.partner").values().filter(is_company).count()})
    };
    for (dialect, read) in
        [("xmlrpc", json!([second])), ("jsonrpc", json!([second])), ("json2", second.clone())]
    {
        assert_eq!(said["by key"][dialect], expected(read.clone()), "{dialect}");
        let by_password = if dialect == "json2" { json!("AuthenticationError") } else { expected(read) };
        assert_eq!(said["by password"][dialect], by_password, "{dialect}");
        assert_eq!(said["by neither"][dialect], json!("AuthenticationError"), "{dialect}");
    }
    let spoken =
        |dialect| odoo.seen().iter().any(|seen| seen.dialect == dialect && seen.model == "account.move");
    assert!(spoken(Dialect::Xml) && spoken(Dialect::Json) && spoken(Dialect::Json2));
}
