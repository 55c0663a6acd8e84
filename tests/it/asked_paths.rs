//! What may be asked of Odoo: every path outside of the policy, in every position, is refused by its place; and
//! what is taken says what was asked.

use std::collections::BTreeSet;

use pawl::odoo::xmlrpc::{Login, execute};
use pawl::odoo::{Ask, AskRefused, ReadQuery, Readable};
use pawl::secret::Secret;
use serde_json::{Value as Json, json};

use crate::hostile_calls::{by_python, is_harmless, text};
use crate::xml_answers::random;

/// Fields that Odoo has and the policy lacks, of every kind of harm: secrets, bank accounts to be bisected, fields
/// whose read or search writes or computes, and names that are more than names.
const OUTSIDE: &[&str] = &[
    "access_token",
    "access_url",
    "signup_token",
    "bank_ids",
    "partner_bank_id",
    "bank_ids.acc_number",
    "partner_id.bank_ids.acc_number",
    "partner_id.bank_ids",
    "partner_id.email",
    "partner_id.name",
    "move_id.narration",
    "move_id.move_type.name",
    "move_id.partner_id.bank_ids.acc_number",
    "company_id.partner_id.bank_ids.sanitized_acc_number",
    "company_id.account_stripe_secret",
    "create_uid",
    "create_uid.password",
    "write_uid.api_key_ids.key",
    "message_ids.body",
    "message_follower_ids",
    "activity_ids",
    "line_ids.parent_id",
    "display_name",
    "commercial_partner_id",
    "user_id.totp_secret",
    "user_ids.new_password",
    "__last_update",
    "id.id",
    "name.id",
    "name:lower",
    "write_date:month",
    "invoice_date.month_number",
    "name ",
    " name",
    "NAME",
    "name\u{0}",
    "name\n",
    "n\u{e4}me",
    "name,id",
    "name;id",
    "name desc",
    "*",
    ".",
    "..",
    ".name",
    "name.",
    "partner_id.",
    "x_studio_secret",
    "properties.abc",
    "",
];

/// Where a name can stand in a question, and the position that a refusal of it names.
fn positions(path: &str) -> Vec<(Json, String)> {
    let leaf = json!([path, "=", false]);
    let good = json!(["name", "=", "x"]);
    let lines = |inside: Json| json!(["invoice_line_ids", "any", inside]);
    let asked = |member: &str, value: Json| {
        let mut ask = json!({"model": "account.move", "method": "search_read", "fields": ["name"]});
        ask[member] = value;
        ask
    };
    let domain = |said: Json, at: &str| (asked("domain", said), format!("domain{at}[0]"));
    vec![
        (asked("fields", json!([path])), "fields[0]".into()),
        (asked("fields", json!(["name", "ref", path])), "fields[2]".into()),
        domain(json!([leaf]), "[0]"),
        domain(json!([good, leaf]), "[1]"),
        domain(json!(["|", good, leaf]), "[2]"),
        domain(json!(["&", leaf, good]), "[1]"),
        domain(json!(["!", leaf]), "[1]"),
        domain(json!(["|", "&", good, "!", leaf, good]), "[4]"),
        domain(json!([lines(json!([leaf]))]), "[0][2][0]"),
        domain(json!(["!", ["partner_id", "not any", ["|", ["name", "=", "x"], leaf]]]), "[1][2][2]"),
        domain(json!([lines(json!([["move_id", "any", [good, leaf]]]))]), "[0][2][0][2][1]"),
        domain(json!([[path, "ilike", "x"]]), "[0]"),
        domain(json!([[path, "any", [["id", ">", 0]]]]), "[0]"),
        domain(json!([[path, "in", [1, 2]]]), "[0]"),
    ]
}

/// The same for orders, where a name ends at a space or a comma.
fn orders(path: &str) -> Vec<Json> {
    [path.to_owned(), format!("{path} desc"), format!("name, {path} asc")]
        .iter()
        .map(|order| {
            json!({"model": "account.move", "method": "search_read", "fields": ["name"], "order": order})
        })
        .collect()
}

