//! `pawl-sync` as a process, between a real vault and a stand-in for Odoo: what it brings home, and
//! how it ends when something is wrong.

use std::collections::BTreeMap;
use std::io::Read;
use std::process::Output;
use std::time::Duration;

use pawl::clock::Clock;
use pawl::odoo::Kind;
use pawl::sync::{SyncError, Verdict};
use rustix::process::{Pid, Signal, kill_process};

use crate::harness::{everything_under, holds, program};
use crate::odoo_wire::whole;
use crate::scene::{Scene, code, columns, deposit, errors, number};
use crate::standin::company::Company;
use crate::standin::wire::{EMPTY, Value};
use crate::standin::{API_KEY, DATABASE, LOGIN, PASSWORD, StandIn};

/// The lines of the closing table, by model.
fn table(output: &Output) -> BTreeMap<String, [usize; 3]> {
    let said = String::from_utf8(output.stdout.clone()).unwrap();
    let cells = said.lines().skip(1).map(|line| line.split_whitespace().collect::<Vec<_>>());
    cells.map(|cells| (cells[0].into(), [1, 2, 3].map(|n: usize| cells[n].parse().unwrap()))).collect()
}

#[test]
fn what_odoo_holds_is_what_comes_home_and_again_after_changes() {
    let mut company = Company::sized(7, 1_100, 1_050);
    let mut entry = company.record("account.move", 1).unwrap();
    entry.insert("move_type", Value::text("entry"));
    company.insert("account.move", 9_000, entry);
    let scene = Scene::new(company, PASSWORD);
    let lines = scene.odoo.company().ids("account.move.line").len();

    let first = scene.run("books.db");
    assert_eq!(code(&first), 0, "{}", errors(&first));
    scene.assert_same("books.db");
    let done = table(&first);
    assert_eq!(done["account.move"], [1_100, 1_100, 0]);
    assert_eq!(done["account.move.line"], [lines, lines, 0]);
    assert_eq!(done["res.partner"], [1_050, 1_050, 0]);
    // Each model's newest time, then its pages, and the empty one that ends them.
    let mut asked = vec!["login".to_owned()];
    for (model, fields, pages) in [
        ("account.move", 20, 2),
        ("account.move.line", 21, lines / 1_000 + 1),
        ("res.partner", 17, 2),
        ("product.product", 13, 1),
        ("res.currency", 7, 1),
        ("account.tax", 10, 1),
    ] {
        asked.push(format!("{model} 1"));
        asked.extend(std::iter::repeat_n(format!("{model} {fields}"), pages + 1));
    }
    assert_eq!(scene.asked(), asked);

    scene.odoo.edit(|company| {
        company.edit("account.move", 1_050, |back_to_draft| {
            back_to_draft.insert("state", Value::text("draft"));
            back_to_draft.insert("name", EMPTY);
        });
        company.edit("account.move", 7, |paid| {
            paid.insert("amount_residual", Value::Float(0.1 + 0.2));
        });
        company.remove("account.move", 8);
        company.remove("account.move", 1_100);
        let new = company.record("account.move", 9).unwrap();
        company.insert("account.move", 9_001, new);
        company.remove("res.partner", 20);
        company.edit("res.partner", 21, |archived| {
            archived.insert("active", Value::Bool(false));
        });
    });
    let second = scene.run("books.db");
    assert_eq!(code(&second), 0, "{}", errors(&second));
    scene.assert_same("books.db");
    let (done, left) = (table(&second), scene.odoo.company().ids("account.move.line").len());
    assert_eq!(done["account.move"], [1_099, 3, 2]);
    assert_eq!(done["account.move.line"], [left, 0, lines - left]);
    assert_eq!(done["res.partner"], [1_049, 1, 1]);

    assert_eq!(scene.odoo.logins(), 2);
    assert_eq!(scene.trail("lease.return", "status"), ["Success", "Success"]);
    assert_eq!((scene.open_leases(), scene.state().as_str()), (0, "active"));
    use std::os::unix::fs::PermissionsExt;
    for file in std::fs::read_dir(scene.dir.path()).unwrap() {
        let file = file.unwrap();
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{file:?}");
    }
}

