//! Master keys in AWS Secrets Manager: against moto, a whole one on loopback, and against one that is
//! told how to fail. No fault of the store gives a wrong key, hides a good one or waits without end.

mod moto;
mod scripted;
mod served;

use std::collections::BTreeSet;
use std::net::TcpListener;
use std::time::{Duration, Instant};

use aws_config::SdkConfig;
use aws_sdk_secretsmanager::config::{BehaviorVersion, Credentials, Region, SharedCredentialsProvider};
use pawl::ids::KeyId;
use pawl::seal::{AwsSource, Found, KeySource, MasterKey, Patience, SourceRefused};
use serde_json::{Value, json};

use moto::Moto;
use scripted::{Scripted, error, missing};

const REGION: &str = "eu-central-1";

/// For stores that answer, and will not answer better.
const HASTE: Patience = Patience {
    connect: Duration::from_secs(10),
    attempt: Duration::from_secs(10),
    attempts: 2,
    settle: Duration::from_millis(300),
};
/// For stores that do not answer.
const SHORT: Patience =
    Patience { connect: Duration::from_millis(500), attempt: Duration::from_millis(500), ..HASTE };

fn source_at(url: &str, name: &str, patience: Patience) -> AwsSource {
    let credentials = Credentials::new("AKIDEXAMPLE", "secret", Some("session".into()), None, "tests");
    let config = SdkConfig::builder()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .region(Region::new(REGION))
        .endpoint_url(url)
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .build();
    AwsSource::open_at(name, Some(config), patience).unwrap_or_else(|e| panic!("{e}"))
}

fn on_moto(name: &str) -> AwsSource {
    source_at(&Moto::shared().url, name, Patience::default())
}

fn id(text: &str) -> KeyId {
    KeyId::parse(text).unwrap()
}

fn ids(found: &Found) -> Vec<&str> {
    found.keys.keys().map(String::as_str).collect()
}

fn refusal<T>(result: Result<T, SourceRefused>) -> SourceRefused {
    result.err().expect("the store refuses")
}

fn fernet_key() -> String {
    MasterKey::generate().unwrap().to_text().expose().to_owned()
}

#[test]
fn a_key_is_made_read_and_destroyed_as_a_secret_of_its_own() {
    let moto = Moto::shared();
    let source = on_moto("life/pawl");
    assert_eq!(source.name(), "aws-secretsmanager:life/pawl");
    let found = source.read(&[]).unwrap();
    assert!(found.keys.is_empty() && found.unusable.is_empty() && found.first.is_none());

    let (first, second) = (source.make(&id("k1")).unwrap(), source.make(&id("k2")).unwrap());
    assert_eq!(moto.value("life/pawl").unwrap(), first.to_text().expose());
    assert_eq!(moto.value("life/pawl/k2").unwrap(), second.to_text().expose());
    // Known is what is looked for, beside the first.
    assert_eq!(ids(&source.read(&[]).unwrap()), ["k1"]);
    let found = source.read(&[id("k2"), id("k1"), id("k3"), id("somebody's")]).unwrap();
    assert_eq!(ids(&found), ["k1", "k2"]);
    assert_eq!(found.first, Some(id("k1")));
    assert_eq!(found.keys["k2"].fingerprint(), second.fingerprint());
    assert!(found.unusable.is_empty());

    for _ in 0..2 {
        source.destroy(&id("k1")).unwrap();
        assert_eq!(moto.value("life/pawl"), None);
    }
    let found = source.read(&[id("k1"), id("k2")]).unwrap();
    assert_eq!((ids(&found), &found.first), (vec!["k2"], &None));
    assert!(moto.lacks(REGION, "life/pawl"), "no days in which it could be restored");
}

