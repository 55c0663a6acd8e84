//! Peers that are not ours, each of one version, put under `target/` once. What can't be installed is left out.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::vault::tried;

/// Where the file `requirements` of `peers/` and what is in it are installed: Python and nothing else. `proof` is
/// a file that is there afterwards.
pub fn python(requirements: &str, proof: &str) -> Result<PathBuf, String> {
    let venv = under_target("peer-venv");
    if !venv.join("bin/python").is_file() {
        tried(Command::new("python3").args(["-m", "venv"]).arg(&venv))?;
    }
    if !venv.join(proof).is_file() {
        let file = peers().join(requirements);
        let pip = ["-m", "pip", "install", "-q", "-r"];
        tried(Command::new(venv.join("bin/python")).args(pip).arg(file))?;
    }
    Ok(venv)
}

/// RustyVault's program, built from crates.io by its own lock file and apart from ours; that takes minutes.
pub fn rvault() -> Result<PathBuf, String> {
    let root = under_target("peer-rvault");
    let program = root.join("bin/rvault");
    if !program.is_file() {
        eprintln!("building rusty_vault 0.2.1, once");
        let install = ["install", "-q", "--locked", "--version", "0.2.1", "rusty_vault", "--bin", "rvault"];
        tried(Command::new("cargo").args(install).arg("--root").arg(root))?;
    }
    Ok(program)
}

/// The folder of the peers that are ours.
pub fn peers() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("peers")
}

fn under_target(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../target").join(name)
}
