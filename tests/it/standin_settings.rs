//! What the stand-in can be taken for: every version with its dialects, what stands before a server, and a
//! server that sends back what it was told.

use std::io::{Read, Write};
use std::net::TcpStream;

use base64::Engine;
use serde_json::{Value as Json, json};

use crate::standin::company::Company;
use crate::standin::seen::Dialect;
use crate::standin::settings::{Coding, Echo, Front, Key, NO_JSON_RPC, Place, Settings, Version};
use crate::standin::{API_KEY, DATABASE, LOGIN, PASSWORD, StandIn};

/// The head and the body of an answer.
fn ask(odoo: &StandIn, method: &str, path: &str, headers: &str, body: &str) -> (String, Vec<u8>) {
    let mut stream = TcpStream::connect(odoo.url().strip_prefix("http://").unwrap()).unwrap();
    let length = body.len();
    write!(stream, "{method} {path} HTTP/1.1\r\n{headers}Content-Length: {length}\r\n\r\n{body}").unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let at = answer.windows(4).position(|window| window == b"\r\n\r\n").unwrap() + 4;
    let body = answer.split_off(at);
    (String::from_utf8(answer).unwrap(), body)
}

fn status((head, _): &(String, Vec<u8>)) -> u16 {
    head.split(' ').nth(1).unwrap().parse().unwrap()
}

fn json_of((head, body): &(String, Vec<u8>)) -> Json {
    serde_json::from_slice(body).unwrap_or_else(|_| panic!("{head}{}", String::from_utf8_lossy(body)))
}

const JSON: &str = "Content-Type: application/json\r\n";

fn json_rpc(odoo: &StandIn, service: &str, method: &str, args: Json) -> (String, Vec<u8>) {
    let body = json!({"jsonrpc": "2.0", "id": 7, "method": "call",
                      "params": {"service": service, "method": method, "args": args}});
    ask(odoo, "POST", "/jsonrpc", JSON, &body.to_string())
}

fn authenticate(odoo: &StandIn, database: &str, secret: &str) -> Json {
    let args = json!([database, LOGIN, secret, {}]);
    json_of(&json_rpc(odoo, "common", "authenticate", args))["result"].clone()
}