#[test]
fn a_key_is_never_made_over_another() {
    let moto = Moto::shared();
    let source = on_moto("taken");
    for name in ["taken", "taken/k2"] {
        let value = fernet_key();
        moto.put(name, &value);
        let wanted = if name == "taken" { "k1" } else { "k2" };
        let refused = refusal(source.make(&id(wanted)));
        assert!(matches!(&refused, SourceRefused::Taken { .. }), "{refused}");
        assert_eq!(
            refused.to_string(),
            format!("there is a key {wanted} at aws-secretsmanager:{name} already")
        );
        assert_eq!(moto.value(name), Some(value));
    }
    for other in ["k0", "2026", "k2/x"] {
        assert!(matches!(refusal(source.make(&id(other))), SourceRefused::Form { .. }));
        assert!(matches!(refusal(source.destroy(&id(other))), SourceRefused::Form { .. }));
    }
}

#[test]
fn a_value_may_be_a_pair_and_garbage_is_its_own_trouble() {
    let moto = Moto::shared();
    let (first, third) = (fernet_key(), fernet_key());
    moto.put("values", &format!(" {{\"fernet_key\": \"{first}\"}}\n"));
    moto.put("values/k2", "hunter2-not-a-key");
    moto.put("values/k3", &format!("{third}\n"));
    let binary = json!({"Name": "values/k4", "SecretBinary": "aHVudGVyMg=="});
    assert_eq!(moto.say("CreateSecret", &binary).status, 200);
    assert_eq!(moto.say("CreateSecret", &json!({"Name": "values/k5"})).status, 200);
    let known = ["k1", "k2", "k3", "k4", "k5"].map(id);
    let found = on_moto("values").read(&known).unwrap();
    assert_eq!(ids(&found), ["k1", "k3"]);
    assert_eq!(found.keys["k1"].to_text().expose(), first);
    assert_eq!(found.keys["k3"].to_text().expose(), third);
    let unusable: Vec<String> = found.unusable.iter().map(|(id, why)| format!("{id} {why}")).collect();
    assert_eq!(unusable.len(), 3, "{unusable:?}");
    assert!(unusable[0].starts_with("k2 aws-secretsmanager:values/k2: the value is neither"), "{unusable:?}");
    assert!(unusable[1].contains("the value is no text"), "{unusable:?}");
    assert!(unusable[2].contains("staging label"), "a secret without a value: {unusable:?}");
    assert!(!unusable.concat().contains("hunter2"), "{unusable:?}");
    // The first is there, whatever it holds: none is made beside it.
    moto.put("garbage", "{}");
    let found = on_moto("garbage").read(&[]).unwrap();
    assert_eq!((ids(&found).len(), found.unusable.len(), &found.first), (0, 1, &Some(id("k1"))));
}

/// A secret that somebody marked for deletion can be restored for days: for us it is gone, and destroyed
/// it is gone for good.
#[test]
fn what_is_marked_for_deletion_is_not_there_and_is_destroyed_for_good() {
    let moto = Moto::shared();
    moto.put("marked", &fernet_key());
    moto.put("marked/k2", &fernet_key());
    let marked = moto.say("DeleteSecret", &json!({"SecretId": "marked/k2", "RecoveryWindowInDays": 7}));
    assert_eq!(marked.status, 200, "{}", marked.body);
    let source = on_moto("marked");
    let found = source.read(&[id("k1"), id("k2")]).unwrap();
    assert_eq!((ids(&found), found.unusable.len()), (vec!["k1"], 0));
    assert!(!moto.lacks(REGION, "marked/k2"));
    source.destroy(&id("k2")).unwrap();
    assert!(moto.lacks(REGION, "marked/k2"));

    // What AWS says of such a name, and moto does not.
    let said =
        "You can't create this secret because a secret with this name is already scheduled for deletion.";
    let store = Scripted::start(move |action, _| match action {
        "CreateSecret" => error("InvalidRequestException", said),
        _ => missing(),
    });
    let refused = refusal(source_at(&store.url, "marked", HASTE).make(&id("k2"))).to_string();
    assert!(refused.contains("is scheduled for deletion: restore it, or delete it for good"), "{refused}");
}

