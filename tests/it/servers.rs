//! Which dialect is spoken with which server: told by its version, remembered for a while, asked anew when it
//! does not fit any more; and the same records by each, through both programs.

use std::time::Duration;

use pawl::clock::{Clock, Moment};
use pawl::credential::CredentialKind::{self, ApiKey, Password};
use pawl::egress::{Egress, EgressError, Guard, Limits, OdooUrl};
use pawl::odoo::DialectName::{self, Json2, JsonRpc, XmlRpc};
use pawl::odoo::{
    Address, Credential, Domain, Odoo, OdooError, Order, ReadQuery, Readable, Record, Server, Servers,
    Version,
};
use pawl::secret::Secret;
use serde_json::json;

use crate::odoo_wire::wait;
use crate::scene::{Scene, code, errors};
use crate::standin::company::Company;
use crate::standin::seen::Dialect;
use crate::standin::settings::{Front, Key, NO_JSON_RPC, Settings, Version as Standing};
use crate::standin::{API_KEY, DATABASE, LOGIN, PASSWORD, StandIn};

async fn log_in(odoo: &StandIn, kind: CredentialKind, servers: &Servers) -> Result<Odoo, OdooError> {
    log_in_as(odoo, LOGIN, kind, servers).await
}

async fn log_in_as(
    odoo: &StandIn,
    username: &str,
    kind: CredentialKind,
    servers: &Servers,
) -> Result<Odoo, OdooError> {
    let guard = Guard::new("127.0.0.1".parse().unwrap());
    let url = OdooUrl::parse(&odoo.url(), &guard, None).unwrap();
    let egress = Egress::new(&guard, url, None, Limits::default()).unwrap();
    let address = Address { database: DATABASE.into(), username: username.into() };
    let secret = Secret::new(if kind == ApiKey { API_KEY } else { PASSWORD }.into());
    Odoo::login(egress, address, Credential { kind, secret }, servers).await.map_err(|no| no.cause)
}

fn forgetful() -> Servers {
    Servers::new(Clock::system())
}

fn first_invoices() -> ReadQuery {
    let moves = Readable::embedded().unwrap().model("account.move").unwrap();
    ReadQuery::SearchRead {
        domain: Domain::all(&moves),
        fields: moves.all(),
        order: Order::IdAscending,
        offset: 0,
        limit: 40.try_into().unwrap(),
        archived: true,
    }
}

const NO_RPC: Front = Front::Closed(&["/jsonrpc", "/xmlrpc"], "404 Not Found");
const NO_JSON_2: Front = Front::Closed(&["/json/2"], "403 Forbidden");
const NO_WEB: Front = Front::Closed(&["/web"], "403 Forbidden");

#[test]
fn each_server_is_spoken_to_in_the_best_dialect_that_it_has() {
    let odoo = StandIn::start(Company::small(3)).unwrap();
    let mut read: Vec<Vec<Record>> = Vec::new();
    for (version, told, kind, front, expected) in [
        (Standing::of(14), "14.0", Password, Front::Bare, Ok(JsonRpc)),
        (Standing::of(14), "14.0", ApiKey, Front::Bare, Ok(JsonRpc)),
        (Standing::of(14), "14.0", Password, NO_JSON_RPC, Ok(XmlRpc)),
        (Standing::of(18), "18.0", ApiKey, NO_JSON_RPC, Ok(XmlRpc)),
        (Standing::of(18), "18.0", ApiKey, NO_WEB, Ok(JsonRpc)),
        (Standing::online(18, 2), "saas~18.2", ApiKey, Front::Bare, Ok(JsonRpc)),
        (Standing::of(19), "19.0", Password, Front::Bare, Ok(JsonRpc)),
        (Standing::of(19), "19.0", Password, NO_JSON_RPC, Ok(XmlRpc)),
        (Standing::of(19), "19.0", ApiKey, Front::Bare, Ok(Json2)),
        (Standing::of(19), "19.0", ApiKey, NO_RPC, Ok(Json2)),
        (Standing::of(19), "19.0", ApiKey, NO_JSON_2, Ok(JsonRpc)),
        (Standing::of(19), "19.0", ApiKey, NO_WEB, Ok(Json2)),
        (Standing::of(21), "21.0", Password, Front::Bare, Ok(JsonRpc)),
        (Standing::of(21), "21.0", ApiKey, Front::Bare, Ok(Json2)),
        (Standing::online(21, 1), "saas~21.1", ApiKey, Front::Bare, Ok(Json2)),
        (Standing::of(22), "22.0", ApiKey, Front::Bare, Ok(Json2)),
        // what is not taken is not sent
        (Standing::online(21, 1), "", Password, Front::Bare, Err(OdooError::PasswordNotTaken)),
        (Standing::of(22), "", Password, Front::Bare, Err(OdooError::PasswordNotTaken)),
        (Standing::of(19), "", Password, NO_RPC, Err(OdooError::ApiClosed)),
        (Standing::of(22), "", ApiKey, NO_JSON_2, Err(OdooError::KeptOut)),
        (Standing::of(18), "", ApiKey, NO_RPC, Err(OdooError::NotOdoo)),
        (Standing::of(22), "", ApiKey, NO_WEB, Err(OdooError::KeptOut)),
        (Standing::of(19), "", ApiKey, Front::LoginPage, Err(OdooError::NotOdoo)),
        (Standing::of(19), "", ApiKey, Front::Selector, Err(OdooError::Egress(EgressError::Redirected(303)))),
        (Standing::of(19), "", Password, Front::Down, Err(OdooError::Egress(EgressError::Status(502)))),
    ] {
        odoo.set(|settings| (settings.version, settings.front) = (version, front));
        let before = odoo.seen().len();
        let got = wait(async {
            let logged_in = log_in(&odoo, kind, &forgetful()).await?;
            assert_eq!(logged_in.version().to_string(), told);
            read.push(logged_in.fetch(&first_invoices()).await?);
            Ok(logged_in.dialect())
        });
        assert_eq!(got, expected, "{version:?} {kind} {front:?}");
        let seen = odoo.seen().split_off(before);
        match got {
            Ok(dialect) => {
                let last = seen.last().unwrap();
                assert_eq!((last.method.as_str(), last.dialect), ("search_read", of(dialect)));
            }
            Err(_) => assert!(seen.is_empty(), "{seen:?}"),
        }
    }
    assert!(read.len() > 10 && read[0].len() > 10);
    assert!(read.iter().all(|records| *records == read[0]));
}

