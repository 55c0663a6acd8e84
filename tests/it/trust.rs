//! The threat model against the tests and against what readers are told of it: every promise has its
//! threats, every threat its tests, every attack its threat; and `docs/trust.md` is made of them.
//! `TEST_WRITE=1 cargo test --test it trust::` writes it anew, and the README's part.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::{Path, PathBuf};

fn root(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root(path)).unwrap_or_else(|e| panic!("{path}: {e}"))
}

/// A file of `threat-model/`, each paragraph on one line.
struct Threat {
    file: String,
    heading: String,
    promises: BTreeSet<u8>,
    /// The first that its heading names: where it is told.
    home: u8,
    says: BTreeMap<String, String>,
    tests: Vec<String>,
    left: String,
}

/// `P1, P10` or `P1, P5 and P10`.
fn promises(text: &str) -> BTreeSet<u8> {
    let all = text.split([',', ' ']).filter(|word| !word.is_empty() && *word != "and");
    all.map(|word| word.strip_prefix('P').and_then(|n| n.parse().ok()).unwrap_or_else(|| panic!("{text}")))
        .collect()
}

impl Threat {
    fn read(file: &str) -> Self {
        let text = read(&format!("threat-model/{file}"));
        let (heading, body) = text.split_once("\n\n").unwrap();
        let heading =
            heading.strip_prefix("# ").unwrap_or_else(|| panic!("{file} has no heading")).to_owned();
        let about = heading.split_once(": ").unwrap_or_else(|| panic!("{file}: {heading}")).0;
        let mut threat = Self {
            file: file.to_owned(),
            promises: promises(about),
            home: *promises(about.split(',').next().unwrap()).first().unwrap(),
            says: BTreeMap::new(),
            tests: Vec::new(),
            left: String::new(),
            heading,
        };
        let (bullets, left) = body.split_once("\n\n").unwrap_or((body, ""));
        for bullet in format!("\n{bullets}").split("\n- ").skip(1) {
            let bullet = bullet.lines().map(str::trim).collect::<Vec<_>>().join(" ");
            let (key, value) = bullet.split_once(": ").unwrap_or_else(|| panic!("{file}: {bullet}"));
            match key {
                "test" => threat.tests.push(value.trim_matches('`').to_owned()),
                "has" | "does" | "gets" => {
                    assert!(
                        threat.says.insert(key.to_owned(), value.to_owned()).is_none(),
                        "{file}: {key} twice"
                    );
                }
                other => panic!("{file}: {other}"),
            }
        }
        let left = left.lines().map(str::trim).collect::<Vec<_>>().join(" ");
        assert!(left.is_empty() || left.starts_with("Left: "), "{file}: {left}");
        threat.left = left.trim_start_matches("Left: ").to_owned();
        threat
    }

    fn all() -> Vec<Self> {
        // In the order of the table.
        let page = read("threat-model/README.md");
        let rows = page.lines().filter_map(|line| line.strip_prefix("| [")?.split_once(']'));
        rows.map(|(file, _)| Self::read(file)).collect()
    }
}

/// A test: where it is, and the promises that its comment says it attacks.
struct Test {
    path: String,
    attacks: BTreeSet<u8>,
}

/// Every test by its name; those of `tests/it` with their module before it.
fn tests() -> BTreeMap<String, Test> {
    let mut all = BTreeMap::new();
    for file in sources("tests/it").into_iter().chain(sources("src")) {
        let text = read(&file);
        let lines: Vec<&str> = text.lines().map(str::trim).collect();
        for (at, _) in lines.iter().enumerate().filter(|(_, line)| **line == "#[test]") {
            let above = lines[..at].iter().rev().take_while(|line| line.starts_with("///"));
            // `Attack on P1.`, or `Attack on P1 and P8: who, and how.`
            let attacks = above
                .filter_map(|line| line.strip_prefix("/// Attack on ")?.split(['.', ':']).next())
                .flat_map(promises)
                .collect();
            let name = lines[at..].iter().find_map(|line| line.strip_prefix("fn ")).unwrap();
            let name = name.split('(').next().unwrap();
            let module = file.strip_prefix("tests/it/").and_then(|file| file.strip_suffix(".rs"));
            let name =
                module.map_or(name.to_owned(), |module| format!("{}::{name}", module.replace('/', "::")));
            let twice = all.insert(name.clone(), Test { path: file.clone(), attacks });
            assert!(twice.is_none(), "two tests are called {name}");
        }
    }
    assert!(all.len() > 150, "{}", all.len());
    all
}

fn sources(dir: &str) -> Vec<String> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(root(dir)).unwrap() {
        let path = format!("{dir}/{}", entry.unwrap().file_name().to_str().unwrap());
        if root(&path).is_dir() {
            files.extend(sources(&path));
        } else if path.ends_with(".rs") {
            files.push(path);
        }
    }
    files.sort();
    files
}

#[test]
fn every_threat_is_in_the_table_and_says_what_happens() {
    let page = read("threat-model/README.md");
    let rows: BTreeSet<&str> = page.lines().filter(|line| line.starts_with("| [")).collect();
    let threats = Threat::all();
    let listed = threats.iter().map(|threat| format!("| [{0}]({0}) | {1} |", threat.file, threat.heading));
    assert_eq!(rows, listed.collect::<Vec<_>>().iter().map(String::as_str).collect(), "table and headings");
    let files = std::fs::read_dir(root("threat-model")).unwrap();
    assert_eq!(files.count(), threats.len() + 1, "a file is not in the table");
    for threat in &threats {
        assert_eq!(threat.says.len(), 3, "{} wants has, does and gets", threat.file);
        assert!(!threat.tests.is_empty(), "{} names no test", threat.file);
    }
}