/// Every question with one of these paths in it; the position that is refused, where it is certain.
pub fn outside() -> Vec<(Json, Option<String>)> {
    let mut all = Vec::new();
    for path in OUTSIDE {
        all.extend(positions(path).into_iter().map(|(ask, at)| (ask, Some(at))));
        let is_one_name = !path.is_empty() && path.trim() == *path && !path.contains([',', ' ']);
        if is_one_name {
            all.extend(orders(path).into_iter().map(|ask| (ask, Some("order".to_owned()))));
        }
    }
    // Readable of one model, and not of the one that it lands on.
    for (model, domain, at) in [
        (
            "account.move",
            json!([["invoice_line_ids", "any", [["amount_total", ">", 1]]]]),
            "domain[0][2][0][0]",
        ),
        (
            "account.move",
            json!([["partner_id", "any", [["parent_id", "any", [["debit", ">", 1]]]]]]),
            "domain[0][2][0][2][0][0]",
        ),
        ("account.move.line", json!([["parent_id", "=", 1]]), "domain[0][0]"),
        ("account.move.line", json!([["move_id", "any", [["move_id", "=", 1]]]]), "domain[0][2][0][0]"),
        ("account.move.line", json!([["account_id", "any", [["id", "=", 1]]]]), "domain[0][0]"),
        ("account.move.line", json!([["move_id.state", "=", "draft"]]), "domain[0][0]"),
        ("account.move", json!([["partner_id.name", "ilike", "a"]]), "domain[0][0]"),
        ("account.move", json!([["partner_id", "ilike", "a"]]), "domain[0][2]"),
        ("account.move", json!([["partner_id", "=", "a"]]), "domain[0][2]"),
        ("account.move", json!([["partner_id", "in", ["a"]]]), "domain[0][2]"),
        ("account.move", json!([["partner_id", "child_of", 1]]), "domain[0][1]"),
        ("res.partner", json!([["parent_id", "parent_of", 1]]), "domain[0][1]"),
        ("res.partner", json!([["name", "=?", "a"]]), "domain[0][1]"),
        ("account.move", json!([["invoice_date", ">", "today -1y"]]), "domain[0][2]"),
    ] {
        all.push((
            json!({"model": model, "method": "search_read", "fields": ["write_date"], "domain": domain}),
            Some(at.to_owned()),
        ));
    }
    for model in [
        "res.users",
        "res.users.apikeys",
        "res.partner.bank",
        "ir.config_parameter",
        "ir.model.access",
        "res.groups",
        "ir.attachment",
        "account.move ",
        "Account.Move",
        "*",
        "",
    ] {
        for method in ["search_read", "read"] {
            all.push((
                json!({"model": model, "method": method, "fields": ["name"], "ids": [1]}),
                Some("model".into()),
            ));
        }
    }
    for method in [
        "write",
        "create",
        "unlink",
        "search",
        "read_group",
        "web_search_read",
        "export_data",
        "Read",
        "search_read ",
        "read\u{0}",
        "_read",
        "",
    ] {
        all.push((
            json!({"model": "res.partner", "method": method, "fields": ["name"]}),
            Some("method".into()),
        ));
    }
    for order in [
        "partner_id",
        "narration",
        "invoice_line_ids desc",
        "name asc nulls first",
        "name, name",
        "name,",
        "name DESC",
        "(select 1)",
        "id; drop table x",
        "name desc, partner_id",
    ] {
        all.push((
            json!({"model": "account.move", "method": "search_read", "fields": ["name"], "order": order}),
            Some("order".into()),
        ));
    }
    all
}

pub fn ask(said: &Json) -> Ask {
    let text = |member: &str| said[member].as_str().unwrap_or_default().to_owned();
    let fields = said["fields"].as_array().into_iter().flatten();
    Ask {
        model: text("model"),
        method: text("method"),
        fields: fields.map(|field| field.as_str().unwrap().to_owned()).collect(),
        domain: said.get("domain").cloned(),
        order: said.get("order").map(|order| order.as_str().unwrap().to_owned()),
        offset: said.get("offset").and_then(Json::as_u64),
        limit: said.get("limit").and_then(Json::as_u64),
        ids: said
            .get("ids")
            .map(|ids| ids.as_array().unwrap().iter().map(|id| id.as_i64().unwrap()).collect()),
    }
}

