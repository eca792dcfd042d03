use std::fmt;

/// A set of fragments: one bit for each fragment of the model, in the order of its manifest.
///
/// At most [`Bitmap::MAX_LEN`] bits long, so that a stranger's claim about an enormous model costs nothing.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Bitmap {
    len: u32,
    /// Bit `i` is bit `i % 8` of byte `i / 8`. Never more than `len.div_ceil(8)` bytes, and the last is not zero: what
    /// a set takes goes by what is in it, not by the length that a stranger claims. The bits after `len` are zero.
    bytes: Vec<u8>,
}

impl Bitmap {
    /// The most bits a bitmap can have: twenty times the fragments of the largest model this project plans for.
    pub const MAX_LEN: u32 = 1 << 20;

    /// No fragment of a model of `len` fragments. More than [`Bitmap::MAX_LEN`] are cut off.
    #[must_use]
    pub fn new(len: u32) -> Self {
        Self {
            len: len.min(Self::MAX_LEN),
            bytes: Vec::new(),
        }
    }

    /// All fragments of a model of `len` fragments.
    #[must_use]
    pub fn full(len: u32) -> Self {
        let mut all = Self::new(len);
        all.bytes = vec![u8::MAX; all.whole_bytes()];
        all.cut_off();
        all
    }

    /// A bitmap from its wire form, if that is one: all bytes of so many bits, or none if all are zero.
    pub(crate) fn from_bytes(len: u32, bytes: &[u8]) -> Option<Self> {
        let mut set = Self {
            len,
            bytes: Vec::new(),
        };
        let fits = bytes.is_empty() || bytes.len() == set.whole_bytes();
        if len > Self::MAX_LEN || !fits {
            return None;
        }
        let spare = (8 - len % 8) % 8;
        if bytes
            .last()
            .is_some_and(|last| last.leading_zeros() < spare)
        {
            return None;
        }
        let used = bytes.iter().rposition(|byte| *byte != 0);
        set.bytes = bytes[..used.map_or(0, |last| last + 1)].to_vec();
        Some(set)
    }

    /// The wire form: nothing for the empty set, otherwise all bytes.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.wire_len());
        bytes.extend_from_slice(&self.bytes);
        bytes.resize(self.wire_len(), 0);
        bytes
    }

    /// Bytes of the wire form; never fewer than it takes in memory.
    pub(crate) fn wire_len(&self) -> usize {
        if self.is_empty() {
            0
        } else {
            self.whole_bytes()
        }
    }

    /// Bytes of so many bits.
    fn whole_bytes(&self) -> usize {
        self.len.div_ceil(8) as usize
    }

    /// How many fragments the model has.
    #[must_use]
    pub fn len(&self) -> u32 {
        self.len
    }

    /// Whether no fragment is in the set.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Whether fragment `index` is in the set. Beyond the end nothing is.
    #[must_use]
    pub fn contains(&self, index: u32) -> bool {
        let byte = self.bytes.get(index as usize / 8);
        byte.is_some_and(|byte| byte & (1 << (index % 8)) != 0)
    }

    /// Puts fragment `index` into the set; says whether that changed anything. Beyond the end nothing happens.
    pub fn insert(&mut self, index: u32) -> bool {
        let changes = index < self.len && !self.contains(index);
        if changes {
            let byte = index as usize / 8;
            if self.bytes.len() <= byte {
                self.bytes.resize(byte + 1, 0);
            }
            self.bytes[byte] |= 1 << (index % 8);
        }
        changes
    }

    /// Takes fragment `index` out of the set; says whether that changed anything.
    pub fn remove(&mut self, index: u32) -> bool {
        let changes = self.contains(index);
        if changes {
            self.bytes[index as usize / 8] &= !(1 << (index % 8));
            self.drop_zeros();
        }
        changes
    }

    /// Puts all that is in another set into this one, as far as this one goes.
    pub fn insert_all(&mut self, other: &Self) {
        let common = other.bytes.len().min(self.whole_bytes());
        if self.bytes.len() < common {
            self.bytes.resize(common, 0);
        }
        for (mine, theirs) in self.bytes.iter_mut().zip(&other.bytes) {
            *mine |= theirs;
        }
        self.cut_off();
    }

    /// Clears the bits after the last, which only the last of all bytes has.
    fn cut_off(&mut self) {
        let spare = (8 - self.len % 8) % 8;
        if self.bytes.len() == self.whole_bytes()
            && let Some(last) = self.bytes.last_mut()
        {
            *last &= u8::MAX >> spare;
        }
        self.drop_zeros();
    }

    fn drop_zeros(&mut self) {
        while self.bytes.last() == Some(&0) {
            self.bytes.pop();
        }
    }

    /// How many fragments are in the set.
    #[must_use]
    pub fn count(&self) -> u32 {
        self.bytes.iter().map(|byte| byte.count_ones()).sum()
    }

    /// The fragments in the set, ascending.
    pub fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        let end = self.len.min(8 * self.bytes.len() as u32);
        (0..end).filter(|index| self.contains(*index))
    }
}

impl FromIterator<bool> for Bitmap {
    fn from_iter<I: IntoIterator<Item = bool>>(bits: I) -> Self {
        let bits: Vec<bool> = bits.into_iter().take(Self::MAX_LEN as usize).collect();
        let mut set = Self::new(bits.len() as u32);
        for (index, bit) in (0..).zip(bits) {
            if bit {
                set.insert(index);
            }
        }
        set
    }
}

impl fmt::Debug for Bitmap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Bitmap({} of {})", self.count(), self.len)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a panic is how a test fails")]
mod tests {
    use super::*;

    #[test]
    fn what_a_stranger_claims_takes_no_memory() {
        let claimed = Bitmap::from_bytes(Bitmap::MAX_LEN, &[]).unwrap();
        assert_eq!((claimed.len(), claimed.count()), (Bitmap::MAX_LEN, 0));
        assert_eq!(claimed.bytes.capacity(), 0);
        // Nor is it passed on as more than it was.
        assert_eq!(claimed.wire_len(), 0);
        let zeros = vec![0; Bitmap::MAX_LEN as usize / 8];
        let said = Bitmap::from_bytes(Bitmap::MAX_LEN, &zeros).unwrap();
        assert_eq!(said, claimed);
        assert_eq!(said.bytes.capacity(), 0);
    }

    #[test]
    fn the_same_set_is_equal_whatever_it_has_been_before() {
        for len in [1, 7, 8, 9, 64, 70] {
            let mut set = Bitmap::full(len);
            assert_eq!(
                (set.count(), set.to_bytes().len()),
                (len, set.whole_bytes())
            );
            assert_eq!(Bitmap::from_bytes(len, &set.to_bytes()).unwrap(), set);
            for index in (1..len).rev() {
                assert!(set.remove(index));
            }
            let mut first = Bitmap::new(len);
            first.insert(0);
            assert_eq!(set, first);
            assert_eq!(set.bytes, [1]);
            // Those who know no shorter form expect all bytes.
            assert_eq!(set.to_bytes().len(), set.whole_bytes());
            let mut joined = Bitmap::new(len);
            joined.insert_all(&Bitmap::full(100));
            assert_eq!(joined, Bitmap::full(len));
        }
    }
}