/// Attack on P9: copies in other regions outlive a key that is said to be destroyed.
#[test]
fn copies_in_other_regions_go_first() {
    let moto = Moto::shared();
    let others = ["us-east-1", "ap-south-1"];
    let regions: Vec<Value> = others.iter().map(|region| json!({"Region": region})).collect();
    let made = json!({"Name": "copied", "SecretString": fernet_key(), "AddReplicaRegions": regions});
    assert_eq!(moto.say("CreateSecret", &made).status, 200);
    assert!(others.into_iter().all(|region| !moto.lacks(region, "copied")));
    on_moto("copied").destroy(&id("k1")).unwrap();
    assert!(others.into_iter().chain([REGION]).all(|region| moto.lacks(region, "copied")));
}

/// Else a rotation would quietly move the keys from the operator's own KMS key to AWS's.
#[test]
fn the_next_key_lies_under_the_kms_key_of_the_one_before() {
    let moto = Moto::shared();
    let ours = "arn:aws:kms:eu-central-1:123456789012:key/ours";
    let made = json!({"Name": "kms", "SecretString": fernet_key(), "KmsKeyId": ours});
    assert_eq!(moto.say("CreateSecret", &made).status, 200);
    let source = on_moto("kms");
    source.make(&id("k2")).unwrap();
    source.destroy(&id("k2")).unwrap();
    source.make(&id("k3")).unwrap();
    let described = moto.say("DescribeSecret", &json!({"SecretId": "kms/k3"}));
    assert_eq!(described.text("KmsKeyId"), ours);
}

/// Attack on P3.
#[test]
fn a_store_that_is_down_or_silent_is_an_error_within_its_time() {
    let closed = TcpListener::bind("127.0.0.1:0").unwrap();
    let down = format!("http://{}", closed.local_addr().unwrap());
    drop(closed);
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let silent = (format!("http://{}", silent.local_addr().unwrap()), silent);
    for (url, cause) in [(&down, "onnect"), (&silent.0, "no answer in time")] {
        let source = source_at(url, "away", SHORT);
        let begun = Instant::now();
        for refused in [
            refusal(source.read(&[id("k2")])),
            refusal(source.make(&id("k1"))),
            refusal(source.make(&id("k2"))),
            refusal(source.destroy(&id("k2"))),
        ] {
            assert!(matches!(&refused, SourceRefused::Unreachable { .. }), "{refused}");
            let said = refused.to_string();
            assert!(said.starts_with("aws-secretsmanager:away") && said.contains(cause), "{said}");
        }
        // Two attempts of half a second each and a pause of at most one, four times over.
        assert!(begun.elapsed() < Duration::from_secs(12), "{:?}", begun.elapsed());
    }
}

/// Attack on P1: who sits between, where the address was mistyped. Nothing is connected to.
#[test]
fn no_key_goes_over_a_network_in_the_clear() {
    let source = source_at("http://192.0.2.1:80", "clear", HASTE);
    for refused in [refusal(source.read(&[])), refusal(source.make(&id("k1")))] {
        assert!(refused.to_string().contains("plain http over a network"), "{refused}");
    }
}

#[test]
fn a_key_that_is_denied_is_its_own_trouble() {
    let key = fernet_key();
    let store = Scripted::start(move |_, body| match body["SecretId"].as_str() {
        Some("deny") => (200, json!({"Name": "deny", "SecretString": key})),
        Some("deny/k2") => error("AccessDeniedException", "User: arn:x is not authorized\nFORGED LINE"),
        Some("deny/k3") => error("DecryptionFailure", "the KMS key is disabled"),
        _ => missing(),
    });
    let found = source_at(&store.url, "deny", HASTE).read(&["k1", "k2", "k3", "k4"].map(id)).unwrap();
    assert_eq!(ids(&found), ["k1"]);
    let unusable: Vec<String> = found.unusable.iter().map(|(_, why)| why.to_string()).collect();
    assert_eq!(
        unusable,
        [
            "aws-secretsmanager:deny/k2 can't be reached: GetSecretValue: AccessDeniedException: \
             User: arn:x is not authorizedFORGED LINE",
            "aws-secretsmanager:deny/k3 can't be reached: GetSecretValue: DecryptionFailure: \
             the KMS key is disabled",
        ]
    );
}

