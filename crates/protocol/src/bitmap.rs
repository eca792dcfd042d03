use std::fmt;

/// A set of fragments: one bit for each fragment of the model, in the order of its manifest.
///
/// At most [`Bitmap::MAX_LEN`] bits long, so that a stranger's claim about an enormous model costs nothing.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Bitmap {
    len: u32,
    /// Bit `i` is bit `i % 8` of byte `i / 8`. Exactly `len.div_ceil(8)` bytes; the bits after `len` are zero.
    bytes: Vec<u8>,
}

impl Bitmap {
    /// The most bits a bitmap can have: twenty times the fragments of the largest model this project plans for.
    pub const MAX_LEN: u32 = 1 << 20;

    /// No fragment of a model of `len` fragments. More than [`Bitmap::MAX_LEN`] are cut off.
    #[must_use]
    pub fn new(len: u32) -> Self {
        let len = len.min(Self::MAX_LEN);
        Self {
            len,
            bytes: vec![0; len.div_ceil(8) as usize],
        }
    }

    /// All fragments of a model of `len` fragments.
    #[must_use]
    pub fn full(len: u32) -> Self {
        let mut all = Self::new(len);
        for index in 0..all.len {
            all.insert(index);
        }
        all
    }

    /// A bitmap from its wire form, if that is one.
    pub(crate) fn from_bytes(len: u32, bytes: &[u8]) -> Option<Self> {
        if len > Self::MAX_LEN || bytes.len() != len.div_ceil(8) as usize {
            return None;
        }
        let spare = (8 - len % 8) % 8;
        if bytes
            .last()
            .is_some_and(|last| last.leading_zeros() < spare)
        {
            return None;
        }
        Some(Self {
            len,
            bytes: bytes.to_vec(),
        })
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// How many fragments the model has.
    #[must_use]
    pub fn len(&self) -> u32 {
        self.len
    }

    /// Whether no fragment is in the set.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bytes.iter().all(|byte| *byte == 0)
    }

    /// Whether fragment `index` is in the set. Beyond the end nothing is.
    #[must_use]
    pub fn contains(&self, index: u32) -> bool {
        index < self.len && self.bytes[index as usize / 8] & (1 << (index % 8)) != 0
    }

    /// Puts fragment `index` into the set; says whether that changed anything. Beyond the end nothing happens.
    pub fn insert(&mut self, index: u32) -> bool {
        let changes = index < self.len && !self.contains(index);
        if changes {
            self.bytes[index as usize / 8] |= 1 << (index % 8);
        }
        changes
    }

    /// Takes fragment `index` out of the set; says whether that changed anything.
    pub fn remove(&mut self, index: u32) -> bool {
        let changes = self.contains(index);
        if changes {
            self.bytes[index as usize / 8] &= !(1 << (index % 8));
        }
        changes
    }

    /// Puts all that is in another set into this one, as far as this one goes.
    pub fn insert_all(&mut self, other: &Self) {
        for (mine, theirs) in self.bytes.iter_mut().zip(&other.bytes) {
            *mine |= theirs;
        }
        let spare = (8 - self.len % 8) % 8;
        if let Some(last) = self.bytes.last_mut() {
            *last &= u8::MAX >> spare;
        }
    }

    /// How many fragments are in the set.
    #[must_use]
    pub fn count(&self) -> u32 {
        self.bytes.iter().map(|byte| byte.count_ones()).sum()
    }

    /// The fragments in the set, ascending.
    pub fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        (0..self.len).filter(|index| self.contains(*index))
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
