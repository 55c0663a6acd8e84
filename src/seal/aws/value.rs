//! What a secret holds: a Fernet key, or `{"fernet_key": "<Fernet key>"}` as AWS's console writes pairs.

use serde::Deserialize;

use crate::seal::keyring::{MasterKey, NotAKey};
use crate::secret::Secret;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Pair {
    fernet_key: Secret,
}

/// Reads the value. White space around it and around the key is allowed.
pub(super) fn read(value: &Secret) -> Result<MasterKey, NotAKey> {
    let text = value.expose().trim();
    if !text.starts_with('{') {
        return parse(text);
    }
    let pair: Pair = serde_json::from_str(text).map_err(|_| NotAKey)?;
    parse(pair.fernet_key.expose().trim())
}

fn parse(text: &str) -> Result<MasterKey, NotAKey> {
    MasterKey::parse(&Secret::new(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_a_key_or_a_pair_and_nothing_else() {
        let key = MasterKey::generate().unwrap();
        let text = key.to_text();
        let text = text.expose();
        for good in [
            text.to_owned(),
            format!(" \t{text}\r\n"),
            format!("{{\"fernet_key\":\"{text}\"}}"),
            format!("\n {{ \"fernet_key\" : \" {text}\\n\" }} \n"),
        ] {
            let found = read(&Secret::new(good.clone())).unwrap();
            assert_eq!(found.fingerprint(), key.fingerprint(), "{good}");
        }
        for wrong in [
            String::new(),
            "{".into(),
            "{}".into(),
            "hunter2".into(),
            text[1..].to_owned(),
            format!("{text}{text}"),
            format!("\"{text}\""),
            format!("{{\"key\": \"{text}\"}}"),
            format!("{{\"fernet_key\": \"{text}\", \"password\": \"x\"}}"),
            format!("{{\"fernet_key\": [\"{text}\"]}}"),
            format!("{{\"fernet_key\": \"{text}\", \"fernet_key\": \"{text}\"}}"),
        ] {
            assert!(read(&Secret::new(wrong.clone())).is_err(), "{wrong}");
        }
    }
}