/// Attack on P6 and P10.
#[test]
fn a_refused_credential_is_tried_once_and_told_to_the_vault() {
    let scene = Scene::new(Company::small(1), "not the password");
    let output = scene.run("books.db");
    assert_eq!(code(&output), 77, "{}", errors(&output));
    assert_eq!(scene.odoo.seen().len(), 1);
    assert_eq!(scene.odoo.logins(), 1);
    assert_eq!(scene.trail("lease.return", "status_detail"), ["auth_failed"]);
    assert_eq!((scene.open_leases(), scene.state().as_str()), (0, "auth_failed"));

    // Refused in the middle: as final.
    let scene = Scene::new(Company::sized(1, 1_100, 10), API_KEY);
    scene.odoo.answer_raw(3, whole("json2/auth-bad-key", "response"));
    let output = scene.run("books.db");
    assert_eq!(code(&output), 77, "{}", errors(&output));
    assert_eq!((scene.odoo.logins(), scene.odoo.seen().len()), (0, 3));
    assert_eq!(scene.state(), "auth_failed");
}

/// Attack on P10.
#[test]
fn a_killed_run_goes_on_at_once_with_its_own_lease() {
    let scene = Scene::new(Company::sized(3, 1_100, 40), API_KEY);
    // The second page of the invoices, while the first is being written.
    scene.odoo.hold(4);
    let mut worker = scene.spawn("books.db");
    assert!(scene.odoo.wait_until_held());
    scene.wait_until_written("books.db", "account_move", 1_000);
    worker.child.kill().unwrap();
    worker.child.wait().unwrap();
    scene.odoo.release();
    assert_eq!(scene.open_leases(), 1);

    // Another sink is another run: the connection is taken.
    assert_eq!(code(&scene.run("other.db")), 75);

    let before = scene.asked().len();
    let output = scene.run("books.db");
    assert_eq!(code(&output), 0, "{}", errors(&output));
    assert!(errors(&output).contains("going on"), "{}", errors(&output));
    scene.assert_same("books.db");
    let lent = scene.trail("lease.lend", "lease.uid");
    assert_eq!(lent.len(), 2);
    assert_eq!(lent[0], lent[1]);
    assert_eq!(scene.open_leases(), 0);
    // The second page again, and the end; then what changed since the first run began.
    let asked: Vec<String> = scene.asked().split_off(before);
    let moves: Vec<&String> = asked.iter().filter(|asked| asked.starts_with("account.move ")).collect();
    assert_eq!(asked[0], "login");
    assert_eq!(moves[..3], ["account.move 20", "account.move 20", "account.move 1"]);
    let ended = "SELECT count(*) FROM pawl_run WHERE finished_at IS NOT NULL AND outcome = 'ok'";
    assert_eq!(number(&scene.sink("books.db"), ended), 1);
}

#[test]
fn a_held_connection_is_waited_for_and_a_busy_sink_is_not() {
    let scene = Scene::new(Company::small(5), PASSWORD);
    scene.odoo.hold(2);
    let first = scene.spawn("first.db");
    assert!(scene.odoo.wait_until_held());

    let refused = scene.run("second.db");
    assert_eq!(code(&refused), 75, "{}", errors(&refused));
    assert!(errors(&refused).contains("another run holds this connection until 2026-11-24T12:15:00.000000Z"));
    let busy = scene.run("first.db");
    assert_eq!(code(&busy), 75, "{}", errors(&busy));
    assert!(errors(&busy).contains("another run is writing to"), "{}", errors(&busy));

    let mut second = scene.spawn("second.db");
    let said = second.wait_for("waiting");
    assert!(said.contains("until 2026-11-24T12:15:00.000000Z"), "{said}");
    let mut third = scene.spawn("third.db");
    third.wait_for("waiting");
    kill_process(Pid::from_raw(third.child.id() as i32).unwrap(), Signal::TERM).unwrap();
    assert_eq!(third.end().0, 75);
    scene.odoo.release();
    let (ended, said) = first.end();
    assert_eq!(ended, 0, "{said}");
    let (ended, said) = second.end();
    assert_eq!(ended, 0, "{said}");
    scene.assert_same("first.db");
    scene.assert_same("second.db");
    assert_eq!(scene.open_leases(), 0);
}

