//! The vault and its commands on keys in Secrets Manager, as processes that read AWS's own settings.

use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::moto::Moto;
use super::scripted::{Scripted, error};
use super::{REGION, fernet_key};
use crate::harness::{Home, Process, holds};
use crate::served::Served;
use crate::tls::{Authority, GOOD, lay};

const SECRET: &str = "planted-SECRET-ACCESS-KEY-7yR4";
const SESSION: &str = "planted-SESSION-TOKEN-2kL9";

/// A folder, a database, and keys under a name of their own.
struct Aws {
    home: Home,
    settings: Vec<(String, String)>,
}

impl Aws {
    fn at(url: &str, name: &str) -> Self {
        let home = Home::new();
        let nowhere = home.path().join("no-such-file").display().to_string();
        let source = format!("aws-secretsmanager:{name}");
        let settings = [
            ("PAWL_KEY_SOURCE", source.as_str()),
            ("AWS_ENDPOINT_URL_SECRETS_MANAGER", url),
            ("AWS_REGION", REGION),
            ("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE"),
            ("AWS_SECRET_ACCESS_KEY", SECRET),
            ("AWS_SESSION_TOKEN", SESSION),
            // Nothing of the tester's own.
            ("AWS_PROFILE", "default"),
            ("AWS_CONFIG_FILE", &nowhere),
            ("AWS_SHARED_CREDENTIALS_FILE", &nowhere),
            ("AWS_EC2_METADATA_DISABLED", "true"),
        ];
        let settings = settings.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
        Self { home, settings }
    }

    fn without(mut self, names: &[&str]) -> Self {
        self.settings.retain(|(name, _)| !names.contains(&name.as_str()));
        self
    }

    fn with(mut self, name: &str, value: &str) -> Self {
        self.settings.push((name.into(), value.into()));
        self
    }

    fn all(&self) -> Vec<(&str, &str)> {
        self.settings.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
    }

    fn pawl(&self, args: &[&str]) -> Command {
        let mut command = self.home.pawl(&self.all());
        for (name, _) in std::env::vars_os() {
            let is_ours = self.settings.iter().any(|(own, _)| *own == name.to_string_lossy());
            if name.to_string_lossy().starts_with("AWS_") && !is_ours {
                command.env_remove(name);
            }
        }
        command.args(args);
        command
    }

    /// Its exit code and all that it said.
    fn run(&self, args: &[&str]) -> (i32, String) {
        let output = self.pawl(args).output().unwrap();
        let said = [output.stdout, output.stderr].concat();
        (output.status.code().unwrap(), String::from_utf8(said).unwrap())
    }

    fn done(&self, args: &[&str]) -> String {
        let (code, said) = self.run(args);
        assert_eq!(code, 0, "{args:?}: {said}");
        said
    }

    fn refused(&self, args: &[&str], cause: &str) {
        let begun = Instant::now();
        let (code, said) = self.run(args);
        assert!(code != 0 && said.contains(cause), "{args:?}: {cause}: {said}");
        assert!(!said.contains(SECRET) && !said.contains(SESSION), "{said}");
        assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());
    }

    fn serve(&self, more: &[(&str, &str)]) -> Served {
        let own = self.home.settings();
        let own = own.iter().map(|(name, value)| (*name, value.as_str()));
        let all: Vec<(&str, &str)> = own.chain(self.all()).chain(more.iter().copied()).collect();
        let process = Process::serve(self.home.path(), &all);
        Served::of(process, self.home.path().into(), || self.pawl(&[]))
    }
}

const RETIRE: [&str; 5] = ["keys", "retire", "k1", "--backups-older-than-may-die", "2099-01-01"];

