//! The experiment behind the web service: feature hashing of one text column, as Vowpal Wabbit hashes text.

/// Number of hash columns: a hash bit size of 3, the guide's choice.
pub const BUCKETS: usize = 1 << 3;

/// The factor by which Vowpal Wabbit mixes the first word of a bigram into the second.
const BIGRAM_FACTOR: u32 = 27_942_141;

/// The seed of every word's hash.
const SEED: u32 = 0;

/// How often the words and the pairs of neighbouring words of `text` fall into each bucket.
///
/// Words are separated by spaces and keep their case. A run of spaces separates like one space, so the counts of a text
/// of n words always add up to n words and n - 1 pairs.
pub fn bucket_counts(text: &str) -> [u32; BUCKETS] {
    let mut counts = [0_u32; BUCKETS];
    let mut previous: Option<u32> = None;
    for word in text.split(' ').filter(|word| !word.is_empty()) {
        let hash = word_hash(word);
        counts[bucket(hash)] += 1;
        if let Some(first) = previous {
            counts[bucket(bigram_hash(first, hash))] += 1;
        }
        previous = Some(hash);
    }
    counts
}

fn word_hash(word: &str) -> u32 {
    let mut bytes = word.as_bytes();
    murmur3::murmur3_32(&mut bytes, SEED).expect("reading from a slice of memory does not fail")
}

fn bigram_hash(first: u32, second: u32) -> u32 {
    first.wrapping_mul(BIGRAM_FACTOR).wrapping_add(second)
}

fn bucket(hash: u32) -> usize {
    hash as usize % BUCKETS
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_guides_sentence_gives_the_guides_row() {
        assert_eq!(
            bucket_counts("This is a good day"),
            [1, 1, 2, 2, 0, 2, 0, 1]
        );
    }

    #[test]
    fn words_hash_as_the_reference_murmur3_does() {
        // Published test vectors of MurmurHash3_x86_32 with seed 0.
        assert_eq!(word_hash(""), 0);
        assert_eq!(word_hash("test"), 0xba6b_d213);
        assert_eq!(word_hash("Hello, world!"), 0xc036_3e43);
        assert_eq!(
            word_hash("The quick brown fox jumps over the lazy dog"),
            0x2e4f_f723
        );
    }

    #[test]
    fn case_matters() {
        assert_ne!(
            bucket_counts("This is a good day"),
            bucket_counts("this is a good day")
        );
    }

    #[test]
    fn text_without_words_counts_nothing() {
        assert_eq!(bucket_counts(""), [0; BUCKETS]);
        assert_eq!(bucket_counts("   "), [0; BUCKETS]);
    }

    #[test]
    fn only_the_space_separates_words() {
        assert_eq!(bucket_counts("good\tday").iter().sum::<u32>(), 1);
    }

    proptest! {
        #[test]
        fn every_word_and_every_pair_of_neighbours_counts_once(words in prop::collection::vec("[^ ]{1,12}", 0..40)) {
            let pairs = words.len().saturating_sub(1);
            let total: u32 = bucket_counts(&words.join(" ")).iter().sum();
            prop_assert_eq!(total as usize, words.len() + pairs);
        }

        #[test]
        fn runs_of_spaces_separate_like_one_space(words in prop::collection::vec("[^ ]{1,6}", 0..10), gap in 1_usize..5) {
            let wide = words.join(&" ".repeat(gap));
            prop_assert_eq!(bucket_counts(&format!("  {wide} ")), bucket_counts(&words.join(" ")));
        }

        #[test]
        fn one_word_is_one_count_in_its_own_bucket(word in "[^ ]{1,20}") {
            let mut expected = [0; BUCKETS];
            expected[word_hash(&word) as usize % BUCKETS] = 1;
            prop_assert_eq!(bucket_counts(&word), expected);
        }
    }
}
