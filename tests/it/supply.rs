//! Where the code comes from that is built into what is shipped, and the bill of it: CycloneDX files in
//! `deploy/sbom/`, made of the lock file and of what Cargo would build for the images.
//! `TEST_WRITE=1 cargo test --features full --test it supply::` writes them anew.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

fn root(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root(path)).unwrap_or_else(|e| panic!("{path}: {e}"))
}

const CRATES_IO: &str = "registry+https://github.com/rust-lang/crates.io-index";

/// The checksum of each package of the lock file, by name and version; ours have none.
fn locked() -> BTreeMap<(String, String), Option<String>> {
    let lock: toml::Table = read("Cargo.lock").parse().unwrap();
    let text = |package: &toml::Value, key: &str| package.get(key).map(|v| v.as_str().unwrap().to_owned());
    let packages = lock["package"].as_array().unwrap().iter();
    packages
        .map(|package| {
            let name = text(package, "name").unwrap();
            let source = text(package, "source");
            match name.as_str() {
                "pawl" | "pawl-bench" => assert_eq!(source, None, "{name}"),
                _ => assert_eq!(source.as_deref(), Some(CRATES_IO), "{name}"),
            }
            ((name, text(package, "version").unwrap()), text(package, "checksum"))
        })
        .collect()
}

/// Attack on P1 and P6.
#[test]
fn every_package_has_one_source_and_a_checksum() {
    let all = locked();
    assert!(all.len() > 200, "{}", all.len());
    for ((name, _), checksum) in &all {
        let whole = |sum: &String| sum.len() == 64 && sum.bytes().all(|b| b.is_ascii_hexdigit());
        assert_eq!(checksum.as_ref().is_some_and(whole), !name.starts_with("pawl"), "{name}");
    }
    // What TLS is spoken with, and what seals, is there once.
    for once in ["ring", "rustls", "fernet", "aes", "zeroize"] {
        assert_eq!(all.keys().filter(|(name, _)| name == once).count(), 1, "{once}");
    }
}

/// Attack on P1 and P6.
#[test]
fn what_ships_is_built_from_the_lock_file_and_named_bases() {
    let mut builds = 0;
    for file in ["Dockerfile", ".ci/run"] {
        for line in read(file).lines().filter(|line| !line.trim_start().starts_with('#')) {
            for command in line.split("&&").filter(|part| part.contains("cargo ")) {
                let builds_nothing = ["cargo fmt", "cargo deny", "cargo-deny"];
                if !builds_nothing.iter().any(|other| command.contains(other)) {
                    assert!(command.contains("--locked"), "{file}: {command}");
                    builds += 1;
                }
            }
            if let Some(base) = line.strip_prefix("FROM ") {
                let digest = base.split_whitespace().next().unwrap().split_once("@sha256:");
                assert!(digest.is_some_and(|(_, digest)| digest.len() == 64), "{base}");
            }
        }
    }
    assert!(builds >= 8, "{builds}");
    for what in SHIPPED {
        let copied = format!("COPY deploy/sbom/{}.cdx.json /usr/share/doc/", what.program);
        let features = if what.features.is_empty() { "" } else { &format!("--features {} ", what.features) };
        let built = format!("cargo build --locked --profile dist {features}--bin {} ", what.program);
        for line in [copied, built] {
            assert!(read("Dockerfile").contains(&line), "{line}");
        }
    }
}

/// A program, and the features that the Dockerfile builds it with.
struct Shipped {
    program: &'static str,
    features: &'static str,
}

const SHIPPED: &[Shipped] =
    &[Shipped { program: "pawl", features: "postgres,aws" }, Shipped { program: "pawl-sync", features: "" }];

/// A package: its name and version.
type Package = (String, String);

/// What Cargo says that it would build, and of what each depends.
#[derive(Default)]
struct Tree {
    licences: BTreeMap<Package, String>,
    needs: BTreeMap<Package, BTreeSet<Package>>,
}

