//! Content in blocks, each of which proves by itself that it belongs to the digest that names the content.
//!
//! BLAKE3 hashes a tree of chunks of 1 KiB, and a block is a subtree of it. Whoever has the chaining values of the
//! subtrees beside the way from a block up to the root computes the root from the block alone. See section 2.1 of the
//! [BLAKE3 paper](https://github.com/BLAKE3-team/BLAKE3-specs/blob/master/blake3.pdf) for the shape of the tree: the
//! left subtree of every node is complete and as large as can be while something is left for the right one.

use crate::ContentId;
use blake3::Hasher;
use blake3::hazmat::{
    ChainingValue, HasherExt, Mode, merge_subtrees_non_root, merge_subtrees_root,
};
use bytes::Bytes;
use protocol::{BLOCK_BYTES, ContentBlock, MAX_PROOF};
use std::sync::OnceLock;

/// How many blocks content of `total` bytes has; none when a number of 32 bits does not count them.
pub(crate) fn count(total: u64) -> Option<u32> {
    total.div_ceil(BLOCK_BYTES.into()).try_into().ok()
}

/// Where a block begins.
pub(crate) fn start(block: u32) -> u64 {
    u64::from(block) * u64::from(BLOCK_BYTES)
}

/// Content to give to others: its bytes, and the hashes of its blocks once somebody has asked for one.
#[derive(Debug)]
pub struct Content {
    name: ContentId,
    bytes: Bytes,
    /// None when the whole does not hash to its name.
    hashes: OnceLock<Option<Vec<ChainingValue>>>,
}

impl Content {
    /// Wraps the whole content. Nothing is hashed yet.
    #[must_use]
    pub fn new(name: ContentId, bytes: Bytes) -> Self {
        Self {
            name,
            bytes,
            hashes: OnceLock::new(),
        }
    }

    /// The whole content.
    #[must_use]
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// Whether [`Content::block`] answers at once; otherwise it hashes everything first, some milliseconds per 10 MB.
    #[must_use]
    pub fn is_hashed(&self) -> bool {
        self.hashes.get().is_some()
    }

    /// Whether it turned out, when it was hashed, not to be what its name says: the disk it is on is failing, say.
    #[must_use]
    pub fn is_damaged(&self) -> bool {
        self.hashes.get().is_some_and(Option::is_none)
    }

    /// A block with its proof; the last one without a number. None beyond the end, when the content is empty, and when
    /// it is damaged: nobody would take it.
    #[must_use]
    pub fn block(&self, block: Option<u32>) -> Option<ContentBlock> {
        let total = self.bytes.len() as u64;
        let count = count(total)?;
        let block = block.unwrap_or(count.checked_sub(1)?);
        if block >= count {
            return None;
        }
        let hashes = self.hashes.get_or_init(|| {
            let hashes = hashes(&self.bytes);
            (root(&self.bytes, &hashes) == self.name.0).then_some(hashes)
        });
        let hashes = hashes.as_ref()?;
        let (mut below, mut at, mut proof) = (&hashes[..], block as usize, Vec::new());
        while below.len() > 1 {
            let (left, right) = below.split_at(left_len(below.len()));
            let aside;
            if at < left.len() {
                (below, aside) = (left, right);
            } else {
                at -= left.len();
                (below, aside) = (right, left);
            }
            proof.push(merged(aside));
        }
        proof.reverse();
        // Both are at most the length, which is a usize.
        let (from, to) = (
            start(block),
            total.min(start(block) + u64::from(BLOCK_BYTES)),
        );
        Some(ContentBlock {
            total,
            bytes: self.bytes.slice(from as usize..to as usize),
            proof,
        })
    }
}

/// How many of `blocks` blocks, at least two, are in the left subtree.
fn left_len(blocks: usize) -> usize {
    blocks.div_ceil(2).next_power_of_two()
}

fn hash(block: u32, bytes: &[u8]) -> ChainingValue {
    let mut hasher = Hasher::new();
    hasher.set_input_offset(start(block)).update(bytes);
    hasher.finalize_non_root()
}

fn hashes(bytes: &[u8]) -> Vec<ChainingValue> {
    (0..)
        .zip(bytes.chunks(BLOCK_BYTES as usize))
        .map(|(block, bytes)| hash(block, bytes))
        .collect()
}

/// The chaining value of the subtree over some blocks.
fn merged(blocks: &[ChainingValue]) -> ChainingValue {
    match blocks {
        [] => unreachable!("both sides of a split have blocks"),
        [one] => *one,
        more => {
            let (left, right) = more.split_at(left_len(more.len()));
            merge_subtrees_non_root(&merged(left), &merged(right), Mode::Hash)
        }
    }
}

/// The hash of content that has at least one block.
fn root(bytes: &[u8], blocks: &[ChainingValue]) -> blake3::Hash {
    if blocks.len() == 1 {
        return blake3::hash(bytes);
    }
    let (left, right) = blocks.split_at(left_len(blocks.len()));
    merge_subtrees_root(&merged(left), &merged(right), Mode::Hash)
}