#[test]
fn a_signal_stops_it_between_pages_and_the_lease_comes_back() {
    for signal in [Signal::TERM, Signal::INT] {
        let scene = Scene::new(Company::sized(3, 1_100, 40), PASSWORD);
        scene.odoo.hold(4);
        let worker = scene.spawn("books.db");
        assert!(scene.odoo.wait_until_held());
        kill_process(Pid::from_raw(worker.child.id() as i32).unwrap(), signal).unwrap();
        let (ended, said) = worker.end();
        assert_eq!(ended, 75, "{said}");
        assert!(said.contains("stopped"), "{said}");
        assert_eq!(scene.trail("lease.return", "status_detail"), ["failed"]);
        assert_eq!((scene.open_leases(), scene.state().as_str()), (0, "active"));
        assert_eq!(number(&scene.sink("books.db"), "SELECT count(*) FROM account_move"), 1_000);
        scene.odoo.release();
        let before = scene.asked().len();
        let next = scene.run("books.db");
        assert_eq!(code(&next), 0);
        assert!(errors(&next).contains("going on"), "{}", errors(&next));
        scene.assert_same("books.db");
        // The first page is not asked for again: the second, and the end.
        let asked = scene.asked().split_off(before);
        assert_eq!(asked[..4], ["login", "account.move 20", "account.move 20", "account.move 1"]);
    }
}

/// The worker's clock is a day ahead, so that its token tells it nothing.
#[test]
fn a_run_does_not_outlive_its_lease_and_the_next_goes_on() {
    let scene = Scene::new(Company::sized(3, 1_100, 40), PASSWORD);
    let clock = Clock::held(scene.vault.clock.now().after(Duration::from_secs(86_400)));
    let ended = scene.run_here(&clock, &mut |_, records| {
        if records == 1_000 {
            clock.advance(Duration::from_secs(885));
        }
    });
    let error = ended.err().unwrap();
    assert!(matches!(error, SyncError::LeaseOver) && error.verdict() == Verdict::Later, "{error}");
    assert_goes_on(&scene);
}

#[test]
fn a_run_does_not_outlive_its_token_and_the_next_goes_on() {
    let scene = Scene::new(Company::sized(3, 1_100, 40), PASSWORD);
    let clock = &scene.vault.clock;
    clock.advance(Duration::from_millis(700));
    let ended = scene.run_here(clock, &mut |_, records| {
        if records == 1_000 {
            clock.advance(Duration::from_millis(884_300));
        }
    });
    let error = ended.err().unwrap();
    assert!(matches!(error, SyncError::TokenOver) && error.verdict() == Verdict::Later, "{error}");
    assert_goes_on(&scene);
}

/// The lease is back, a page is kept, and a run that follows begins after it.
fn assert_goes_on(scene: &Scene) {
    assert_eq!(scene.open_leases(), 0);
    assert_eq!(scene.trail("lease.return", "status_detail"), ["failed"]);
    let mut first = None;
    let summary = scene.run_here(&scene.vault.clock, &mut |_, records| first = first.or(Some(records)));
    assert_eq!(first, Some(1_000), "it goes on where the first came to");
    assert_eq!(summary.unwrap().models[0].1.records, 1_100);
    scene.assert_same("books.db");
}

#[test]
fn what_passes_by_itself_is_tried_again_three_times_at_most() {
    let scene = Scene::new(Company::small(2), PASSWORD);
    scene.odoo.answer_raw(2, "");
    let output = scene.run("books.db");
    assert_eq!(code(&output), 0, "{}", errors(&output));
    assert!(errors(&output).contains("trying again"), "{}", errors(&output));
    scene.assert_same("books.db");

    let before = scene.odoo.seen().len();
    for n in 2..=9 {
        scene.odoo.answer_raw(n, "HTTP/1.0 502 BAD GATEWAY\r\nConnection: close\r\n\r\n");
    }
    let output = scene.run("books.db");
    // A gateway's 502 passes, if later: nobody has to look.
    assert_eq!(code(&output), 75, "{}", errors(&output));
    assert_eq!(scene.odoo.seen().len() - before, 1 + 3);
    assert_eq!(scene.trail("lease.return", "status_detail"), ["failed"]);
    scene.assert_same("books.db");
}