/// A key's whole life, and everything that was said meanwhile at TRACE.
/// Attack on P1 and P9.
#[test]
fn a_key_is_made_left_and_destroyed_beside_a_vault_and_nothing_secret_is_said() {
    let moto = Moto::shared();
    for format in ["text", "json"] {
        let name = format!("served/{format}");
        let aws = Aws::at(&moto.url, &name).with("PAWL_LOG", "trace").with("PAWL_LOG_FORMAT", format);
        let mut said = aws.done(&["init"]);
        assert!(said.contains(&format!("keys: aws-secretsmanager:{name} (sealing with k1)")), "{said}");
        let first = moto.value(&name).unwrap();
        said += &aws.done(&["init"]);
        assert_eq!(moto.value(&name).unwrap(), first, "a second init makes nothing");

        let served = aws.serve(&[]);
        let old = served.deposit("old");
        said += &aws.done(&["keys", "rotate"]);
        let second = moto.value(&format!("{name}/k2")).unwrap();
        let new = served.deposit("new");
        said += &aws.done(&["keys", "reseal"]);
        said += &aws.done(&RETIRE);
        assert!(said.contains(&format!("k1 is destroyed in aws-secretsmanager:{name}")), "{said}");
        assert!(moto.lacks(REGION, &name));
        assert!(aws.done(&RETIRE).contains("k1 was retired before"));
        let listed = aws.done(&["keys", "list"]);
        let rows: Vec<Vec<&str>> = listed
            .lines()
            .filter(|line| line.starts_with('k'))
            .map(|line| line.split_whitespace().collect())
            .collect();
        assert_eq!(rows.iter().map(|row| row[4]).collect::<Vec<_>>(), ["no", "yes"], "{listed}");
        served.opens(&old, "old");
        served.opens(&new, "new");
        let mut log = served.log();
        drop(served);
        let again = aws.serve(&[]);
        again.opens(&old, "old");
        again.opens(&new, "new");
        log.extend(again.log());
        assert!(holds(&log, "transaction"), "the log is at TRACE");
        // Whole requests and answers, which these tell in their own words, leaving out what they know of.
        for target in ["aws_smithy_runtime::client::orchestrator", "hyper_util::client"] {
            assert!(!holds(&log, target) && !said.contains(target), "{target} in the log");
        }
        for secret in [&*first, &second, SECRET, SESSION, "AWS4-HMAC", "SecretString"] {
            assert!(!holds(&log, secret), "{secret} in the log");
            assert!(!said.contains(secret), "{secret} was said");
        }
    }
}

/// A key that the operator made, in the console's form, is the one that is taken.
#[test]
fn a_first_key_that_is_there_is_taken() {
    let (moto, key) = (Moto::shared(), fernet_key());
    moto.put("given", &json!({"fernet_key": key}).to_string());
    let aws = Aws::at(&moto.url, "given");
    aws.done(&["init"]);
    assert_eq!(moto.value("given").unwrap(), json!({"fernet_key": key}).to_string());
    let served = aws.serve(&[]);
    served.opens(&served.deposit("bot"), "bot");
    assert!(aws.done(&["doctor"]).contains("aws-secretsmanager:given"));
}

/// Attack on P3.
#[test]
fn a_start_is_refused_with_its_cause() {
    let moto = Moto::shared();
    let aws = Aws::at(&moto.url, "refused");
    aws.done(&["init"]);
    let serve = ["serve"];
    let mine = moto.value("refused").unwrap();
    let put = |value: &str| {
        let update = json!({"SecretId": "refused", "SecretString": value});
        assert_eq!(moto.say("PutSecretValue", &update).status, 200);
    };
    put(&fernet_key());
    aws.refused(&serve, "wrong key: the database was sealed under k1 with fingerprint ");
    put("garbage");
    aws.refused(&serve, "aws-secretsmanager:refused: the value is neither a Fernet key nor");
    // Nothing is made in its place.
    aws.refused(&["init"], "aws-secretsmanager:refused: the value is neither a Fernet key nor");
    assert_eq!(moto.say("DeleteSecret", &json!({"SecretId": "refused"})).status, 200);
    for args in [&["init"][..], &serve] {
        aws.refused(args, "wrong key: the database was sealed under k1 with fingerprint ");
    }
    let denied = Scripted::start(|_, _| error("AccessDeniedException", "User: arn:x is not authorized"));
    let skewed =
        Scripted::start(|_, _| error("InvalidSignatureException", "Signature expired: now is later"));
    let down = "http://127.0.0.1:1";
    for (url, cause) in [
        (denied.url.as_str(), "AccessDeniedException: User: arn:x is not authorized"),
        (&skewed.url, "clock right"),
        (down, "can't be reached"),
    ] {
        let settings = [("AWS_ENDPOINT_URL_SECRETS_MANAGER", url)];
        let mut elsewhere = aws.pawl(&serve);
        let output = elsewhere.envs(settings).output().unwrap();
        let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        assert!(!output.status.success() && said.contains(cause), "{cause}: {said}");
    }
    assert_eq!(moto.say("RestoreSecret", &json!({"SecretId": "refused"})).status, 200);
    put(&mine);
    drop(aws.serve(&[]));
    let aws = aws.without(&["AWS_REGION"]);
    aws.refused(&serve, "no region is named: set AWS_REGION");
    let aws = aws.with("AWS_REGION", REGION).without(&["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"]);
    aws.refused(&serve, "credentials");
}