fn judged(said: &Json) -> Result<ReadQuery, Vec<AskRefused>> {
    ask(said).judged_by(&Readable::embedded().unwrap())
}

/// Attack on P6.
#[test]
fn every_path_outside_of_the_policy_is_refused_where_it_stands() {
    let all = outside();
    assert!(all.len() >= 500, "{}", all.len());
    let distinct: BTreeSet<String> = all.iter().map(|(ask, _)| ask.to_string()).collect();
    assert_eq!(distinct.len(), all.len());
    for (said, at) in &all {
        let wrong = judged(said).expect_err(&said.to_string());
        let at = at.as_ref().unwrap();
        assert!(wrong.iter().any(|wrong| wrong.field == *at), "{said}: {wrong:?}");
        for wrong in &wrong {
            let told = format!("{} {} {}", wrong.field, wrong.rule, wrong.detail);
            for path in OUTSIDE.iter().filter(|path| path.len() > 4 && !path.contains("name")) {
                assert!(!told.contains(path), "{said} is quoted: {told}");
            }
        }
    }
}

#[test]
fn what_the_policy_names_is_asked_as_it_was_said() {
    let domain = json!([
        "|",
        "&",
        ["move_type", "in", ["out_invoice", "out_refund"]],
        ["amount_total", ">=", 100.5],
        "!",
        [
            "partner_id",
            "any",
            [["name", "=ilike", "a%"], "|", ["active", "in", [true, false]], ["id", "<", 7]]
        ],
        ["invoice_line_ids", "not any", [["move_id.move_type", "=", "entry"]]],
        ["invoice_date", "<", "2026-11-27"],
        ["ref", "!=", false],
        ["company_id", "in", [1, 2]],
    ]);
    let said = json!({"model": "account.move", "method": "search_read", "fields": ["id", "name", "partner_id"],
        "domain": domain, "order": "invoice_date desc, id", "offset": 40, "limit": 20});
    let secret = Secret::new("s".into());
    let login = Login { database: "d", secret: &secret };
    let call = execute(&login, 2, &judged(&said).unwrap()).unwrap();
    let read = &by_python([call.as_slice()])[0];
    assert_eq!(
        after_the_login(read),
        json!(["account.move", "search_read", [domain], {
            "fields": ["name", "partner_id"], "limit": 20, "offset": 40, "order": "invoice_date desc, id asc",
            "context": {"lang": "en_US"},
        }])
    );
    let said = json!({"model": "sale.order", "method": "read", "fields": ["name"], "ids": [3, 1]});
    let call = execute(&login, 2, &judged(&said).unwrap()).unwrap();
    let expected =
        json!(["sale.order", "read", [[3, 1]], {"fields": ["name"], "context": {"lang": "en_US"}}]);
    assert_eq!(after_the_login(&by_python([call.as_slice()])[0]), expected);
}

fn after_the_login(call: &Json) -> Json {
    json!(call[1].as_array().unwrap()[3..])
}