#[test]
fn an_odoo_that_is_not_reached_is_tried_again_before_the_login_is_sent() {
    let mut scene = Scene::new(Company::small(2), PASSWORD);
    let mut body = deposit(&scene.odoo, PASSWORD);
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    body["url"] = format!("http://{closed}").into();
    scene.connection = scene.vault.deposit_as("acme", "ada", &body);
    let output = scene.run("books.db");
    assert_eq!(code(&output), 75, "{}", errors(&output));
    assert_eq!(errors(&output).matches("login: connect; trying again").count(), 2, "{}", errors(&output));
    assert_eq!(scene.open_leases(), 0);
}

/// Attack on P6 and P10.
#[test]
fn a_page_that_is_not_what_was_asked_for_changes_nothing() {
    let scene = Scene::new(Company::small(2), PASSWORD);
    assert_eq!(code(&scene.run("books.db")), 0);
    // The login's answer to a page; a page that says the same record twice.
    let fields: String = columns("account.move")
        .iter()
        .map(|(name, kind)| {
            let value = match kind {
                Kind::Monetary => "<double>1.0</double>",
                Kind::X2many => "<array><data>\n</data></array>",
                _ => "<boolean>0</boolean>",
            };
            format!("<member>\n<name>{name}</name>\n<value>{value}</value>\n</member>\n")
        })
        .collect();
    let record = format!(
        "<value><struct>\n<member>\n<name>id</name>\n<value><int>5</int></value>\n</member>\n{fields}</struct></value>\n"
    );
    for body in ["<int>7</int>".to_owned(), format!("<array><data>\n{record}{record}</data></array>")] {
        scene.odoo.answer_raw(
            2,
            format!(
                "HTTP/1.0 200 OK\r\nContent-Type: text/xml; charset=utf-8\r\nConnection: close\r\n\r\n\
                 <?xml version=\"1.0\"?>\n<methodResponse>\n<params>\n<param>\n<value>{body}</value>\n</param>\n\
                 </params>\n\n</methodResponse>\n"
            ),
        );
        let output = scene.run("books.db");
        assert_eq!(code(&output), 1, "{}", errors(&output));
        scene.assert_same("books.db");
    }
    assert_eq!(scene.trail("lease.return", "status_detail"), ["failed", "failed"]);
}

/// Attack on P1, P4, P5, P6 and P8.
#[test]
fn no_secret_is_in_what_it_says_or_keeps() {
    for secret in [PASSWORD, API_KEY, "wrong-password-4711"] {
        let scene = Scene::new(Company::small(4), secret);
        let token = scene.vault.token("acme", "ada", "worker");
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), format!("{token}\n")).unwrap();
        let mut command = scene.command("books.db", &[]);
        command.env_remove("PAWL_TOKEN").env("PAWL_TOKEN_FILE", file.path()).env("PAWL_LOG", "trace");
        let output = command.output().unwrap();
        let ended = if secret.starts_with("wrong") { 77 } else { 0 };
        assert_eq!(code(&output), ended, "{}", errors(&output));
        assert!(
            errors(&output).contains("DEBUG") || ended == 77,
            "the log is on: {secret}: {}",
            errors(&output)
        );
        let mut kept = everything_under(scene.dir.path());
        assert!(kept.len() >= 2, "{kept:?}");
        kept.push(("stdout".into(), output.stdout.clone()));
        kept.push(("stderr".into(), output.stderr.clone()));
        let escaped = secret.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
        for needle in [secret, escaped.as_str(), token.as_str()] {
            for (path, bytes) in &kept {
                assert!(!holds(bytes, needle), "{needle} in {}", path.display());
            }
        }
    }
}

