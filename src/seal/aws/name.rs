//! The names of the secrets: the first key lies at NAME itself, every other at `NAME/kN`, because AWS
//! deletes secrets whole and never one version of them.

use crate::ids::KeyId;

const SOURCE: &str = "aws-secretsmanager:";

/// The name of the first key's secret, under which the others lie.
pub(super) struct SecretName(String);

impl SecretName {
    /// Takes 1 to 500 of the characters that AWS allows; AWS's own bound is 512, and `/kN` has to fit.
    /// A name that ends like another key's is refused. Else the rule that was broken.
    pub(super) fn parse(text: &str) -> Result<Self, &'static str> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"/_+=.@-".contains(&byte);
        if text.is_empty() || text.len() > 500 || !text.bytes().all(allowed) {
            return Err("must name a secret by 1 to 500 letters, digits and /_+=.@-, and by no ARN");
        }
        if text.rsplit_once('/').is_some_and(|(_, last)| number(last).is_some()) {
            return Err("must not name a secret that ends in /kN: the later keys have such names");
        }
        Ok(Self(text.to_owned()))
    }

    /// As the table `keys` notes the source.
    pub(super) fn source(&self) -> String {
        format!("{SOURCE}{}", self.0)
    }

    /// Where the key `id` lies; `None` when no key of that id can lie here.
    pub(super) fn slot(&self, id: &KeyId) -> Option<Slot> {
        number(id.as_str()).map(|number| self.numbered(number))
    }

    /// Where the keys before `slot` lie, the latest first.
    pub(super) fn before(&self, slot: &Slot) -> impl Iterator<Item = Slot> {
        (1..slot.number).rev().map(|number| self.numbered(number))
    }

    fn numbered(&self, number: u32) -> Slot {
        let secret = match number {
            1 => self.0.clone(),
            _ => format!("{}/k{number}", self.0),
        };
        Slot { number, secret }
    }
}

/// One key's secret.
pub(super) struct Slot {
    number: u32,
    /// Its name in the store.
    pub(super) secret: String,
}

impl Slot {
    /// As people read it.
    pub(super) fn place(&self) -> String {
        format!("{SOURCE}{}", self.secret)
    }
}

/// N of `kN`, written in one way alone.
fn number(id: &str) -> Option<u32> {
    let digits = id.strip_prefix('k')?;
    let plain = digits.bytes().all(|byte| byte.is_ascii_digit()) && !digits.starts_with('0');
    plain.then(|| digits.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_that_aws_takes_and_no_other_keys() {
        let longest = "a".repeat(500);
        for good in ["pawl", "prod/pawl", "a+b=c.d@e_f-g", "k1", "x/k", "x/k01", "x/k2x", &longest] {
            assert!(SecretName::parse(good).is_ok(), "{good}");
        }
        let arn = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:pawl-AbCdEf";
        let long = "a".repeat(501);
        for wrong in ["", "a b", "é", "a\n", arn, "pawl/k1", "pawl/k2", "a/b/k40", &long] {
            assert!(SecretName::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn each_key_lies_in_a_secret_of_its_own() {
        let name = SecretName::parse("prod/pawl").unwrap();
        let secret = |id: &str| name.slot(&KeyId::parse(id).unwrap()).map(|slot| slot.secret);
        assert_eq!(secret("k1").as_deref(), Some("prod/pawl"));
        assert_eq!(secret("k2").as_deref(), Some("prod/pawl/k2"));
        assert_eq!(secret("k40").as_deref(), Some("prod/pawl/k40"));
        for other in ["k", "k0", "k01", "k-1", "k 1", "K1", "2024", "k2/x", "k99999999999"] {
            assert_eq!(secret(other), None, "{other}");
        }
        let third = name.slot(&KeyId::parse("k3").unwrap()).unwrap();
        let before: Vec<String> = name.before(&third).map(|slot| slot.secret).collect();
        assert_eq!(before, ["prod/pawl/k2", "prod/pawl"]);
    }
}
