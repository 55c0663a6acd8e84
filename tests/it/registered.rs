//! A worker that is a registered client: it holds no bearer secret, gets its tokens itself, renews them
//! through runs of any length, and is out as soon as the vault is told.

use std::path::PathBuf;
use std::time::Duration;

use pawl::clock::Clock;

use crate::harness::{ACCESS, Home, Vault, until};
use crate::scene::{LOOPBACK, Scene, code, errors};
use crate::standin::PASSWORD;
use crate::standin::company::Company;

/// `pawl …` on the vault's host: what it said.
fn pawl(home: &Home, args: &[&str]) -> String {
    let output = home.pawl(&[]).args(args).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{args:?}: {errors}");
    String::from_utf8(output.stdout).unwrap()
}

/// A scene whose worker is the client `books`, made as the README says, by the system's clock.
fn registered(company: Company, whom: &[&str]) -> Scene {
    let vault = Vault::start_by(Clock::system(), Home::new(), &[LOOPBACK], ACCESS);
    register(Scene::of(vault, company, PASSWORD), whom)
}

fn register(mut scene: Scene, whom: &[&str]) -> Scene {
    let (key, public) = (scene.sink("books.key"), scene.sink("books.pub"));
    let made = pawl(&scene.vault.home, &["client", "keygen", key.to_str().unwrap()]);
    std::fs::write(&public, made).unwrap();
    let add = ["client", "add", "books", "--role", "worker", "--public-key", public.to_str().unwrap()];
    pawl(&scene.vault.home, &[&add, whom].concat());
    scene.client = Some(("books", key));
    scene
}

const ADA: &[&str] = &["--org", "acme", "--user", "ada"];

/// Attack on P1 and P5.
#[test]
fn a_registered_worker_renews_its_own_token_through_a_run_of_any_length() {
    let scene = register(Scene::new(Company::sized(3, 1_100, 40), PASSWORD), ADA);
    let clock = scene.vault.clock.clone();
    scene.odoo.hold(4);
    let done = std::thread::scope(|threads| {
        let run = threads.spawn(|| scene.run_here(&clock, &mut |_, _| {}));
        assert!(scene.odoo.wait_until_held());
        // Five times as long as a token lives.
        for round in 1..=9 {
            clock.advance(Duration::from_secs(500));
            until("a renewal", || scene.trail("lease.renew", "status").len() == round);
        }
        scene.odoo.release();
        run.join().unwrap()
    });
    done.unwrap();
    scene.assert_same("books.db");
    assert_eq!(scene.open_leases(), 0);
    let exchanged = scene.trail("token.exchange", "actor.app_uid");
    assert!(exchanged.len() >= 5 && exchanged.iter().all(|client| client == "books"), "{exchanged:?}");
    assert!(scene.trail("lease.lend", "actor.app_uid").iter().all(|client| client == "books"));
}

#[test]
fn a_registered_worker_says_for_whom_where_it_may_act_for_several() {
    let scene = registered(Company::sized(3, 30, 20), &["--org", "acme", "--org", "other"]);
    let run = |more: &[(&str, &str)]| {
        let mut command = scene.command("books.db", &["--no-wait"]);
        command.envs(more.iter().copied()).output().unwrap()
    };
    for (more, exit, said) in [
        (&[][..], 1, "PAWL_ORG, PAWL_USER"),
        (&[("PAWL_ORG", "acme")], 1, "PAWL_ORG, PAWL_USER"),
        (&[("PAWL_ORG", "third"), ("PAWL_USER", "ada")], 1, "PAWL_ORG, PAWL_USER"),
        (&[("PAWL_ORG", "other"), ("PAWL_USER", "ada")], 1, "no such connection"),
        (&[("PAWL_ORG", "acme"), ("PAWL_USER", "ada")], 0, ""),
    ] {
        let output = run(more);
        assert_eq!(code(&output), exit, "{more:?}: {}", errors(&output));
        assert!(errors(&output).contains(said), "{more:?}: {}", errors(&output));
    }
    scene.assert_same("books.db");
}

/// Attack on P5.
#[test]
fn a_worker_whose_client_was_removed_or_never_was_gets_nothing() {
    let mut scene = registered(Company::sized(3, 30, 20), ADA);
    assert_eq!(code(&scene.run("books.db")), 0);
    pawl(&scene.vault.home, &["client", "remove", "books"]);
    let output = scene.run("books.db");
    let said = errors(&output);
    assert!(code(&output) == 1 && said.contains("pawl client add"), "{said}");

    let PathBufs { other, open } = keys(&scene);
    scene.client = Some(("books", other));
    assert_eq!(code(&scene.run("books.db")), 1);
    scene.client = Some(("books", open));
    let output = scene.run("books.db");
    let said = errors(&output);
    assert!(code(&output) == 2 && said.contains("PAWL_CLIENT_KEY_FILE can be read"), "{said}");
    assert_eq!(scene.trail("lease.lend", "actor.app_uid"), ["books"]);
}

struct PathBufs {
    other: PathBuf,
    open: PathBuf,
}

/// A key that nobody registered, and one that everybody can read.
fn keys(scene: &Scene) -> PathBufs {
    use std::os::unix::fs::PermissionsExt;
    let [other, open] = ["other.key", "open.key"].map(|name| scene.sink(name));
    for key in [&other, &open] {
        pawl(&scene.vault.home, &["client", "keygen", key.to_str().unwrap()]);
    }
    std::fs::set_permissions(&open, std::fs::Permissions::from_mode(0o644)).unwrap();
    PathBufs { other, open }
}
