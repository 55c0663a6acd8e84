//! `PAWL_AUDIT_WITNESSES`: where each checkpoint of the trail's log goes, so that it is known elsewhere what the
//! database said.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use url::{Host, Url};

/// Somewhere that takes checkpoints.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Witness {
    /// A file that they are appended to.
    File(PathBuf),
    /// Standard output, an object a line. It can't be asked what it took.
    Stdout,
    /// An address that they are posted to, and the newest is got from.
    Http(Url),
}

/// All of them; none, unless they are named.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Witnesses(Vec<Witness>);

/// An entry that is no witness.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WitnessRefused {
    /// Of none of the forms.
    #[error(
        "{0} is no witness: file:PATH, stdout, or https://host[:port]/path without user, query and fragment \
         (http on loopback alone)"
    )]
    Form(String),
    /// Named twice.
    #[error("{0} is there twice")]
    Twice(String),
    /// Its directory is not there.
    #[error("{0} would lie in a directory that is not there")]
    NoDirectory(String),
}

impl Witnesses {
    /// Them, in the order they were named in.
    pub fn iter(&self) -> impl Iterator<Item = &Witness> {
        self.0.iter()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Witness {
    fn parse(entry: &str) -> Result<Self, WitnessRefused> {
        let refused = || WitnessRefused::Form(entry.to_owned());
        if entry == "stdout" {
            return Ok(Self::Stdout);
        }
        if let Some(path) = entry.strip_prefix("file:") {
            let path = PathBuf::from(path);
            let parent = path.parent().filter(|_| path.file_name().is_some()).ok_or_else(refused)?;
            let is_there = parent.as_os_str().is_empty() || parent.is_dir();
            return match is_there {
                true => Ok(Self::File(path)),
                false => Err(WitnessRefused::NoDirectory(entry.to_owned())),
            };
        }
        let url = Url::parse(entry).map_err(|_| refused())?;
        let is_bare = url.query().is_none() && url.fragment().is_none() && url.username().is_empty();
        let is_here = match url.host() {
            Some(Host::Ipv4(ip)) => ip.is_loopback(),
            Some(Host::Ipv6(ip)) => ip.is_loopback(),
            // Pinned to 127.0.0.1 by whoever calls it.
            Some(Host::Domain(name)) => name == "localhost",
            None => false,
        };
        let is_safe = url.scheme() == "https" || (url.scheme() == "http" && is_here);
        if is_bare && url.password().is_none() && is_safe { Ok(Self::Http(url)) } else { Err(refused()) }
    }
}

impl FromStr for Witnesses {
    type Err = WitnessRefused;

    fn from_str(text: &str) -> Result<Self, WitnessRefused> {
        let mut all = Vec::new();
        for entry in text.split(',').map(str::trim) {
            let witness = Witness::parse(entry)?;
            if all.contains(&witness) {
                return Err(WitnessRefused::Twice(entry.to_owned()));
            }
            all.push(witness);
        }
        Ok(Self(all))
    }
}

/// Its name, by which it is known what it took.
impl fmt::Display for Witness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "file:{}", path.display()),
            Self::Stdout => f.write_str("stdout"),
            Self::Http(url) => url.fmt(f),
        }
    }
}

impl fmt::Display for Witnesses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("none");
        }
        let names: Vec<String> = self.0.iter().map(ToString::to_string).collect();
        f.write_str(&names.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Attack on P4.
    #[test]
    fn a_witness_is_safe_to_reach_or_refused() {
        for good in [
            "stdout",
            "file:checkpoints",
            "file:/tmp/checkpoints",
            "https://witness.example/pawl",
            "http://127.0.0.1:8080/pawl",
            "http://localhost/pawl",
            "stdout, file:/tmp/a, https://[2001:db8::1]:8443/a",
        ] {
            assert!(good.parse::<Witnesses>().is_ok(), "{good}");
        }
        for wrong in [
            "",
            "stderr",
            "stdout,stdout",
            "file:",
            "file:/",
            "file:..",
            "file:/nowhere/at/all",
            "checkpoints",
            "http://witness.example/pawl",
            "http://10.0.0.1/",
            "https://user@witness.example/",
            "https://:word@witness.example/",
            "https://witness.example/?a=b",
            "https://witness.example/#a",
            "ftp://witness.example/",
            "stdout,",
        ] {
            assert!(wrong.parse::<Witnesses>().is_err(), "{wrong}");
        }
    }
}