/// Attack on P1 and P10.
#[test]
fn a_sink_belongs_to_one_connection() {
    let scene = Scene::new(Company::small(2), PASSWORD);
    assert_eq!(code(&scene.run("books.db")), 0);
    let other = StandIn::start(Company::small(9)).unwrap();
    let connection = scene.vault.deposit_as("acme", "ada", &deposit(&other, PASSWORD));
    let (asked, first) = (scene.odoo.seen().len(), scene.connection.clone());
    let scene = Scene { connection, ..scene };
    let output = scene.run("books.db");
    assert_eq!(code(&output), 2, "{}", errors(&output));
    assert!(errors(&output).contains(&first), "{}", errors(&output));
    assert_eq!((other.seen().len(), scene.odoo.seen().len()), (0, asked));
    assert_eq!(scene.trail("lease.lend", "lease.uid").len(), 1);
}

#[test]
fn wrong_usage_ends_with_2_and_says_what() {
    let dir = tempfile::tempdir().unwrap();
    let id = "conn_01ARZ3NDEKTSV4RRFFQ69G5FAV";
    let token = ("PAWL_TOKEN", "abc");
    // settings, connection, sink, what it says
    for (settings, connection, to, said) in [
        (vec![token], id, "invoices.db", "sqlite:PATH"),
        (vec![token], id, "sqlite:", "sqlite:PATH"),
        (vec![token], id, "postgres://x", "sqlite:PATH"),
        (vec![token], "conn_x", "sqlite:x.db", "--connection"),
        (vec![], id, "sqlite:x.db", "PAWL_TOKEN"),
        (vec![token, ("PAWL_TOKEN_FILE", "/nowhere")], id, "sqlite:x.db", "both"),
        (vec![("PAWL_TOKEN_FILE", "/nowhere")], id, "sqlite:x.db", "PAWL_TOKEN_FILE"),
        (vec![token, ("PAWL_TOKNE", "typo")], id, "sqlite:x.db", "PAWL_TOKNE"),
        (vec![token, ("PAWL_URL", "http://vault.example:7295")], id, "sqlite:x.db", "loopback"),
        (vec![token, ("PAWL_URL", "http://10.0.0.1")], id, "sqlite:x.db", "loopback"),
        (vec![token, ("PAWL_EGRESS_ALLOW", "not a host")], id, "sqlite:x.db", "PAWL_EGRESS_ALLOW"),
        (vec![token, ("PAWL_LOG", "=loud=")], id, "sqlite:x.db", "PAWL_LOG"),
    ] {
        let mut command = program(env!("CARGO_BIN_EXE_pawl-sync"), dir.path(), &settings);
        let output = command.args(["run", "--connection", connection, "--to", to]).output().unwrap();
        assert_eq!(code(&output), 2, "{settings:?} {to} {}", errors(&output));
        assert!(errors(&output).contains(said), "{said}: {}", errors(&output));
    }
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "nothing was made");
}

#[test]
fn a_vault_that_does_not_answer_or_refuses_is_told_apart() {
    let scene = Scene::new(Company::small(2), PASSWORD);
    let closed = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        format!("http://{}", listener.local_addr().unwrap())
    };
    let output = scene.command("books.db", &[]).env("PAWL_URL", &closed).output().unwrap();
    assert_eq!(code(&output), 75, "{}", errors(&output));
    assert!(errors(&output).contains("does not answer"), "{}", errors(&output));

    let stranger = scene.vault.token("acme", "eve", "worker");
    let output = scene.command("books.db", &[]).env("PAWL_TOKEN", &stranger).output().unwrap();
    assert_eq!(code(&output), 1, "{}", errors(&output));
    assert!(errors(&output).contains("no such connection"), "{}", errors(&output));
    assert!(errors(&output).contains("(request req_"), "{}", errors(&output));

    let output = scene.command("books.db", &[]).env("PAWL_TOKEN", "not.a.token").output().unwrap();
    assert_eq!(code(&output), 1, "{}", errors(&output));
    assert!(errors(&output).contains("does not take this token"), "{}", errors(&output));

    // Without the operator's word it does not call a private host, whatever the vault lends.
    let output = scene.command("books.db", &[]).env_remove("PAWL_EGRESS_ALLOW").output().unwrap();
    assert_eq!(code(&output), 1, "{}", errors(&output));
    assert_eq!(scene.odoo.seen().len(), 0);
    assert_eq!(scene.open_leases(), 0);

    assert_eq!(code(&scene.run("books.db")), 0);
    scene.assert_same("books.db");
}

