//! A map that forgets: whoever was seen lately is in it, and never more than a number that was set. Two halves of
//! which the older is dropped whole when the younger is full, so that a flood of new keys costs no search.

use std::collections::HashMap;
use std::hash::Hash;

/// Of the latest keys, from `half` to twice `half`.
pub(super) struct Recent<K, V> {
    young: HashMap<K, V>,
    old: HashMap<K, V>,
    half: usize,
}

impl<K: Eq + Hash, V: Default> Recent<K, V> {
    pub(super) fn new(half: usize) -> Self {
        Self { young: HashMap::new(), old: HashMap::new(), half }
    }

    /// What is known of `key`: the default, if it is new or was forgotten.
    pub(super) fn of(&mut self, key: K) -> &mut V {
        let was = self.old.remove(&key);
        if self.young.len() >= self.half && !self.young.contains_key(&key) {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.entry(key).or_insert_with(|| was.unwrap_or_default())
    }

    /// What is known of `key`, if anything is: nothing is remembered of one that is new.
    pub(super) fn find(&mut self, key: K) -> Option<&mut V> {
        let is_known = self.young.contains_key(&key) || self.old.contains_key(&key);
        is_known.then(|| self.of(key))
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.young.len() + self.old.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_comes_again_is_known_and_no_flood_makes_it_grow() {
        let mut recent = Recent::new(100);
        *recent.of(0) = "kept";
        for stranger in 1..10_000 {
            assert_eq!(*recent.of(stranger), "");
            assert!(recent.len() <= 200, "{}", recent.len());
            if stranger % 99 == 0 {
                assert_eq!(*recent.of(0), "kept", "{stranger}");
            }
        }
        assert_eq!(recent.find(20_000), None);
        assert_eq!(recent.find(0), Some(&mut "kept"));
        (10_000..10_200).for_each(|stranger| *recent.of(stranger) = "new");
        assert_eq!(*recent.of(0), "");
    }
}
