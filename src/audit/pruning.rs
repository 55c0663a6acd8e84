//! The record of a pruning, as it is looked for by who verifies what was left.

use crate::audit::chain::Hash;
use crate::audit::export::hex_of;
use crate::audit::members::{PRUNE, member};

/// When it was, as it says, if `event` is the record that the events up to number `last`, whose hash is `hash`, were let
/// go of. Those of before events named more have the number alone.
pub fn pruned_at(event: &[u8], last: i64, hash: &Hash) -> Option<String> {
    // Most are none: that is seen without reading them.
    if !event.windows(PRUNE.len()).any(|of| of == PRUNE.as_bytes()) {
        return None;
    }
    let event = serde_json::from_slice::<serde_json::Value>(event).ok()?;
    let text = |name: &str| event.get(name).and_then(|of| of.as_str());
    let says = |name: &str, value: &str| text(name) == Some(value);
    let last = last.to_string();
    let is_told = says(member::ACTION, PRUNE)
        && match event.get(member::PRUNED_LAST) {
            Some(_) => {
                says(member::PRUNED_LAST, &last) && says(member::PRUNED_HASH, &hex_of(hash.as_bytes()))
            }
            None => says("subject", &last),
        };
    is_told.then(|| text(member::TIME).unwrap_or("a time that it does not tell").to_owned())
}