#[test]
fn what_ails_the_whole_store_is_an_error_of_the_whole() {
    for (status, code, tries) in [
        (400, "ThrottlingException", 2),
        (500, "InternalServiceError", 2),
        (503, "ServiceUnavailable", 2),
        (400, "UnrecognizedClientException", 1),
        (400, "ExpiredTokenException", 1),
        (400, "InvalidSignatureException", 1),
    ] {
        let store =
            Scripted::start(move |_, _| (status, json!({"__type": code, "message": "Signature expired"})));
        let refused = refusal(source_at(&store.url, "ails", HASTE).read(&[id("k2"), id("k3")])).to_string();
        assert!(
            refused.starts_with("aws-secretsmanager:ails can't be reached: GetSecretValue: "),
            "{refused}"
        );
        assert!(refused.contains(code), "{refused}");
        assert_eq!(refused.contains("clock"), code == "InvalidSignatureException", "{refused}");
        assert!(store.calls().len() >= tries && store.calls().len() <= 2, "{code}: {:?}", store.calls());
    }
    // No answer of Secrets Manager's at all.
    for (status, body) in [(200, json!("<html>")), (200, json!({})), (404, json!([])), (302, json!({}))] {
        let store = Scripted::start(move |_, _| (status, body.clone()));
        let answered = source_at(&store.url, "ails", HASTE).read(&[]);
        assert!(answered.is_err() || answered.is_ok_and(|found| found.keys.is_empty()), "{status}");
    }
}

/// Attack on P9: a store that says deleted, and goes on answering.
#[test]
fn destroyed_is_said_only_of_what_can_no_longer_be_read() {
    let key = fernet_key();
    let value = json!({"Name": "stays", "SecretString": key});
    let stays = Scripted::start({
        let value = value.clone();
        move |action, _| if action == "GetSecretValue" { (200, value.clone()) } else { (200, json!({})) }
    });
    let refused = refusal(source_at(&stays.url, "stays", HASTE).destroy(&id("k1"))).to_string();
    assert!(refused.contains("can still be read") && !refused.contains(&key), "{refused}");

    // Denied is not gone.
    let denied = Scripted::start(|action, _| match action {
        "GetSecretValue" => error("AccessDeniedException", "no"),
        _ => (200, json!({})),
    });
    let refused = refusal(source_at(&denied.url, "stays", HASTE).destroy(&id("k1"))).to_string();
    assert!(refused.contains("can still be read"), "{refused}");

    // Copies that do not go: nothing is deleted.
    let copied = Scripted::start(move |action, _| match action {
        "GetSecretValue" => (200, value.clone()),
        _ => (200, json!({"ReplicationStatus": [{"Region": "us-east-1", "Status": "InSync"}]})),
    });
    let refused = refusal(source_at(&copied.url, "stays", HASTE).destroy(&id("k1"))).to_string();
    assert!(refused.contains("other regions"), "{refused}");
    assert!(!copied.actions().contains(&"DeleteSecret".to_owned()), "{:?}", copied.actions());
}

/// Attack on P1: an error that quotes what was sent.
#[test]
fn a_refusal_never_quotes_the_key_that_was_sent() {
    for code in ["InvalidParameterException", "AccessDeniedException", "LimitExceededException", "Odd"] {
        let store = Scripted::start(move |action, body| match action {
            "CreateSecret" => error(code, &format!("bad value {}", body["SecretString"])),
            _ => missing(),
        });
        let refused = refusal(source_at(&store.url, "quotes", HASTE).make(&id("k2"))).to_string();
        let sent = store.calls().last().unwrap().1["SecretString"].as_str().unwrap().to_owned();
        assert!(refused.ends_with(&format!("CreateSecret: {code}")) && !refused.contains(&sent), "{refused}");
    }
}