fn of(dialect: DialectName) -> Dialect {
    match dialect {
        Json2 => Dialect::Json2,
        JsonRpc => Dialect::Json,
        XmlRpc => Dialect::Xml,
    }
}

#[test]
fn what_a_server_is_is_remembered_for_an_hour_and_asked_anew_when_it_does_not_fit() {
    let odoo = StandIn::start(Company::small(1)).unwrap();
    let clock = Clock::held(Moment::from_micros(1_800_000_000_000_000));
    let servers = Servers::new(clock.clone());
    let asked = || odoo.paths().iter().filter(|path| *path == "/web/version").count();
    let spoken = |kind| wait(async { log_in(&odoo, kind, &servers).await.map(|odoo| odoo.dialect()) });
    odoo.set(|settings| settings.version = Standing::of(18));
    for _ in 0..3 {
        assert_eq!(spoken(ApiKey), Ok(JsonRpc));
    }
    assert_eq!(asked(), 1);
    // A proxy closes one off: the next is taken, and that is remembered too.
    odoo.set(|settings| settings.front = Front::Closed(&["/jsonrpc"], "404 Not Found"));
    for _ in 0..3 {
        assert_eq!(spoken(ApiKey), Ok(XmlRpc));
    }
    assert_eq!(asked(), 2);
    let before = odoo.paths().len();
    assert_eq!(spoken(ApiKey), Ok(XmlRpc));
    assert_eq!(odoo.paths().split_off(before), ["/xmlrpc/2/common"]);
    // It was upgraded to one that has neither.
    odoo.set(|settings| (settings.version, settings.front) = (Standing::of(22), Front::Bare));
    assert_eq!(spoken(ApiKey), Ok(Json2));
    assert_eq!(asked(), 3);
    // What is remembered is no reason to refuse somebody without having asked.
    assert_eq!((spoken(Password), asked()), (Err(OdooError::PasswordNotTaken), 4));
    // and taken back from a backup
    odoo.set(|settings| settings.version = Standing::of(17));
    assert_eq!(spoken(ApiKey), Ok(JsonRpc));
    assert_eq!(asked(), 5);
    clock.advance(Duration::from_secs(3_599));
    assert_eq!((spoken(ApiKey), asked()), (Ok(JsonRpc), 5));
    clock.advance(Duration::from_secs(1));
    assert_eq!((spoken(ApiKey), asked()), (Ok(JsonRpc), 6));

    // In the middle of it, a run ends, and the next asks.
    let logged_in = wait(log_in(&odoo, Password, &servers)).unwrap_or_else(|error| panic!("{error}"));
    odoo.set(|settings| settings.version = Standing::of(22));
    assert_eq!(wait(logged_in.fetch(&first_invoices())), Err(OdooError::ApiClosed));
    assert_eq!((spoken(ApiKey), asked()), (Ok(Json2), 7));
}

