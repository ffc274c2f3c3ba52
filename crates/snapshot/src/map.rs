//! Persistent maps by id.

use std::hash::{BuildHasherDefault, Hasher};

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
