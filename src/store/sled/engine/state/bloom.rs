//! A Bloom filter per sorted run. Ten bits per key keep the false positives below 1 %.

const BITS_PER_KEY: usize = 10;
const PROBES: u64 = 7;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Bloom(Box<[u64]>);

/// Part of the stored format: FNV-1a over the bytes and a final mix.
pub(super) fn hash(key: &[u8]) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for byte in key {
        hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    }
    hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ (hash >> 31)
}

impl Bloom {
    /// An empty filter for so many keys.
    pub(super) fn with_room(keys: u64) -> Self {
        let bits = usize::try_from(keys).unwrap_or(usize::MAX).saturating_mul(BITS_PER_KEY);
        Self(vec![0; bits.div_ceil(64).max(1)].into())
    }

    pub(super) fn add(&mut self, hash: u64) {
        for bit in self.bits(hash) {
            let (word, mask) = place(bit);
            self.0[word] |= mask;
        }
    }

    fn bits(&self, hash: u64) -> impl Iterator<Item = u64> + use<> {
        let bits = self.0.len() as u64 * 64;
        let step = (hash >> 32) | 1;
        (0..PROBES).map(move |probe| hash.wrapping_add(probe.wrapping_mul(step)) % bits)
    }

    /// `false` means that no key of this hash was added.
    pub(super) fn may_hold(&self, hash: u64) -> bool {
        self.bits(hash).all(|bit| {
            let (word, mask) = place(bit);
            self.0[word] & mask != 0
        })
    }

    pub(super) fn bytes(&self) -> Vec<u8> {
        self.0.iter().flat_map(|word| word.to_le_bytes()).collect()
    }

    /// The inverse of [`bytes`](Self::bytes); `None` for an invalid length.
    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (words, rest) = bytes.as_chunks::<8>();
        let whole = !words.is_empty() && rest.is_empty();
        whole.then(|| Self(words.iter().map(|word| u64::from_le_bytes(*word)).collect()))
    }
}

#[allow(clippy::cast_possible_truncation, reason = "a filter has far fewer bits than memory has bytes")]
fn place(bit: u64) -> (usize, u64) {
    ((bit / 64) as usize, 1 << (bit % 64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_there_is_never_denied_and_little_else_is_claimed() {
        let hashes: Vec<u64> = (0..2_000_u32).map(|n| hash(&n.to_be_bytes())).collect();
        let mut made = Bloom::with_room(hashes.len() as u64);
        for hash in &hashes {
            made.add(*hash);
        }
        let bloom = Bloom::from_bytes(&made.bytes()).unwrap();
        assert!(hashes.iter().all(|hash| bloom.may_hold(*hash)));
        let claimed = (2_000..12_000_u32).filter(|n| bloom.may_hold(hash(&n.to_be_bytes()))).count();
        assert!(claimed < 200, "{claimed} of 10,000");
        assert_eq!(Bloom::from_bytes(&[1, 2, 3]), None);
    }
}