/// Whoever deposits can name as many as they like.
#[test]
fn no_more_servers_are_remembered_than_there_is_room_for() {
    let clock = Clock::held(Moment::from_micros(1_800_000_000_000_000));
    let servers = Servers::new(clock.clone());
    let server = Server::of(Version::online(18, 2));
    for n in 0..3_000 {
        servers.remember(&format!("https://{n}.example"), "d", server.clone());
        clock.advance(Duration::from_micros(1));
    }
    let there = (0..3_000).filter(|n| servers.remembered(&format!("https://{n}.example"), "d").is_some());
    assert_eq!(there.collect::<Vec<_>>(), (1_976..3_000).collect::<Vec<_>>());
    // Each database of a host is its own.
    assert_eq!(servers.remembered("https://2999.example", "other"), None);
    servers.forget("https://2999.example", "d");
    assert_eq!(servers.remembered("https://2999.example", "d"), None);
}

/// XML-RPC refuses such a key; JSON-2 would take it, and be somebody else.
#[test]
fn a_key_of_another_user_is_not_taken_for_the_ones_that_was_named() {
    let odoo = StandIn::start(Company::small(1)).unwrap();
    let refused = |username| wait(log_in_as(&odoo, username, ApiKey, &forgetful())).err();
    assert_eq!(refused(LOGIN), None);
    assert_eq!(refused("admin"), Some(OdooError::OtherUser));
    for key in [Key::Expired, Key::Scoped] {
        odoo.set(|settings| settings.key = key);
        assert_eq!(refused(LOGIN), Some(OdooError::LoginRefused));
    }
}

/// What stands before an Odoo may see a secret once; and nothing that is closed does.
/// Attack on P6.
#[test]
fn a_secret_is_shown_once_and_only_where_an_odoo_has_answered() {
    use OdooError::{ApiClosed, KeptOut, TurnedAway};
    const ALL: &[&str] = &["/json/2", "/jsonrpc", "/xmlrpc"];
    let cases: &[(Front, OdooError, usize)] = &[
        (Front::Closed(ALL, "401 Unauthorized"), KeptOut, 0),
        (Front::Closed(ALL, "403 Forbidden"), KeptOut, 0),
        (Front::Closed(ALL, "451 Unavailable For Legal Reasons"), KeptOut, 0),
        (Front::Closed(ALL, "404 Not Found"), ApiClosed, 0),
        (Front::Closed(ALL, "405 Method Not Allowed"), ApiClosed, 0),
        (Front::Closed(ALL, "410 Gone"), ApiClosed, 0),
        (Front::Closed(&["/"], "401 Unauthorized"), KeptOut, 0),
        (Front::Closed(&["/"], "403 Forbidden"), KeptOut, 0),
        (Front::Closed(&["/"], "404 Not Found"), OdooError::NotOdoo, 0),
        (Front::Guarded("401 Unauthorized"), TurnedAway, 1),
        (Front::Guarded("403 Forbidden"), TurnedAway, 1),
        (Front::Guarded("404 Not Found"), ApiClosed, 1),
        (Front::Guarded("200 OK"), OdooError::NotOdoo, 1),
        (Front::Guarded("503 Busy"), OdooError::Egress(EgressError::Status(503)), 1),
    ];
    for (front, cause, shown) in cases {
        for kind in [Password, ApiKey] {
            let odoo = StandIn::start(Company::small(1)).unwrap();
            odoo.set(|settings| settings.front = *front);
            let servers = forgetful();
            for _ in 0..2 {
                let before = odoo.asked();
                assert_eq!(wait(log_in(&odoo, kind, &servers)).err(), Some(*cause), "{kind} {front:?}");
                assert_eq!(odoo.asked() - before, *shown, "{kind} {front:?}");
            }
            assert_eq!(odoo.logins(), 0);
        }
    }
    // What was open and is closed now sees it once, and where it is open it is shown once.
    for (kind, closed, status) in [
        (Password, &["/jsonrpc"], "404 Not Found"),
        (ApiKey, &["/json/2"], "404 Not Found"),
        (ApiKey, &["/json/2"], "410 Gone"),
    ] {
        let (odoo, servers) = (StandIn::start(Company::small(1)).unwrap(), forgetful());
        assert_eq!(wait(log_in(&odoo, kind, &servers)).err(), None);
        odoo.set(|settings| settings.front = Front::Closed(closed, status));
        let before = odoo.asked();
        assert_eq!(wait(log_in(&odoo, kind, &servers)).err(), None);
        assert_eq!(odoo.asked() - before, 2, "{kind} {status}");
        odoo.set(|settings| settings.front = Front::Guarded("403 Forbidden"));
        let before = odoo.asked();
        assert_eq!(wait(log_in(&odoo, kind, &servers)).err(), Some(TurnedAway));
        assert_eq!(odoo.asked() - before, 1, "{kind} {status}");
    }
}

