//! The client against hosts that are no Odoo, Odoos in other languages, and inputs that nobody would
//! type: each ends as its cause, and nothing but a login or a read leaves.

use std::collections::BTreeSet;

use pawl::egress::{Egress, EgressError, Guard, Limits, OdooUrl, Resolve};
use pawl::odoo::xmlrpc::{Fault, XmlError};
use pawl::odoo::{
    Address, DialectName, Domain, Odoo, OdooError, Operand, Operator, Order, ReadQuery, Readable, Record,
};

use crate::dialects::{only, password};
use crate::standin::company::Company;
use crate::standin::{API_KEY, DATABASE, LOGIN, PASSWORD, StandIn};

fn wait<T>(future: impl std::future::Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

async fn log_in(odoo: &StandIn, [database, username, secret]: [&str; 3]) -> Result<Odoo, OdooError> {
    let guard = Guard::new("127.0.0.1".parse().unwrap());
    let url = OdooUrl::parse(&odoo.url(), &guard, None).unwrap();
    let limits = Limits { max_bytes: 1 << 20, ..Limits::default() };
    let egress = Egress::new(&guard, url, None, limits).unwrap();
    let address = Address { database: database.into(), username: username.into() };
    let servers = only(DialectName::XmlRpc, &odoo.url(), database);
    Odoo::login(egress, address, password(secret), &servers).await.map_err(|no| no.cause)
}

fn invoices(reference: Operand) -> ReadQuery {
    let moves = Readable::embedded().unwrap().model("account.move").unwrap();
    ReadQuery::SearchRead {
        domain: Domain::all(&moves).and("ref", Operator::Equal, reference).unwrap(),
        fields: moves.fields(&["name", "ref"]).unwrap(),
        order: Order::IdAscending,
        offset: 0,
        limit: 10.try_into().unwrap(),
        archived: false,
    }
}

/// Logs in, then gets `answer` in place of a page.
fn fetched(answer: &[u8]) -> Result<Vec<Record>, OdooError> {
    let standin = StandIn::start(Company::small(1)).unwrap();
    let fetched = wait(async {
        let odoo = log_in(&standin, [DATABASE, LOGIN, PASSWORD]).await.unwrap();
        standin.answer_raw(1, answer);
        odoo.fetch(&invoices(Operand::Empty)).await
    });
    assert_eq!(standin.seen().len(), 2, "one login, one call");
    fetched
}

fn answer(media: &str, body: &str) -> Vec<u8> {
    let head =
        format!("HTTP/1.1 200 OK\r\n{media}Content-Length: {}\r\nConnection: close\r\n\r\n", body.len());
    format!("{head}{body}").into_bytes()
}

fn status(line: &str) -> Vec<u8> {
    format!("HTTP/1.1 {line}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").into_bytes()
}

/// Attack on P6 and P10.
#[test]
fn a_host_that_is_no_odoo_has_its_cause() {
    const XML: &str = "Content-Type: text/xml\r\n";
    let empty = "<methodResponse><params><param><value><array><data></data></array></value></param></params></methodResponse>";
    let page = "<!doctype html><html><body>Parked</body></html>";
    let nested = empty.replace(
        "<data></data>",
        &format!(
            "<data><value><struct><member><name>name</name>{}{}</member></struct></value></data>",
            "<value><array><data>".repeat(40),
            "</data></array></value>".repeat(40)
        ),
    );
    let cut = answer(XML, empty);
    let egress = OdooError::Egress;
    let table = [
        ("an empty page", answer(XML, empty), Ok(()), false),
        ("another name for XML", answer("Content-Type: application/xml\r\n", empty), Ok(()), false),
        ("HTML", answer("Content-Type: text/html\r\n", page), Err(OdooError::NotOdoo), false),
        (
            "XML that says it is HTML",
            answer("Content-Type: text/html\r\n", empty),
            Err(OdooError::NotOdoo),
            false,
        ),
        ("no type", answer("", empty), Err(OdooError::NotOdoo), false),
        ("HTML that says it is XML", answer(XML, page), Err(OdooError::Malformed), false),
        ("nothing", answer(XML, ""), Err(OdooError::Malformed), false),
        ("401", status("401 Unauthorized"), Err(OdooError::TurnedAway), false),
        ("404", status("404 Not Found"), Err(OdooError::ApiClosed), false),
        ("405", status("405 Method Not Allowed"), Err(OdooError::ApiClosed), false),
        ("406", status("406 Not Acceptable"), Err(OdooError::NotOdoo), false),
        ("429", status("429 Too Many Requests"), Err(egress(EgressError::Status(429))), true),
        ("502", status("502 Bad Gateway"), Err(egress(EgressError::Status(502))), true),
        ("204", status("204 No Content"), Err(egress(EgressError::Status(204))), false),
        ("301", status("301 Moved\r\nLocation: /web"), Err(egress(EgressError::Redirected(301))), false),
        ("cut", cut[..cut.len() - 9].to_vec(), Err(egress(EgressError::Broken)), true),
        ("hung up", Vec::new(), Err(egress(EgressError::Broken)), true),
        ("too many bytes", answer(XML, &" ".repeat(1 << 21)), Err(egress(EgressError::TooLarge)), false),
        ("too deep", answer(XML, &nested), Err(egress(EgressError::TooLarge)), false),
    ];
    for (what, raw, expected, is_retryable) in table {
        let got = fetched(&raw).map(|records| assert!(records.is_empty(), "{what}"));
        assert_eq!(got, expected, "{what}");
        assert_eq!(got.is_err_and(OdooError::retryable), is_retryable, "{what}");
    }
    assert_eq!(OdooError::from(XmlError::Limit("text")).code(), "too_large");
}

/// Odoo translates this one, and keeps the name that it was asked for.
#[test]
fn a_model_that_is_not_installed_is_known_in_every_language() {
    let moves = Readable::embedded().unwrap().model("account.move").unwrap();
    for (text, missing) in [
        ("Object account.move doesn't exist", true),
        ("L'objet account.move n'existe pas", true),
        ("L'objet «account.move» n'existe pas", true),
        ("对象account.move不存在", true),
        ("account.move", true),
        ("Record does not exist or has been deleted.\n(Record: account.move(7,), User: 10)", false),
        ("Model: Journal Entry (account.move)", false),
        ("account.move.line n'existe pas", false),
        ("x.account.move n'existe pas", false),
        ("account.moves, account.move_x", false),
        ("Invalid language code: de_DE", false),
        ("", false),
    ] {
        let fault = |code| Fault { code, text: text.to_owned() };
        let expected = if missing { OdooError::ModelMissing } else { OdooError::QueryRefused };
        assert_eq!(OdooError::of_fault(&fault(2), Some(&moves)), expected, "{text}");
        assert_eq!(OdooError::of_fault(&fault(4), Some(&moves)), OdooError::NotAllowed, "{text}");
    }
}

/// Whatever is typed as database, user or secret, and whatever is searched for: the server sees one
/// login, then reads.
/// Attack on P6.
#[test]
fn no_input_makes_the_client_say_more_than_logins_and_reads() {
    const PIECES: &[&str] = &[
        "</string></value></param></params></methodCall>",
        "<methodName>execute_kw</methodName>",
        "<param><value><string>unlink</string></value></param>",
        "write",
        "&lt;",
        "&#60;",
        "<![CDATA[",
        "]]>",
        "<!--",
        "\r\n\r\nPOST /xmlrpc/2/object HTTP/1.1\r\n",
        "\t",
        "é🧾",
        "\u{85}\u{2028}",
        "'\"",
    ];
    let standin = StandIn::start(Company::small(1)).unwrap();
    let mut seed = 0xface_u64;
    let mut text = || -> String {
        let mut below = |bound: usize| {
            // xorshift64*, Vigna 2016
            seed ^= seed >> 12;
            seed ^= seed << 25;
            seed ^= seed >> 27;
            (seed.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % bound
        };
        (0..below(5)).map(|_| PIECES[below(PIECES.len())]).collect()
    };
    let rounds = if std::env::var_os("TEST_LONG").is_some() { 1_000 } else { 150 };
    wait(async {
        let odoo = log_in(&standin, [DATABASE, LOGIN, API_KEY]).await.unwrap();
        for round in 0..rounds {
            let (database, username, secret, value) = (text(), text(), text(), text());
            // each by turns with what is right beside it, so that it gets as far as it can
            let [database, username, secret]: [&str; 3] = match round % 4 {
                0 => [&database, LOGIN, PASSWORD],
                1 => [DATABASE, &username, PASSWORD],
                2 => [DATABASE, LOGIN, &secret],
                _ => [&database, &username, &secret],
            };
            let before = standin.seen().len();
            let refused = log_in(&standin, [database, username, secret]).await.err();
            let expected = match database {
                DATABASE => OdooError::LoginRefused,
                // Odoo quotes the name; with a line break in it (which a deposit refuses) the
                // sentence is not on one line any more.
                name if name.contains('\n') => OdooError::ServerFailed,
                _ => OdooError::NoSuchDatabase,
            };
            assert_eq!(refused, Some(expected), "{database:?} {username:?} {secret:?}");
            let found = odoo.fetch(&invoices(Operand::Text(value.clone()))).await;
            assert_eq!(found, Ok(vec![]), "{value:?}");
            let seen = standin.seen().split_off(before);
            let methods: Vec<&str> = seen.iter().map(|seen| seen.method.as_str()).collect();
            assert_eq!(methods, ["authenticate", "search_read"], "{database:?} {username:?} {value:?}");
        }
    });
    let models: BTreeSet<String> = standin.seen().into_iter().map(|seen| seen.model).collect();
    assert_eq!(models, BTreeSet::from([String::new(), "account.move".to_owned()]));
}

/// What XML can't carry is refused before anything is sent.
#[test]
fn what_cannot_be_said_is_not_sent() {
    let standin = StandIn::start(Company::small(1)).unwrap();
    for [database, username, secret] in
        [["a\0", LOGIN, PASSWORD], [DATABASE, "a\u{b}", PASSWORD], [DATABASE, LOGIN, "\u{ffff}"]]
    {
        let refused = wait(log_in(&standin, [database, username, secret])).err();
        assert_eq!(refused, Some(OdooError::Unspeakable));
    }
    assert!(standin.seen().is_empty());
}

/// As when no resolver answers for a moment; a secret that was sent is never had again.
#[test]
fn a_login_that_never_reached_the_host_can_be_tried_again_and_a_refused_one_not() {
    let standin = StandIn::start(Company::small(1)).unwrap();
    let guard = Guard::new("127.0.0.1,odoo.test".parse().unwrap());
    let url = standin.url().replace("127.0.0.1", "odoo.test");
    for (secret, logs_in) in [(PASSWORD, true), ("wrong", false)] {
        let url = OdooUrl::parse(&url, &guard, None).unwrap();
        let servers = only(DialectName::XmlRpc, url.as_str(), DATABASE);
        let is_known = std::sync::atomic::AtomicBool::new(false);
        let resolve = Resolve::by(move |_| match is_known.swap(true, std::sync::atomic::Ordering::SeqCst) {
            true => vec!["127.0.0.1".parse().unwrap()],
            false => Vec::new(),
        });
        let egress = Egress::new(&guard.clone().resolving(resolve), url, None, Limits::default()).unwrap();
        let address = Address { database: DATABASE.into(), username: LOGIN.into() };
        let before = standin.seen().len();
        wait(async {
            let no = Odoo::login(egress, address, password(secret), &servers).await.err().unwrap();
            assert_eq!(no.cause, OdooError::Egress(EgressError::HostNotPublic));
            assert!(no.cause.retryable());
            let (egress, address, credential) = *no.unsent.unwrap();
            let again = Odoo::login(egress, address, credential, &servers).await;
            assert_eq!(again.is_ok(), logs_in);
            if let Err(no) = again {
                assert_eq!((no.cause, no.unsent.is_some()), (OdooError::LoginRefused, false));
            }
        });
        assert_eq!(standin.seen().len() - before, 1);
    }
}
