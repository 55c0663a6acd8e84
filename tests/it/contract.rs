//! The API's description is true of the vault that runs: schemathesis calls it by every rule that stands
//! there, and against every one, as each role; clients that others' generators make of it work.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::harness::{Home, Process, Vault};

pub fn root(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// Of the modules that `./test` installs.
pub fn python() -> String {
    std::env::var("TEST_PYTHON").unwrap_or_else(|_| "python3".into())
}

pub fn succeeded(command: &mut Command) -> String {
    let Output { status, stdout, stderr } = command.output().unwrap_or_else(|e| panic!("{command:?}: {e}"));
    let (said, errors) = (String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    assert!(!errors.contains("No module named"), "run ./test, which installs what is missing: {errors}");
    assert!(status.success(), "{command:?}\n{said}\n{errors}");
    said.into_owned()
}

const ROLES: [&str; 4] = ["backend", "worker", "owner", "auditor"];

/// A vault as people run it, and a token of each role from its own command line.
struct Served {
    home: Home,
    process: Process,
    tokens: Vec<String>,
    /// The same of another org.
    elsewhere: Vec<String>,
}

impl Served {
    fn start() -> Self {
        let home = Home::new();
        let process = home.serve(&[]);
        let token = |org: &str, role: &str| {
            let asked = ["token", "issue", "--org", org, "--user", "ada", "--role", role];
            succeeded(home.pawl(&[]).args(asked)).trim().to_owned()
        };
        let of = |org: &str| ROLES.iter().map(|role| token(org, role)).collect();
        let (tokens, elsewhere) = (of("acme"), of("elsewhere"));
        Self { home, process, tokens, elsewhere }
    }

    /// Fuzzes with `more` arguments, each call with the token that `by` names for a role's name.
    fn fuzz<'a>(&'a self, by: impl Fn(&'a str) -> &'a str, more: &[&str]) {
        let mut command = Command::new(python());
        command.args(["-B", "-m", "schemathesis.cli", "--config-file"]);
        command.arg(root("tests/contract/schemathesis.toml")).arg("run");
        command.arg(format!("{}/openapi.json", self.process.url)).args(more);
        command.args(["--no-color", "--output-sanitize", "false"]);
        command.env("SCHEMATHESIS_HOOKS", root("tests/contract/checks.py")).current_dir(self.home.path());
        // Loopback alone: no proxy that the tester's machine names.
        command.env("NO_PROXY", "*");
        let place = |role: &str| ROLES.iter().position(|known| *known == role).unwrap();
        for role in ROLES {
            command.env(format!("CONTRACT_{}", role.to_uppercase()), &self.tokens[place(by(role))]);
        }
        command.env("CONTRACT_ELSEWHERE", &self.elsewhere[place(by("owner"))]);
        let said = succeeded(&mut command);
        assert!(said.contains("No issues found") && !said.contains("Errors"), "{said}");
    }
}

/// Every call by a role that may make it: what is well formed is done, what is not is refused, and
/// nothing is answered that the description does not have.
/// Attack on P5.
#[test]
fn what_the_vault_answers_is_what_is_described() {
    let vault = Served::start();
    let (seeds, examples): (&[&str], &str) = match std::env::var_os("TEST_LONG") {
        Some(_) => (&["1", "2", "3"], "100"),
        None => (&["7"], "25"),
    };
    for seed in seeds {
        vault.fuzz(|role| role, &["--seed", seed, "--max-examples", examples]);
    }
}

/// The same calls by one role alone: it is refused by the description too.
/// Attack on P5.
#[test]
fn what_a_role_may_not_do_is_refused_as_described() {
    let examples = if std::env::var_os("TEST_LONG").is_some() { "30" } else { "5" };
    for only in ROLES {
        // One address shows only so many bad tokens a minute.
        let vault = Served::start();
        let phases = ["--phases", "examples,fuzzing,stateful", "--seed", "7", "--max-examples", examples];
        vault.fuzz(|_| only, &phases);
    }
}

/// What the ten lines of `tests/clients/vault.*` print, in whichever language.
const TOLD: &str = "True urn:pawl:problem:duplicate open sesame\n204 204 tunnel nowhere\n";

#[test]
fn a_generated_python_client_does_what_the_readme_says() {
    let vault = Vault::start();
    let dir = tempfile::tempdir().unwrap();
    let mut make = Command::new(python());
    make.args(["-B", "-m", "openapi_python_client", "generate", "--meta", "none", "--fail-on-warning"]);
    make.arg("--path").arg(root("docs/openapi.json"));
    make.arg("--config").arg(root("tests/clients/openapi-python-client.yaml"));
    succeeded(make.arg("--output-path").arg(dir.path().join("vault_client")));

    let mut run = Command::new(python());
    run.arg("-B").arg(root("tests/clients/vault.py")).arg(dir.path()).arg(&vault.url);
    run.env("NO_PROXY", "*").args(["backend", "worker"].map(|role| vault.token("acme", "ada", role)));
    assert_eq!(succeeded(&mut run), TOLD);
}

#[test]
fn a_generated_typescript_client_does_what_the_readme_says() {
    let vault = Vault::start();
    let node = root("target/test-node");
    let has = node.join("installed").exists();
    assert!(has, "run ./test, which installs TypeScript into target/test-node");
    // Inside, so that its modules are found.
    let dir = tempfile::tempdir_in(&node).unwrap();
    let tool = |name: &str| {
        let mut command = Command::new("node");
        command.current_dir(dir.path()).arg(node.join("node_modules").join(name));
        command
    };
    std::fs::write(dir.path().join("package.json"), r#"{"type": "module"}"#).unwrap();
    std::fs::copy(root("tests/clients/vault.ts"), dir.path().join("vault.ts")).unwrap();
    succeeded(tool("openapi-typescript/bin/cli.js").arg(root("docs/openapi.json")).args(["-o", "pawl.d.ts"]));
    let strict = ["--strict", "--noEmitOnError", "--target", "es2022", "--module", "nodenext"];
    let strict = strict.into_iter().chain(["--types", "node", "--outDir", ".", "vault.ts"]);
    succeeded(tool("typescript/bin/tsc").args(strict));

    let mut run = Command::new("node");
    run.current_dir(dir.path()).args(["vault.js", &vault.url]);
    run.args(["backend", "worker"].map(|role| vault.token("acme", "ada", role)));
    assert_eq!(succeeded(&mut run), TOLD);
}