/// Byte for byte as a real Odoo 19 answered (its `Date` apart, which a stand-in tells only if it is told to).
#[test]
fn the_stand_in_answers_as_the_real_one_did() {
    use std::io::Write;
    let odoo = StandIn::start(Company::small(1)).unwrap();
    let ask = |path: &str, body: &str| {
        let mut stream = std::net::TcpStream::connect(odoo.url().strip_prefix("http://").unwrap()).unwrap();
        let head =
            format!("POST {path} HTTP/1.1\r\nHost: localhost\r\ncontent-length: {}\r\n\r\n", body.len());
        stream.write_all(head.as_bytes()).unwrap();
        stream.write_all(body.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    };
    let head = "HTTP/1.0 200 OK\r\nServer: Werkzeug/2.2.2 Python/3.11.2\r\n\
                Content-Type: text/xml; charset=utf-8\r\nContent-Length: ";
    let login = |password: &str| {
        format!(
            "<?xml version='1.0'?>\n<methodCall>\n<methodName>authenticate</methodName>\n<params>\n<param>\n\
             <value><string>{DATABASE}</string></value>\n</param>\n<param>\n<value><string>{LOGIN}</string></value>\n\
             </param>\n<param>\n<value><string>{password}</string></value>\n</param>\n<param>\n<value><struct>\n\
             </struct></value>\n</param>\n</params>\n</methodCall>\n"
        )
    };
    let answer = |value: &str| {
        let body = format!(
            "<?xml version=\"1.0\"?>\n<methodResponse>\n<params>\n<param>\n<value>{value}</value>\n</param>\n\
             </params>\n\n</methodResponse>\n"
        );
        let length = body.len();
        format!("{head}{length}\r\nX-Content-Type-Options: nosniff\r\nConnection: close\r\n\r\n{body}")
    };
    assert_eq!(ask("/xmlrpc/2/common", &login(API_KEY)), answer("<int>10</int>"));
    assert_eq!(ask("/xmlrpc/2/common", &login("wrong")), answer("<boolean>0</boolean>"));
    let call = |password: &str, method: &str| {
        format!(
            "<?xml version='1.0'?>\n<methodCall>\n<methodName>execute_kw</methodName>\n<params>\n<param>\n\
             <value><string>{DATABASE}</string></value>\n</param>\n<param>\n<value><int>10</int></value>\n</param>\n\
             <param>\n<value><string>{password}</string></value>\n</param>\n<param>\n\
             <value><string>account.move</string></value>\n</param>\n<param>\n\
             <value><string>{method}</string></value>\n</param>\n<param>\n<value><array><data>\n\
             <value><array><data>\n<value><int>1</int></value>\n</data></array></value>\n</data></array></value>\n\
             </param>\n</params>\n</methodCall>\n"
        )
    };
    let denied = "<?xml version=\"1.0\"?>\n<methodResponse>\n<fault>\n<value><struct>\n<member>\n\
                  <name>faultCode</name>\n<value><int>3</int></value>\n</member>\n<member>\n<name>faultString</name>\n\
                  <value><string>Access Denied</string></value>\n</member>\n</struct></value>\n</fault>\n\n\
                  </methodResponse>\n";
    assert_eq!(
        ask("/xmlrpc/2/object", &call("wrong", "read")),
        format!("{head}269\r\nConnection: close\r\n\r\n{denied}")
    );
    let forbidden = ask("/xmlrpc/2/object", &call(API_KEY, "write"));
    assert!(forbidden.contains("Content-Length: 462\r\nConnection: close"), "{forbidden}");
    assert!(forbidden.contains("<value><int>4</int></value>"), "{forbidden}");
}