#[test]
fn every_attack_is_a_threats_and_every_threat_is_attacked() {
    let (tests, threats) = (tests(), Threat::all());
    let mut named: BTreeMap<&str, BTreeSet<u8>> = BTreeMap::new();
    let mut wrong = Vec::new();
    for threat in &threats {
        for name in &threat.tests {
            named.entry(name).or_default().extend(&threat.promises);
            match tests.get(name) {
                None => wrong.push(format!("{}: there is no test {name}", threat.file)),
                Some(test) if test.attacks.is_disjoint(&threat.promises) => wrong.push(format!(
                    "{name} wants `/// Attack on P….` above #[test]: {} names it for {:?}",
                    threat.file, threat.promises
                )),
                Some(_) => {}
            }
        }
    }
    let none = BTreeSet::new();
    for (name, test) in &tests {
        let by = named.get(name.as_str()).unwrap_or(&none);
        if !test.attacks.is_subset(by) {
            wrong.push(format!("{name} attacks {:?}, and threats of {by:?} name it", test.attacks));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let attacked: BTreeSet<u8> = tests.values().flat_map(|test| test.attacks.iter().copied()).collect();
    assert_eq!(attacked, (1..=11).collect(), "the promises that are attacked");
}

/// A promise of `threat-model/README.md`: its heading, and what follows.
fn promised() -> Vec<(String, String)> {
    let page = read("threat-model/README.md");
    let part = between(&page, "## What we promise\n", "\n## ");
    let all: Vec<_> = part.split("\n### ").skip(1).map(|one| one.split_once("\n\n").unwrap()).collect();
    for (n, (heading, text)) in all.iter().enumerate() {
        assert!(heading.starts_with(&format!("P{}: ", n + 1)), "{heading}");
        assert!(text.contains("\n\nKept by: "), "{heading} does not say how it is kept");
    }
    assert_eq!(all.len(), 11);
    all.into_iter().map(|(heading, text)| (heading.to_owned(), text.trim().to_owned())).collect()
}

fn not_claimed() -> String {
    let page = read("threat-model/README.md");
    between(&format!("{page}\n## "), "## What we do not claim\n\n", "\n## ").trim().to_owned()
}

fn between<'a>(text: &'a str, from: &str, to: &str) -> &'a str {
    let (_, rest) = text.split_once(from).unwrap_or_else(|| panic!("there is no {from}"));
    rest.split_once(to).unwrap_or_else(|| panic!("nothing ends {from}")).0
}

fn page() -> String {
    let (tests, threats) = (tests(), Threat::all());
    let mut page = String::from(
        "# What Pawl promises\n\n\
         Of the credentials that you leave with Pawl: eleven promises, how each is kept, the attacks that are made on\n\
         it, and what they leave. Each attack is a test against the real programs, over HTTP, with a real database;\n\
         `./test` runs all of them. At the end is what we do not claim. If you find a way past any of it:\n\
         [SECURITY.md](../SECURITY.md).\n\n\
         <!-- Made of threat-model/ by `TEST_WRITE=1 cargo test --test it trust::`; a test fails when it is old. -->\n",
    );
    for (n, (heading, text)) in (1..).zip(promised()) {
        let text = text.replace("\n\nKept by: ", "\n\n**Kept by** ");
        write!(page, "\n## {heading}\n\n{text}\n").unwrap();
        for threat in threats.iter().filter(|threat| threat.promises.contains(&n)) {
            let name = threat.heading.split_once(": ").unwrap().1;
            if threat.home != n {
                write!(page, "\n**Attack: {name}**: told under P{}.\n", threat.home).unwrap();
                continue;
            }
            write!(page, "\n**Attack: {name}** ([more](../threat-model/{}))\n\n", threat.file).unwrap();
            for (word, key) in [("The attacker has", "has"), ("Does", "does"), ("Gets", "gets")] {
                writeln!(page, "- {word}: {}", threat.says[key]).unwrap();
            }
            if !threat.left.is_empty() {
                writeln!(page, "- Left: {}", threat.left).unwrap();
            }
            let shown = threat.tests.iter().map(|test| format!("[`{test}`](../{})", tests[test].path));
            writeln!(page, "- Shown by: {}", shown.collect::<Vec<_>>().join(", ")).unwrap();
        }
    }
    write!(page, "\n## What we do not claim\n\n{}\n", not_claimed()).unwrap();
    page
}

/// `text` is what `path` holds; with TEST_WRITE it is written there.
fn hold(path: &str, text: &str) {
    if std::env::var_os("TEST_WRITE").is_some() {
        std::fs::write(root(path), text).unwrap();
    }
    assert!(read(path) == text, "{path} is old: TEST_WRITE=1 cargo test --test it trust::");
}

#[test]
fn what_readers_are_told_is_what_the_threat_model_says() {
    hold("docs/trust.md", &page());
    let readme = read("README.md");
    let (before, rest) = readme.split_once("## What it does not claim\n\n").unwrap();
    let after = rest.split_once("\n\n").unwrap().1;
    hold("README.md", &format!("{before}## What it does not claim\n\n{}\n\n{after}", not_claimed()));
}
