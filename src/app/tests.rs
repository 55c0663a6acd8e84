//! What no caller can see from outside: that a change which takes a credential away is not answered
//! before a loan of it that is on its way out.

use std::sync::Arc;
use std::time::Duration;

use super::App;
use crate::audit::Actor;
use crate::clock::{Clock, Moment};
use crate::config::Config;
use crate::ids::{ClientId, ConnectionId, OrgId, RequestId, UserId};
use crate::secret::Secret;
use crate::vault::keys::Ring;
use crate::vault::{Deposit, Lend, Replace, Vault};

struct Opened {
    vault: Arc<Vault>,
    backend: Actor,
    worker: Actor,
    _dir: tempfile::TempDir,
}

fn open() -> Opened {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data").to_str().unwrap().to_owned();
    let settings = [("PAWL_DATA_DIR".to_owned(), data.into())];
    let clock = Clock::held(Moment::parse("2026-11-24T12:00:00Z").unwrap());
    let app = App::open(Config::from("", settings.into_iter()).unwrap(), clock.clone()).unwrap();
    let who = (OrgId::parse("acme").unwrap(), UserId::parse("ada").unwrap(), ClientId::parse("svc").unwrap());
    let actor = |role: &str| {
        let token = app.issue_token((&who.0, &who.1, &who.2), role, Duration::from_secs(60)).unwrap();
        let caller = app.tokens.verify(token.expose()).unwrap();
        Actor { caller, request: RequestId::new(clock.now()).unwrap() }
    };
    let (backend, worker) = (actor("backend"), actor("worker"));
    let vault = Vault::new(
        app.store,
        Ring::new(app.keys, app.keyring),
        app.config.egress_allow,
        app.models,
        app.clock,
    );
    Opened { vault: Arc::new(vault), backend, worker, _dir: dir }
}

async fn deposit(opened: &Opened) -> ConnectionId {
    let deposit = Deposit {
        url: Some("https://acme.odoo.com".into()),
        database: Some("acme".into()),
        username: Some("bot".into()),
        label: None,
        environment: None,
        kind: "password".into(),
        secret: Secret::new("first".into()),
        expires_at: None,
        check: false,
    };
    opened.vault.deposit(&opened.backend, deposit, None).await.unwrap().id
}

/// Attack on P8.
#[test]
fn a_replace_and_a_forget_are_answered_after_the_loan_on_its_way() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    for forget in [false, true] {
        let opened = open();
        tokio::task::LocalSet::new().block_on(&runtime, async {
            let id = deposit(&opened).await;
            let lend = Lend { purpose: "other".into(), ttl_seconds: None, run_id: None };
            let loan = opened.vault.lend(&opened.worker, id.clone(), lend, None).await.unwrap();

            let (vault, backend, gone) = (opened.vault.clone(), opened.backend.clone(), id.clone());
            let change = tokio::task::spawn_local(async move {
                if forget {
                    return vault.forget(&backend, gone).await;
                }
                let new = Replace { secret: Secret::new("second".into()), expires_at: None };
                vault.replace(&backend, gone, new, None).await.map(drop)
            });
            let show = || opened.vault.show(&opened.backend, id.clone());
            while show().await.is_ok_and(|stored| stored.revision.number() == 1) {}
            // It is durable, and has every chance to be answered meanwhile.
            for _ in 0..200 {
                let _ = show().await;
                tokio::task::yield_now().await;
            }
            assert!(!change.is_finished(), "forget: {forget}");
            drop(loan);
            change.await.unwrap().unwrap();
        });
    }
}