fn tree(features: &str, edges: &str) -> Tree {
    let output = Command::new(env!("CARGO"))
        .args(["tree", "--locked", "--offline", "--package", "pawl", "--features", features])
        .args(["--target", "x86_64-unknown-linux-gnu", "--edges", edges])
        .args(["--prefix", "depth", "--format", "\t{p}\t{l}\t", "--charset", "ascii"])
        .current_dir(root("."))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut tree = Tree::default();
    let mut path: Vec<Package> = Vec::new();
    for line in String::from_utf8(output.stdout).unwrap().lines() {
        // `[build-dependencies]` stands on a line of its own where they begin.
        let [depth, package, licence, _] = line.splitn(4, '\t').collect::<Vec<_>>()[..] else { continue };
        let mut words = package.split(' ');
        let name = words.next().unwrap().to_owned();
        let package = (name, words.next().unwrap().strip_prefix('v').unwrap().to_owned());
        path.truncate(depth.parse().unwrap());
        if let Some(parent) = path.last() {
            tree.needs.entry(parent.clone()).or_default().insert(package.clone());
        }
        let licence = licence.replace('/', " OR ").split_whitespace().collect::<Vec<_>>().join(" ");
        tree.licences.insert(package.clone(), licence);
        path.push(package);
    }
    tree
}

/// `pkg:cargo/NAME@VERSION`, as the purl specification has it.
fn purl((name, version): &Package) -> String {
    format!("pkg:cargo/{name}@{}", version.replace('+', "%2B"))
}

fn bill(shipped: &Shipped) -> Value {
    let checksums = locked();
    let (all, linked) =
        (tree(shipped.features, "normal,build"), tree(shipped.features, "normal,no-proc-macro"));
    let is_ours = |package: &Package| checksums[package].is_none();
    let reference =
        |package: &Package| if is_ours(package) { shipped.program.to_owned() } else { purl(package) };
    let ours = all.licences.keys().find(|package| is_ours(package)).unwrap();
    let components =
        all.licences.iter().filter(|(package, _)| !is_ours(package)).map(|(package, licence)| {
            // Excluded, in CycloneDX's words: at work while it is built, and not in what is shipped.
            let scope = if linked.licences.contains_key(package) { "required" } else { "excluded" };
            json!({
                "type": "library",
                "bom-ref": purl(package),
                "name": package.0,
                "version": package.1,
                "scope": scope,
                "hashes": [{"alg": "SHA-256", "content": checksums[package].clone().unwrap()}],
                "licenses": [{"expression": licence}],
                "purl": purl(package),
            })
        });
    let dependencies = all.licences.keys().map(|package| {
        let needs = all.needs.get(package).into_iter().flatten().map(reference);
        json!({"ref": reference(package), "dependsOn": needs.collect::<Vec<_>>()})
    });
    json!({
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": {
            "type": "application",
            "bom-ref": shipped.program,
            "name": shipped.program,
            "version": ours.1,
            "licenses": [{"expression": all.licences[ours]}],
        }},
        "components": components.collect::<Vec<_>>(),
        "dependencies": dependencies.collect::<Vec<_>>(),
    })
}

/// Attack on P1 and P6.
#[test]
fn the_bill_of_materials_is_what_cargo_builds() {
    for shipped in SHIPPED {
        let path = format!("deploy/sbom/{}.cdx.json", shipped.program);
        let made = bill(shipped);
        if std::env::var_os("TEST_WRITE").is_some() {
            std::fs::create_dir_all(root("deploy/sbom")).unwrap();
            std::fs::write(root(&path), format!("{made:#}\n")).unwrap();
        }
        let kept: Value = serde_json::from_str(&read(&path)).unwrap();
        assert!(kept == made, "{path} is old: TEST_WRITE=1 cargo test --features full --test it supply::");
        let scope = |name: &str| {
            let found = kept["components"].as_array().unwrap().iter().find(|one| one["name"] == name);
            found.map(|one| one["scope"].as_str().unwrap().to_owned())
        };
        for name in ["fernet", "ring", "rustls", "libsqlite3-sys", "quick-xml"] {
            assert_eq!(scope(name).as_deref(), Some("required"), "{name}");
        }
        for name in ["serde_derive", "cc"] {
            assert_eq!(scope(name).as_deref(), Some("excluded"), "{name}");
        }
        for name in ["rcgen", "tempfile", "pawl-bench", "dxr", "openssl", "native-tls", "aws-lc-rs"] {
            assert_eq!(scope(name), None, "{name}");
        }
        let is_vault = shipped.program == "pawl";
        for name in ["pq-sys", "aws-sdk-secretsmanager"] {
            assert_eq!(scope(name).is_some(), is_vault, "{name}");
        }
    }
}