fn json2(odoo: &StandIn, secret: &str, headers: &str) -> (String, Vec<u8>) {
    let headers = format!("{JSON}Authorization: Bearer {secret}\r\n{headers}");
    ask(odoo, "POST", "/json/2/res.partner/search_read", &headers, r#"{"fields": ["name"], "limit": 2}"#)
}

fn xml_rpc(odoo: &StandIn, secret: &str) -> (String, Vec<u8>) {
    let text = |text: &str| format!("<param><value><string>{text}</string></value></param>");
    let params = [DATABASE, LOGIN, secret].map(text).concat();
    let body = format!("<methodCall><methodName>login</methodName><params>{params}</params></methodCall>");
    ask(odoo, "POST", "/xmlrpc/2/common", "", &body)
}

fn standing(settings: Settings) -> StandIn {
    StandIn::start_as(Company::small(1), settings).unwrap()
}

#[test]
fn each_version_speaks_its_dialects_and_tells_itself() {
    let odoo = standing(Settings::default());
    let mut told = Vec::new();
    for (version, name, rpc, json_2) in [
        (Version::of(14), "14.0", true, false),
        (Version::online(18, 2), "saas~18.2+e", true, false),
        (Version::of(18), "18.0", true, false),
        (Version::of(19), "19.0", true, true),
        (Version::of(21), "21.0", true, true),
        (Version::online(21, 1), "saas~21.1+e", false, true),
        (Version::of(22), "22.0", false, true),
    ] {
        odoo.set(|settings| settings.version = version);
        let open = |answer: (String, Vec<u8>)| match status(&answer) {
            200 => true,
            404 => false,
            other => panic!("{name}: {other}"),
        };
        assert_eq!(open(xml_rpc(&odoo, API_KEY)), rpc, "{name}");
        assert_eq!(open(json_rpc(&odoo, "common", "version", json!([]))), rpc, "{name}");
        assert_eq!(open(json2(&odoo, API_KEY, "")), json_2, "{name}");
        let info = json_of(&ask(&odoo, "POST", "/web/webclient/version_info", JSON, "{\"id\": 1}"));
        assert_eq!(info["result"]["server_version"], json!(name));
        told.push(info["result"]["server_version_info"].clone());
        let web = ask(&odoo, "GET", "/web/version?from=here", "", "");
        assert_eq!(open(web.clone()), json_2, "{name}");
        if json_2 {
            assert_eq!(json_of(&web), json!({"version": name, "version_info": told.last()}));
        }
        if rpc {
            let version = json_of(&json_rpc(&odoo, "common", "version", json!([])));
            assert_eq!(version["result"], info["result"], "{name}");
        }
    }
    assert_eq!(told[1], json!(["saas~18", 2, 0, "final", 0, "e"]));
    assert_eq!(told[2], json!([18, 0, 0, "final", 0, ""]));
}

/// What came and went with the versions, of the fields that the vault asks for.
#[test]
fn a_field_is_there_in_the_versions_that_have_it() {
    let odoo = standing(Settings::default());
    for (model, field, since, until) in [
        ("res.users", "groups_id", 14, 18),
        ("res.users", "all_group_ids", 19, 21),
        ("res.users.apikeys", "expiration_date", 18, 21),
        ("res.users.apikeys", "scope", 14, 21),
    ] {
        for version in [14, 17, 18, 19, 21] {
            odoo.set(|settings| settings.version = Version::of(version));
            let args = json!([DATABASE, 10, API_KEY, model, "search_read", [], {"fields": [field]}]);
            let answer = json_of(&json_rpc(&odoo, "object", "execute_kw", args));
            let is_there = (since..=until).contains(&version);
            assert_eq!(answer["result"].is_array(), is_there, "{model} {field} {version}: {answer}");
        }
    }
}

#[test]
fn what_stands_before_it_answers_in_its_place() {
    let odoo = standing(Settings { front: NO_JSON_RPC, ..Settings::default() });
    let every = |odoo: &StandIn| {
        let version = ask(odoo, "GET", "/web/version", "", "");
        let version_call = json_rpc(odoo, "common", "version", json!([]));
        [version, version_call, xml_rpc(odoo, API_KEY), json2(odoo, API_KEY, "")]
    };
    assert_eq!(every(&odoo).each_ref().map(status), [200, 403, 200, 200]);
    odoo.set(|settings| settings.front = Front::Closed(&["/xmlrpc", "/jsonrpc"], "404 Not Found"));
    assert_eq!(every(&odoo).each_ref().map(status), [200, 404, 404, 200]);
    for (front, expected, says) in [
        (Front::Down, 502, "nginx"),
        (Front::Selector, 303, "/web/database/selector"),
        (Front::LoginPage, 200, "oe_login_form"),
    ] {
        odoo.set(|settings| settings.front = front);
        for (head, body) in every(&odoo) {
            assert_eq!(status(&(head.clone(), body.clone())), expected, "{front:?}");
            assert!(head.contains("Content-Type: text/html"), "{head}");
            assert!(String::from_utf8(body).unwrap().contains(says), "{front:?}");
        }
    }
    let (head, _) = ask(&odoo, "GET", "/", "", "");
    assert!(!head.contains("Location"), "{head}");
    odoo.set(|settings| settings.front = Front::Selector);
    assert!(ask(&odoo, "GET", "/", "", "").0.contains("Location: /web/database/selector\r\n"));
    // What never came to the server was not seen by it.
    assert_eq!((odoo.seen().len(), odoo.paths().len()), (3, 22));
}

#[test]
fn of_several_databases_one_is_to_be_named() {
    let odoo = standing(Settings { others: vec!["beta"], ..Settings::default() });
    let named = |name: &str| format!("X-Odoo-Database: {name}\r\n");
    for (headers, expected) in
        [(String::new(), 404), (named("acme"), 200), (named("beta"), 401), (named("gamma"), 404)]
    {
        assert_eq!(status(&json2(&odoo, API_KEY, &headers)), expected, "{headers}");
    }
    assert_eq!(json_of(&json_rpc(&odoo, "db", "list", json!([])))["result"], json!(["acme", "beta"]));
    assert_eq!(
        (authenticate(&odoo, "acme", PASSWORD), authenticate(&odoo, "beta", PASSWORD)),
        (json!(10), json!(false))
    );
    assert!(ask(&odoo, "GET", "/web/login", "", "").0.contains("Location: /web/database/selector\r\n"));

    odoo.set(|settings| settings.hides_rpc = true);
    let refused = json_rpc(&odoo, "common", "version", json!([]));
    assert_eq!((status(&refused), &json_of(&refused)["error"]["code"]), (404, &json!(404)));
    assert_eq!(status(&xml_rpc(&odoo, API_KEY)), 404);
}

#[test]
fn who_is_let_in_and_who_is_not() {
    let odoo = standing(Settings::default());
    let opened = |odoo: &StandIn| {
        let [password, key] =
            [PASSWORD, API_KEY].map(|secret| authenticate(odoo, DATABASE, secret) == json!(10));
        (password, key, status(&json2(odoo, API_KEY, "")))
    };
    assert_eq!(opened(&odoo), (true, true, 200));
    odoo.set(|settings| settings.second_factor = true);
    assert_eq!(opened(&odoo), (false, true, 200));
    for key in [Key::Expired, Key::Scoped] {
        odoo.set(|settings| (settings.second_factor, settings.key) = (false, key));
        assert_eq!(opened(&odoo), (true, false, 401), "{key:?}");
    }
    odoo.set(|settings| *settings = Settings { without_api: true, ..Settings::default() });
    assert_eq!(opened(&odoo), (false, false, 403));
    let refused = json_of(&json_rpc(&odoo, "common", "authenticate", json!([DATABASE, LOGIN, PASSWORD, {}])));
    assert_eq!(refused["error"]["data"]["name"], json!("odoo.exceptions.AccessError"));
    assert_eq!(status(&ask(&odoo, "GET", "/web/version", "", "")), 200);

    odoo.set(|settings| *settings = Settings { date: Some(1_764_201_600), ..Settings::default() });
    assert!(xml_rpc(&odoo, API_KEY).0.contains("Date: Thu, 27 Nov 2025 00:00:00 GMT\r\n"));
}

/// As Python reads it, which had no part in writing it.
fn unzipped(bytes: &[u8]) -> Vec<u8> {
    let python = std::env::var("TEST_PYTHON").unwrap_or_else(|_| "python3".into());
    let script = "import sys, gzip; sys.stdout.buffer.write(gzip.decompress(sys.stdin.buffer.read()))";
    let mut child = std::process::Command::new(python)
        .args(["-c", script])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(bytes).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    output.stdout
}

#[test]
fn what_is_compressed_is_the_same_to_those_who_take_it() {
    let odoo = standing(Settings { gzip: true, ..Settings::default() });
    let (_, plain) = json2(&odoo, API_KEY, "");
    let (head, packed) = json2(&odoo, API_KEY, "Accept-Encoding: br, gzip\r\n");
    assert!(head.contains("Content-Encoding: gzip\r\n"), "{head}");
    assert!(head.contains(&format!("Content-Length: {}\r\n", packed.len())), "{head}");
    assert_eq!(unzipped(&packed), plain);
    assert!(!packed.windows(4).any(|window| window == b"name"));
}

#[test]
fn what_it_was_told_it_sends_back_wherever_it_is_wanted() {
    let odoo = standing(Settings::default());
    let coded = |coding: Coding, secret: &str| match coding {
        Coding::Raw => secret.to_owned(),
        Coding::Escaped => serde_json::to_string(secret).unwrap().trim_matches('"').to_owned(),
        Coding::Base64 => base64::engine::general_purpose::STANDARD.encode(secret),
        Coding::Hex => secret.bytes().map(|byte| format!("{byte:02x}")).collect(),
        Coding::Percent => secret.bytes().map(|byte| format!("%{byte:02X}")).collect(),
        Coding::Hidden => secret.chars().map(|c| format!("\\u{:04x}", u32::from(c))).collect(),
    };
    for (place, coding) in Place::ALL.into_iter().flat_map(|place| Coding::ALL.map(|coding| (place, coding)))
    {
        odoo.set(|settings| settings.echo = Some(Echo { place, coding, at_login: false }));
        assert_eq!(authenticate(&odoo, DATABASE, API_KEY), json!(10), "nothing is amiss with the login");
        for dialect in [Dialect::Json, Dialect::Json2] {
            let (head, body) = match dialect {
                Dialect::Json2 => json2(&odoo, API_KEY, ""),
                _ => {
                    let read =
                        json!([DATABASE, 10, API_KEY, "res.partner", "read", [[16]], {"fields": ["name"]}]);
                    json_rpc(&odoo, "object", "execute_kw", read)
                }
            };
            let body = if place == Place::Gzip { unzipped(&body) } else { body };
            let is_json = head.contains("application/json");
            let said = match place {
                Place::Header | Place::Redirect => head,
                _ => String::from_utf8(body).unwrap(),
            };
            let coded = match coding {
                Coding::Hidden if !is_json => {
                    API_KEY.chars().map(|c| format!("&#x{:x};", u32::from(c))).collect()
                }
                coding => coded(coding, API_KEY),
            };
            assert!(said.contains(&coded), "{place:?} {coding:?} {dialect:?}: {said}");
            assert_eq!(said.contains(API_KEY), matches!(coding, Coding::Raw | Coding::Escaped), "{said}");
        }
    }
    // In a text of XML too, where a character is hidden in another way.
    let name = |odoo: &StandIn| {
        let read = json!([DATABASE, 10, PASSWORD, "res.partner", "read", [[16]], {"fields": ["name"]}]);
        json_of(&json_rpc(odoo, "object", "execute_kw", read))["result"][0]["name"].clone()
    };
    for coding in [Coding::Raw, Coding::Hidden] {
        odoo.set(|settings| settings.echo = Some(Echo { place: Place::Value, coding, at_login: false }));
        assert_eq!(name(&odoo), json!(PASSWORD));
    }
    odoo.set(|settings| {
        settings.echo = Some(Echo { place: Place::Header, coding: Coding::Hex, at_login: true })
    });
    let (head, _) = xml_rpc(&odoo, API_KEY);
    assert!(head.contains(&format!("X-Asked-With: {}\r\n", coded(Coding::Hex, API_KEY))), "{head}");
}