/// Attack on P3 and P10.
#[test]
fn a_vault_that_runs_goes_on_without_its_key_store_and_none_starts() {
    let moto = Moto::start();
    let aws = Aws::at(&moto.url, "gone");
    aws.done(&["init"]);
    let served = aws.serve(&[("PAWL_KEY_REFRESH_SECONDS", "1")]);
    let id = served.deposit("bot");
    served.until("held");
    drop(moto);
    served.until("stale");
    served.opens(&id, "bot");
    let later = served.deposit("later");
    served.opens(&later, "later");
    aws.refused(&["serve"], "can't be reached");
}

/// Over the one TLS provider, and to a server that an authority of this machine vouches for.
/// Attack on P1.
#[test]
fn the_store_is_believed_by_its_certificate_alone() {
    let dir = tempfile::tempdir().unwrap();
    let (known, other) = (Authority::new(), Authority::new());
    lay(dir.path(), &known.vouch("localhost", GOOD));
    let moto = Moto::start_tls([&dir.path().join("cert.pem"), &dir.path().join("key.pem")]);
    for (file, authority) in [("known", &known), ("other", &other)] {
        std::fs::write(dir.path().join(file), &authority.pem).unwrap();
    }
    let authorities = |file: &str| dir.path().join(file).display().to_string();
    let aws = Aws::at(&moto.url, "tls").with("SSL_CERT_FILE", &authorities("other"));
    aws.refused(&["init"], "TLS handshake failed: invalid peer certificate");
    let aws = aws.with("SSL_CERT_FILE", &authorities("known"));
    aws.done(&["init"]);
    let served = aws.serve(&[]);
    served.opens(&served.deposit("bot"), "bot");
}

/// The standard chain: a profile, a web identity as on Kubernetes, a container's as on ECS.
#[test]
fn credentials_come_by_the_standard_chain() {
    let moto = Moto::shared();
    let own = ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"];
    let laid = |aws: &Aws, name: &str, text: &str| -> String {
        let path = aws.home.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let checked = |aws: Aws, name: &str| {
        aws.done(&["init"]);
        assert!(moto.value(name).is_some(), "{name}");
    };

    let aws = Aws::at(&moto.url, "chain/profile").without(&own).without(&["AWS_REGION"]);
    let keys = laid(&aws, "credentials", "[prod]\naws_access_key_id = A\naws_secret_access_key = B\n");
    let config = laid(&aws, "config", &format!("[profile prod]\nregion = {REGION}\n"));
    let aws = aws.with("AWS_PROFILE", "prod").with("AWS_CONFIG_FILE", &config);
    checked(aws.with("AWS_SHARED_CREDENTIALS_FILE", &keys), "chain/profile");

    let aws = Aws::at(&moto.url, "chain/web").without(&own);
    let token = laid(&aws, "token", "a.web.token");
    let aws = aws.with("AWS_WEB_IDENTITY_TOKEN_FILE", &token).with("AWS_ENDPOINT_URL_STS", &moto.url);
    checked(aws.with("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/vault"), "chain/web");

    let ecs = Scripted::start(|_, _| {
        let expires = "2099-01-01T00:00:00Z";
        (200, json!({"AccessKeyId": "A", "SecretAccessKey": "B", "Token": "C", "Expiration": expires}))
    });
    let aws = Aws::at(&moto.url, "chain/ecs").without(&own);
    checked(aws.with("AWS_CONTAINER_CREDENTIALS_FULL_URI", &ecs.url), "chain/ecs");
    assert_eq!(ecs.calls().first(), Some(&(String::new(), Value::Null)), "it was asked");
}
