//! The worker's own token, as far as it has to know it: when it ends. Nothing is verified here; the
//! vault does that.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;

use crate::clock::Moment;
use crate::secret::Secret;

#[derive(Deserialize)]
struct Claims {
    exp: i64,
}

/// The token's `exp`, if it is a JWT with one that lies ahead. One that is over by this clock and is
/// taken by the vault all the same says that this clock is wrong: then it says nothing.
pub fn ends_at(token: &Secret, now: Moment) -> Option<Moment> {
    let payload = URL_SAFE_NO_PAD.decode(token.expose().split('.').nth(1)?).ok()?;
    let claims: Claims = serde_json::from_slice(&payload).ok()?;
    let ends = Moment::from_micros(claims.exp.checked_mul(1_000_000)?);
    (ends > now).then_some(ends)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_end_is_read_from_the_payload() {
        let token = |payload: &str| Secret::new(format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode(payload)));
        let now = Moment::from_micros(1_000_000_000);
        let ends = ends_at(&token(r#"{"exp":1001,"sub":"ada"}"#), now);
        assert_eq!(ends, Some(Moment::from_micros(1_001_000_000)));
        for payload in [r#"{"exp":1000}"#, r#"{"exp":"1001"}"#, r#"{"exp":9223372036854775807}"#, "{}", ""] {
            assert_eq!(ends_at(&token(payload), now), None, "{payload}");
        }
        for text in ["", "a", "a.b", "a.!.c", "not.a.token"] {
            assert_eq!(ends_at(&Secret::new(text.into()), now), None, "{text}");
        }
    }
}