/// Seen late is seen; made is said only of what can be read.
#[test]
fn a_key_is_made_once_it_is_seen() {
    let seen = std::sync::Mutex::new((String::new(), 0));
    let store = Scripted::start(move |action, body| {
        let (value, asked) = &mut *seen.lock().unwrap();
        match action {
            "CreateSecret" => *value = body["SecretString"].as_str().unwrap().to_owned(),
            "GetSecretValue" if *asked < 2 => {
                *asked += 1;
                return missing();
            }
            _ => {}
        }
        (200, json!({"Name": "late", "SecretString": *value}))
    });
    let made = source_at(&store.url, "late", Patience::default()).make(&id("k1")).unwrap();
    assert_eq!(store.calls()[0].1["SecretString"], made.to_text().expose());
    assert_eq!(store.calls()[0].1["ClientRequestToken"].as_str().map(str::len), Some(32));

    let never =
        Scripted::start(|action, _| if action == "CreateSecret" { (200, json!({})) } else { missing() });
    let refused = refusal(source_at(&never.url, "late", HASTE).make(&id("k1"))).to_string();
    assert!(refused.contains("can't be read yet"), "{refused}");

    let other = fernet_key();
    let other = Scripted::start(move |_, _| (200, json!({"SecretString": other})));
    let refused = refusal(source_at(&other.url, "late", HASTE).make(&id("k1"))).to_string();
    assert!(refused.contains("another key"), "{refused}");
}

/// The vault ends on an async thread, and its key source with it.
#[test]
fn a_source_may_be_dropped_on_an_async_thread() {
    let source = on_moto("dropped");
    source.read(&[]).unwrap();
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async { drop(source) });
}

/// Every action that is called is allowed, and no other.
#[test]
fn the_policies_allow_what_is_called_and_nothing_else() {
    let key = fernet_key();
    let copies = std::sync::atomic::AtomicBool::new(true);
    let store = Scripted::start(move |action, _| {
        let there = copies.load(std::sync::atomic::Ordering::SeqCst);
        match action {
            "RemoveRegionsFromReplication" => copies.store(false, std::sync::atomic::Ordering::SeqCst),
            "DescribeSecret" if there => {
                return (200, json!({"ReplicationStatus": [{"Region": "us-east-1"}]}));
            }
            "GetSecretValue" if there => return (200, json!({"SecretString": key})),
            "GetSecretValue" => return missing(),
            _ => {}
        }
        (200, json!({}))
    });
    let source = source_at(&store.url, "pawl", Patience::default());
    source.read(&[id("k2")]).unwrap();
    assert_eq!(allowed("vault"), store.actions().into_iter().collect());
    // The store keeps another key than this one.
    assert!(source.make(&id("k2")).is_err());
    source.destroy(&id("k2")).unwrap();
    assert_eq!(allowed("operator"), store.actions().into_iter().collect());
}

/// The actions of a policy; each statement allows, and names the secrets that it allows them on.
fn allowed(file: &str) -> BTreeSet<String> {
    let path = format!("{}/policies/aws/{file}.json", env!("CARGO_MANIFEST_DIR"));
    let policy: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    assert_eq!(policy["Version"], "2012-10-17");
    let mut actions = BTreeSet::new();
    for statement in policy["Statement"].as_array().unwrap() {
        assert_eq!(statement["Effect"], "Allow");
        let secret = "arn:aws:secretsmanager:REGION:ACCOUNT:secret:NAME";
        if statement["Action"] == json!(["secretsmanager:CreateSecret"]) {
            // There is no ARN yet to allow it on.
            let named = json!({"StringLike": {"secretsmanager:Name": ["NAME", "NAME/k*"]}});
            assert_eq!((&statement["Resource"], &statement["Condition"]), (&json!("*"), &named));
        } else {
            // the bare name too: so a secret that is gone is told from one that is not allowed
            let secrets = json!([secret, format!("{secret}-??????"), format!("{secret}/k*")]);
            assert_eq!(statement["Resource"], secrets);
        }
        for action in statement["Action"].as_array().unwrap() {
            let name = action.as_str().unwrap().strip_prefix("secretsmanager:").unwrap();
            assert!(!name.contains('*') && actions.insert(name.to_owned()), "{name}");
        }
    }
    actions
}