/// Whether what a stranger sent is that block of the content (the last one without a number), and if so which one.
///
/// A block proves its place, and the last one also the length of the content: it ends where the content does.
pub(crate) fn verify(content: &ContentId, block: Option<u32>, sent: &ContentBlock) -> Option<u32> {
    let count = count(sent.total)?;
    let block = block.unwrap_or(count.checked_sub(1)?);
    if block >= count {
        return None;
    }
    let len = (sent.total - start(block)).min(BLOCK_BYTES.into());
    if sent.bytes.len() as u64 != len {
        return None;
    }
    // From the root down: on which side of each node is the block?
    let (mut below, mut at) = (count as usize, block as usize);
    let mut on_the_left = Vec::with_capacity(MAX_PROOF);
    while below > 1 {
        let left = left_len(below);
        on_the_left.push(at < left);
        if at < left {
            below = left;
        } else {
            below -= left;
            at -= left;
        }
    }
    if on_the_left.len() != sent.proof.len() {
        return None;
    }
    let Some((top, lower)) = sent.proof.split_last() else {
        return (blake3::hash(&sent.bytes) == content.0).then_some(block);
    };
    let order = |left: bool, own: ChainingValue, aside: ChainingValue| match left {
        true => (own, aside),
        false => (aside, own),
    };
    let mut own = hash(block, &sent.bytes);
    for (aside, left) in lower.iter().zip(on_the_left.iter().skip(1).rev()) {
        let (left, right) = order(*left, own, *aside);
        own = merge_subtrees_non_root(&left, &right, Mode::Hash);
    }
    let (left, right) = order(*on_the_left.first()?, own, *top);
    (merge_subtrees_root(&left, &right, Mode::Hash) == content.0).then_some(block)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const BLOCK: usize = BLOCK_BYTES as usize;

    fn content(len: usize) -> (ContentId, Content) {
        let bytes: Bytes = (0..len).map(|i| (i ^ (i >> 7) ^ (i >> 15)) as u8).collect();
        let name = ContentId(*blake3::hash(&bytes).as_bytes());
        (name, Content::new(name, bytes))
    }

    #[test]
    fn what_is_damaged_is_not_given() {
        for len in [1000, BLOCK, 3 * BLOCK] {
            let (name, content) = content(len);
            let mut bytes = content.bytes().to_vec();
            bytes[len / 2] ^= 1;
            let damaged = Content::new(name, bytes.into());
            assert!(!damaged.is_damaged(), "nobody has looked yet");
            assert_eq!(damaged.block(Some(0)), None);
            assert!(damaged.is_damaged());
            assert!(content.block(Some(0)).is_some() && !content.is_damaged());
        }
    }

    #[test]
    fn every_block_of_content_of_any_length_proves_itself() {
        let odd = [1, 1023, 1024, 1025, BLOCK - 1, BLOCK, BLOCK + 1];
        let more = (2..=9).flat_map(|n| [n * BLOCK - 1024, n * BLOCK, n * BLOCK + 1]);
        for len in odd.into_iter().chain(more) {
            let (id, content) = content(len);
            let blocks = len.div_ceil(BLOCK) as u32;
            let mut whole = Vec::new();
            for block in 0..blocks {
                let sent = content.block(Some(block)).expect("a block");
                assert_eq!(
                    verify(&id, Some(block), &sent),
                    Some(block),
                    "{block} of {len}"
                );
                whole.extend_from_slice(&sent.bytes);
            }
            assert_eq!(*content.bytes(), whole);
            let last = content.block(None).expect("the last block");
            assert_eq!(verify(&id, None, &last), Some(blocks - 1));
            assert_eq!(last.total, len as u64);
            assert_eq!(content.block(Some(blocks)), None);
        }
        assert_eq!(content(0).1.block(None), None);
    }

    proptest! {
        /// Nothing but the block itself, at its place, is taken.
        #[test]
        fn what_is_not_the_block_is_refused(
            len in 1..5 * BLOCK,
            at in any::<prop::sample::Index>(),
            what in 0..6,
            where_ in any::<prop::sample::Index>(),
            total in 0..8 * BLOCK as u64,
        ) {
            let (id, content) = content(len);
            let block = at.index(len.div_ceil(BLOCK)) as u32;
            let good = content.block(Some(block)).expect("a block");
            let (mut asked, mut sent) = (Some(block), good.clone());
            match what {
                0 => {
                    let mut bytes = sent.bytes.to_vec();
                    bytes[where_.index(good.bytes.len())] ^= 1;
                    sent.bytes = bytes.into();
                }
                1 => sent.bytes = sent.bytes.slice(..sent.bytes.len() - 1),
                2 => asked = Some(block ^ 1),
                3 => {
                    (asked, sent) = (None, content.block(None).expect("a block"));
                    prop_assume!(total != sent.total);
                    sent.total = total;
                }
                4 => match sent.proof.is_empty() {
                    true => sent.proof.push([0; 32]),
                    false => sent.proof[where_.index(good.proof.len())][0] ^= 1,
                },
                _ => match sent.proof.pop() {
                    Some(_) => {}
                    None => sent.proof = vec![[0; 32]; 40],
                },
            }
            prop_assert_eq!(verify(&id, asked, &sent), None);
        }
    }
}
