//! Persistent maps by id.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hash, Hasher};
use std::sync::Arc;

/// A persistent map whose keys are ids, digests or names, made by the control plane and not by callers.
pub(crate) type IdMap<K, V> =
    imbl::GenericHashMap<K, V, BuildHasherDefault<IdHasher>, imbl::shared_ptr::DefaultSharedPtr>;

/// Mixes what is random already. A keyed hash would protect against callers that choose keys, which here nobody can: it costs as
/// much as the search itself, four times for each call.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct IdHasher(u64);

impl IdHasher {
    fn mix(&mut self, word: u64) {
        self.0 = (self.0.rotate_left(23) ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
}

impl Hasher for IdHasher {
    fn write(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks::<8>();
        for word in words {
            self.mix(u64::from_le_bytes(*word));
        }
        for byte in rest {
            self.mix(u64::from(*byte));
        }
    }

    fn write_usize(&mut self, word: usize) {
        self.mix(word as u64);
    }

    fn write_isize(&mut self, word: isize) {
        self.mix(word.cast_unsigned() as u64);
    }

    fn finish(&self) -> u64 {
        // The map takes its path from the low bits, which a product leaves weakest.
        self.0 ^ (self.0 >> 29)
    }
}

/// A map that calls search: a flat table, which a search reads in two places where it reads a persistent map in six, and beside it a
/// persistent map of what has changed since the table was made. Clones share both. When a quarter has changed the table is made anew,
/// so that a change costs five entries more on average, and the table now and then.
#[derive(Clone, Debug)]
pub(crate) struct FlatMap<K, V> {
    table: Arc<HashMap<K, V, BuildHasherDefault<IdHasher>>>,
    /// `None` for what is gone.
    recent: IdMap<K, Option<V>>,
    len: usize,
}

/// Changes that are always borne beside the table.
const RECENT: usize = 256;

impl<K, V> Default for FlatMap<K, V> {
    fn default() -> Self {
        Self {
            table: Arc::default(),
            recent: IdMap::default(),
            len: 0,
        }
    }
}

impl<K: Clone + Eq + Hash, V: Clone> FlatMap<K, V> {
    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub(crate) fn get<Q>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        if !self.recent.is_empty()
            && let Some(known) = self.recent.get(key)
        {
            return known.as_ref();
        }
        self.table.get(key)
    }

    pub(crate) fn insert(&mut self, key: K, value: V) {
        self.len += usize::from(self.get(&key).is_none());
        if let Some(table) = self.own_table() {
            table.insert(key, value);
        } else {
            self.recent.insert(key, Some(value));
            self.settle();
        }
    }

    pub(crate) fn remove<Q>(&mut self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let known = self.get(key).cloned()?;
        self.len -= 1;
        if let Some(table) = self.own_table() {
            return table.remove(key);
        }
        match self.table.get_key_value(key) {
            Some((key, _)) => {
                let key = key.clone();
                self.recent.insert(key, None);
                self.settle();
            }
            None => {
                self.recent.remove(key);
            }
        }
        Some(known)
    }

    /// The table, if nothing else has it and nothing is beside it: so it is while a snapshot is made from nothing.
    fn own_table(&mut self) -> Option<&mut HashMap<K, V, BuildHasherDefault<IdHasher>>> {
        if !self.recent.is_empty() {
            return None;
        }
        if self.table.is_empty() && Arc::get_mut(&mut self.table).is_none() {
            self.table = Arc::default();
        }
        Arc::get_mut(&mut self.table)
    }

    fn settle(&mut self) {
        if self.recent.len() < RECENT + self.table.len() / 4 {
            return;
        }
        let mut table = HashMap::with_capacity_and_hasher(self.len, BuildHasherDefault::default());
        let kept = self.table.iter();
        table.extend(
            kept.filter(|(key, _)| !self.recent.contains_key(*key))
                .map(|(key, value)| (key.clone(), value.clone())),
        );
        for (key, value) in std::mem::take(&mut self.recent) {
            if let Some(value) = value {
                table.insert(key, value);
            }
        }
        self.table = Arc::new(table);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::{FlatMap, RECENT};

    /// A change of one of a thousand keys, by a generator that always gives the same.
    fn change(at: u64) -> (u64, Option<u64>) {
        let random = at.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20;
        let value = (!random.is_multiple_of(3)).then_some(at);
        (random / 7 % 1000, value)
    }

    #[test]
    fn a_flat_map_has_what_an_ordinary_one_has_however_it_is_shared() {
        let (mut flat, mut plain) = (FlatMap::default(), HashMap::new());
        let mut kept = Vec::new();
        for at in 0..20_000 {
            let (key, value) = change(at);
            match value {
                Some(value) => {
                    flat.insert(key, value);
                    plain.insert(key, value);
                }
                None => assert_eq!(flat.remove(&key), plain.remove(&key)),
            }
            // Now and then somebody keeps what there was; the beginning nobody shares.
            if at > 500 && at % 300 == 0 {
                kept.push((flat.clone(), plain.clone()));
            }
        }
        kept.push((flat, plain));
        for (flat, plain) in kept {
            for key in 0..1000 {
                assert_eq!(flat.get(&key), plain.get(&key), "{key}");
            }
            assert_eq!((flat.len, flat.is_empty()), (plain.len(), plain.is_empty()));
        }
    }

    #[test]
    fn what_lies_beside_the_table_is_bounded() {
        let mut flat = FlatMap::default();
        for key in 0..10_000_u64 {
            flat.insert(key, key);
        }
        assert!(flat.recent.is_empty(), "made from nothing, it is a table");
        let mut most = 0;
        for key in 0..30_000_u64 {
            let shared = flat.clone();
            flat.insert(key, key + 1);
            assert_eq!(shared.len.max(key as usize + 1), flat.len);
            most = most.max(flat.recent.len());
            assert!(flat.recent.len() < RECENT + flat.table.len() / 4);
        }
        assert!(most > RECENT, "changes are borne beside it");
        for key in 0..30_000_u64 {
            let _shared = flat.clone();
            assert_eq!(flat.remove(&key), Some(key + 1));
        }
        assert!(flat.is_empty() && flat.recent.len() <= RECENT);
    }
}
