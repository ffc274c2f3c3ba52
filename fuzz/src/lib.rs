//! Fuzzing of what reads text from outside: URL templates, policy documents, expressions and heads of requests.
//!
//! A [`Target`] takes bytes and panics when something is wrong: the code under test panicked, or an invariant does not hold. [`mutate`]
//! makes inputs from a corpus (`fuzz/corpus/{target}`, one file an input) and a dictionary. It runs on stable Rust with nothing
//! installed, and is not guided by coverage: the corpus has to be good instead. `cargo test -p fuzz` runs the corpus and a fixed
//! number of inputs, always the same ones; `make fuzz` runs for as long as it is told, from a seed that it prints, and keeps what it
//! finds in the corpus, so that the tests have it from then on.

mod context;
mod targets;

pub use targets::{ALL, Target};

use std::path::{Path, PathBuf};

/// Inputs grow no longer than this.
const LONGEST: usize = 8 * 1024;

/// A small generator (SplitMix64): the same seed, the same inputs.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// Begins at a seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `end`; 0 when `end` is 0.
    fn below(&mut self, end: usize) -> usize {
        let end = u64::try_from(end).unwrap_or(u64::MAX).max(1);
        usize::try_from(self.next() % end).unwrap_or(0)
    }

    fn byte(&mut self) -> u8 {
        self.next().to_le_bytes()[0]
    }
}

/// Folder of a target's corpus.
#[must_use]
pub fn corpus_folder(target: &Target) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("corpus")
        .join(target.name)
}

/// The inputs of a target's corpus, in the order of their names.
///
/// # Errors
/// When a file cannot be read, or there is none.
pub fn corpus(target: &Target) -> anyhow::Result<Vec<(PathBuf, Vec<u8>)>> {
    let folder = corpus_folder(target);
    let mut inputs = Vec::new();
    for entry in std::fs::read_dir(&folder)? {
        let path = entry?.path();
        inputs.push((path.clone(), std::fs::read(&path)?));
    }
    inputs.sort();
    anyhow::ensure!(!inputs.is_empty(), "{} is empty", folder.display());
    Ok(inputs)
}

/// Another input out of the corpus: one of its own, changed in a few places.
#[must_use]
pub fn mutate(corpus: &[(PathBuf, Vec<u8>)], target: &Target, random: &mut Random) -> Vec<u8> {
    let mut bytes = corpus[random.below(corpus.len())].1.clone();
    for _ in 0..=random.below(6) {
        let at = random.below(bytes.len() + 1);
        let end = (at + 1 + random.below(16)).min(bytes.len());
        match random.below(8) {
            0 if at < bytes.len() => bytes[at] = random.byte(),
            1 => bytes.insert(at, random.byte()),
            2 if at < end => {
                bytes.drain(at..end);
            }
            3 if at < end => {
                let copied = bytes[at..end].to_vec();
                let times = 1 + random.below(8);
                for _ in 0..times {
                    bytes.splice(at..at, copied.iter().copied());
                }
            }
            4 => {
                let other = &corpus[random.below(corpus.len())].1;
                let from = random.below(other.len() + 1);
                let to = (from + random.below(64)).min(other.len());
                bytes.splice(at..at, other[from..to].iter().copied());
            }
            5 if at < bytes.len() => bytes[at] ^= 1 << random.below(8),
            _ => {
                let word = target.dictionary[random.below(target.dictionary.len())];
                bytes.splice(at..at, word.bytes());
            }
        }
    }
    bytes.truncate(LONGEST);
    bytes
}