/// Every member that breaks a rule is named, with the rule; a member of the other method too.
#[test]
fn what_is_wrong_with_a_question_is_named() {
    let deep = (0..6).fold(json!([["id", ">", 0]]), |inside, _| json!([["parent_id", "any", inside]]));
    let wide: Vec<Json> = (0..101).map(|n| json!(["id", "=", n])).collect();
    let cases = [
        (json!({"fields": []}), "fields not_empty"),
        (json!({"fields": ["id"]}), "fields not_empty"),
        (json!({"fields": ["name", "name"]}), "fields[1] once"),
        (json!({"limit": 0}), "limit range"),
        (json!({"limit": 2001}), "limit range"),
        (json!({"offset": 10_000_001}), "offset range"),
        (json!({"ids": [1]}), "ids method"),
        (json!({"method": "read"}), "ids range"),
        (json!({"method": "read", "ids": [0]}), "ids[0] range"),
        (json!({"method": "read", "ids": [1], "limit": 1}), "limit method"),
        (json!({"method": "read", "ids": [1], "domain": []}), "domain method"),
        (json!({"domain": "name"}), "domain shape"),
        (json!({"domain": {"name": 1}}), "domain shape"),
        (json!({"domain": [7]}), "domain[0] shape"),
        (json!({"domain": [["name", "="]]}), "domain[0] shape"),
        (json!({"domain": [["name", "=", "a", "b"]]}), "domain[0] shape"),
        (json!({"domain": [[1, "=", 1]]}), "domain[0] shape"),
        (json!({"domain": ["|", ["name", "=", "a"]]}), "domain shape"),
        (json!({"domain": ["!"]}), "domain shape"),
        (json!({"domain": ["and", ["name", "=", "a"]]}), "domain[0] operator"),
        (json!({"domain": [["name", "=", {"a": 1}]]}), "domain[0][2] operand"),
        (json!({"domain": [["name", "in", [["a"]]]]}), "domain[0][2] operand"),
        (json!({"domain": [["name", "in", ["a", 1]]]}), "domain[0][2] operand"),
        (json!({"domain": [["name", "in", []]]}), "domain[0][2] operand"),
        (json!({"domain": [["id", "=", 18_446_744_073_709_551_615_u64]]}), "domain[0][2] operand"),
        (json!({"domain": [["active", "=", "yes"]]}), "domain[0][2] operand"),
        (json!({"domain": [["parent_id", "any", 1]]}), "domain[0][2] shape"),
        (json!({"domain": deep}), "domain[0][2][0][2][0][2][0][2][0][2] too_large"),
        (json!({"domain": wide}), "domain too_large"),
    ];
    for (more, expected) in cases {
        let mut said = json!({"model": "res.partner", "method": "search_read", "fields": ["name"]});
        said.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let wrong = judged(&said).expect_err(expected);
        let told: Vec<String> = wrong.iter().map(|wrong| format!("{} {}", wrong.field, wrong.rule)).collect();
        assert_eq!(told, [expected], "{said}");
    }
}

/// A question made of pieces of other calls: refused, or one harmless call that says the very same.
/// Attack on P6.
#[test]
fn no_question_puts_another_method_or_name_on_the_wire() {
    let readable = Readable::embedded().unwrap();
    let (mut seed, mut calls, mut refused) = (0xa5c_u64, Vec::new(), 0);
    let names = ["name", "ref", "id", "active", "parent_id", "write_date", "company_id"];
    let operators = ["=", "in", "ilike", "any", "not any", "like", "!=", "write"];
    let secret = Secret::new("s".into());
    let login = Login { database: "d", secret: &secret };
    for _ in 0..3_000 {
        let mut any = |most: &[&str]| match random(&mut seed, 12) {
            0 => text(&mut seed),
            n => most[n as usize % most.len()].to_owned(),
        };
        let (model, method) = (any(&["res.partner"]), any(&["search_read", "read"]));
        let mut said = json!({"model": model, "method": method, "fields": [any(&names)]});
        if method == "read" {
            said["ids"] = json!([1]);
        } else {
            let leaf = json!([any(&names), any(&operators), any(&names)]);
            let inside = json!(["parent_id", any(&operators), [[any(&names), "=", any(&names)]]]);
            said["domain"] = json!([any(&["|", "&"]), leaf, inside]);
            said["order"] = json!(any(&names));
        }
        match ask(&said).judged_by(&readable) {
            Ok(query) => match execute(&login, 2, &query) {
                Ok(call) => calls.push((said, call.to_vec())),
                Err(error) => assert_eq!(error, pawl::odoo::xmlrpc::XmlError::Unspeakable),
            },
            Err(_) => refused += 1,
        }
    }
    assert!(calls.len() > 100 && refused > 1_000, "{} taken, {refused} refused", calls.len());
    for ((said, _), read) in calls.iter().zip(by_python(calls.iter().map(|(_, call)| call.as_slice()))) {
        assert!(is_harmless(&read), "{said}: {read}");
        assert_eq!((&read[1][3], &read[1][4]), (&said["model"], &said["method"]));
        if let Some(domain) = said.get("domain") {
            assert_eq!(read[1][5][0], *domain);
        }
    }
}