/// Where JSON-2 can't be spoken, another way is gone; and nothing is shown on the way to it.
#[test]
fn what_json_2_can_not_say_or_find_is_said_in_another_way() {
    let log_in_to = |odoo: &StandIn, database: &str, secret: &str| {
        let guard = Guard::new("127.0.0.1".parse().unwrap());
        let url = OdooUrl::parse(&odoo.url(), &guard, None).unwrap();
        let egress = Egress::new(&guard, url, None, Limits::default()).unwrap();
        let address = Address { database: database.into(), username: LOGIN.into() };
        let credential = Credential { kind: ApiKey, secret: Secret::new(secret.into()) };
        let logged_in = wait(Odoo::login(egress, address, credential, &forgetful()));
        logged_in.map(|odoo| odoo.dialect()).map_err(|no| no.cause)
    };
    for version in [19, 21] {
        let odoo = StandIn::start(Company::small(1)).unwrap();
        odoo.set(|settings| settings.version = Standing::of(version));
        // No header holds such a name or key.
        assert_eq!(log_in_to(&odoo, "bücher", API_KEY), Err(OdooError::NoSuchDatabase));
        assert_eq!(log_in_to(&odoo, DATABASE, "klíč"), Err(OdooError::LoginRefused));
        // What stands before it takes the header away, and several databases are there.
        odoo.set(|settings| (settings.others, settings.strips_database) = (vec!["beta"], true));
        assert_eq!(log_in_to(&odoo, DATABASE, API_KEY), Ok(JsonRpc));
        odoo.set(|settings| settings.front = NO_JSON_RPC);
        assert_eq!(log_in_to(&odoo, DATABASE, API_KEY), Ok(XmlRpc));
        assert_eq!(odoo.asked(), 4);
    }
    // There is no other way.
    let odoo = StandIn::start(Company::small(1)).unwrap();
    odoo.set(|settings| settings.version = Standing::of(22));
    assert_eq!(log_in_to(&odoo, "bücher", API_KEY), Err(OdooError::Unspeakable));
    assert_eq!(log_in_to(&odoo, "another", API_KEY), Err(OdooError::DatabaseNotSelected));
    assert_eq!(odoo.asked(), 0);
}

/// By both programs: what the sink holds is what Odoo holds, whichever way it came; and who asks is told which.
#[test]
fn a_sync_and_a_check_go_by_each_dialect_and_tell_it() {
    for (secret, front, version, dialect, said) in [
        (API_KEY, Front::Bare, Standing::of(19), Json2, "Odoo 19.0 by JSON-2"),
        (PASSWORD, Front::Bare, Standing::of(19), JsonRpc, "Odoo 19.0 by JSON-RPC"),
        (PASSWORD, NO_JSON_RPC, Standing::online(18, 2), XmlRpc, "Odoo saas~18.2 by XML-RPC"),
    ] {
        let scene = Scene::new(Company::sized(3, 1_100, 40), secret);
        scene.odoo.set(|settings: &mut Settings| (settings.version, settings.front) = (version, front));
        let output = scene.run("books.db");
        assert_eq!(code(&output), 0, "{}", errors(&output));
        assert!(errors(&output).contains(said), "{}", errors(&output));
        scene.assert_same("books.db");
        let reads = scene.odoo.seen().into_iter().filter(|seen| seen.model == "account.move");
        assert!(reads.map(|seen| seen.dialect).all(|seen| seen == of(dialect)));

        let backend = scene.vault.token("acme", "ada", "backend");
        let path = format!("/v1/connections/{}/check", scene.connection);
        let check = scene.vault.call("POST", &path, &backend, None);
        let version = said.split(' ').nth(1).unwrap();
        assert_eq!(check.json["server"], json!({"version": version, "dialect": dialect.as_str()}));
        assert_eq!(check.json["ok"], true, "{}", check.json);
    }
}

/// It is told which Odoo it is, what to do, and the password stays here.
#[test]
fn a_password_for_an_odoo_that_takes_none_is_told_and_not_sent() {
    let scene = Scene::new(Company::small(1), PASSWORD);
    scene.odoo.set(|settings| settings.version = Standing::of(22));
    let backend = scene.vault.token("acme", "ada", "backend");
    let path = format!("/v1/connections/{}/check", scene.connection);
    let check = scene.vault.call("POST", &path, &backend, None);
    assert_eq!(check.json["server"], json!({"version": "22.0", "dialect": null}));
    assert_eq!(check.json["causes"][0]["code"], "password_not_taken");
    assert_eq!(scene.state(), "active");
    let output = scene.run("books.db");
    assert_eq!(code(&output), 1, "{}", errors(&output));
    assert!(errors(&output).contains("takes no password any more"), "{}", errors(&output));
    assert!(scene.odoo.seen().is_empty());
}
