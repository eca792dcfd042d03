use std::ops::Range;

use architecture::Role;
use gguf::{Header, TensorType};
use prost::Message;

use crate::{
    description::{self, MAX_DESCRIPTION, PREFIX_LEN},
    id::FragmentId,
    part::{Class, PartKind},
    plan::FragmentPlan,
};

const MAGIC: &[u8; 7] = b"IAP2P-F";
const VERSION: u8 = 2;

/// A fragment file: a prefix, a description of its parts, and the parts' bytes.
///
/// The description is complete: whoever holds a fragment can compute with it without the manifest. What is
/// read here is well formed (every slice lies inside its tensor, and its bytes are there), but only
/// [`open_verified`](Self::open_verified) says that it is the fragment one asked for.
#[derive(Clone, Debug)]
pub struct Fragment<B> {
    bytes: B,
    class: Class,
    parts: Vec<StoredPart>,
    payload_start: usize,
}

/// A part of a fragment, as the fragment describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredPart {
    /// What it is for.
    pub kind: PartKind,
    /// Its slices, in the order of [`Part::slices`](crate::Part::slices).
    pub slices: Vec<StoredSlice>,
}

impl StoredPart {
    /// The first slice with this role.
    pub fn slice(&self, role: Role) -> Option<&StoredSlice> {
        self.slices.iter().find(|slice| slice.role == role)
    }
}

/// A slice of a tensor, as the fragment describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredSlice {
    /// The tensor's name.
    pub tensor: String,
    /// How its weights are stored.
    pub ty: TensorType,
    /// The whole tensor's dimensions; the first is the length of a row.
    pub shape: Vec<u64>,
    /// What it is in the model.
    pub role: Role,
    /// The rows.
    pub rows: Range<u64>,
    /// The columns.
    pub columns: Range<u64>,
    /// Where the slice is in the payload.
    pub offset: u32,
    /// Its bytes.
    pub len: u32,
}

impl StoredSlice {
    /// Number of rows.
    pub fn row_count(&self) -> usize {
        // The slice's bytes are in memory and each row has some, so it fits.
        (self.rows.end - self.rows.start) as usize
    }

    /// Number of columns.
    pub fn column_count(&self) -> usize {
        // As above: a block has at most 256 weights and at least 17 bytes, or one weight and one byte.
        (self.columns.end - self.columns.start) as usize
    }
}

/// Bytes are not a fragment, or not the one that was asked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FragmentError {
    /// The first bytes are not those of a fragment.
    #[error("not a fragment file")]
    NotAFragment,
    /// A version of the format this crate does not read.
    #[error("version {0} of the fragment format is not supported")]
    UnsupportedVersion(u8),
    /// The file is shorter or longer than it says.
    #[error("the fragment has {found} bytes instead of {expected}")]
    WrongLength {
        /// What its description adds up to.
        expected: u64,
        /// What there is.
        found: u64,
    },
    /// The description cannot be decoded.
    #[error("the fragment's description cannot be decoded: {0}")]
    Malformed(String),
    /// The description is impossible.
    #[error("the fragment's description is invalid: {0}")]
    Invalid(&'static str),
    /// The content has another digest than asked for.
    #[error("fragment {expected} is damaged: its content is that of {found}")]
    WrongContent {
        /// What was asked for.
        expected: FragmentId,
        /// What the content is.
        found: FragmentId,
    },
    /// The content is not what the model's manifest says about the fragment.
    #[error("fragment {0} does not hold what its model's manifest says")]
    NotAsPlanned(FragmentId),
}

impl<B: AsRef<[u8]>> Fragment<B> {
    /// Reads a fragment. Does not check its digest.
    pub fn open(bytes: B) -> Result<Self, FragmentError> {
        let all = bytes.as_ref();
        let found = all.len() as u64;
        let prefix = all
            .first_chunk::<PREFIX_LEN>()
            .ok_or(FragmentError::NotAFragment)?;
        if prefix[..7] != *MAGIC {
            return Err(FragmentError::NotAFragment);
        }
        if prefix[7] != VERSION {
            return Err(FragmentError::UnsupportedVersion(prefix[7]));
        }
        let len = u32::from_le_bytes([prefix[8], prefix[9], prefix[10], prefix[11]]);
        if u64::from(len) > MAX_DESCRIPTION {
            return Err(FragmentError::Invalid("too long"));
        }
        let payload_start = PREFIX_LEN + len as usize;
        let description = all
            .get(PREFIX_LEN..payload_start)
            .ok_or(FragmentError::WrongLength {
                expected: payload_start as u64,
                found,
            })?;
        let (class, parts, payload_len) = description::read(description)?;
        let expected = payload_start as u64 + u64::from(payload_len);
        if expected != found {
            return Err(FragmentError::WrongLength { expected, found });
        }
        Ok(Self {
            bytes,
            class,
            parts,
            payload_start,
        })
    }

    /// Reads a fragment and checks that it is this one.
    pub fn open_verified(bytes: B, id: &FragmentId) -> Result<Self, FragmentError> {
        verify(bytes.as_ref(), id)?;
        Self::open(bytes)
    }

    /// The id of its content: hashes all of it.
    pub fn id(&self) -> FragmentId {
        FragmentId::of(self.bytes.as_ref())
    }

    /// When it is needed.
    pub fn class(&self) -> Class {
        self.class
    }

    /// Its parts.
    pub fn parts(&self) -> &[StoredPart] {
        &self.parts
    }

    /// The part with this index.
    pub fn part(&self, index: u16) -> Option<&StoredPart> {
        self.parts.get(usize::from(index))
    }

    /// The bytes of all its slices.
    pub fn payload(&self) -> &[u8] {
        &self.bytes.as_ref()[self.payload_start..]
    }

    /// The bytes of one of its slices.
    ///
    /// # Panics
    /// May panic if the slice is another fragment's.
    pub fn slice_bytes(&self, slice: &StoredSlice) -> &[u8] {
        &self.payload()[slice.offset as usize..][..slice.len as usize]
    }

    /// The file's bytes.
    pub fn bytes(&self) -> &B {
        &self.bytes
    }

    /// The file's bytes.
    pub fn into_bytes(self) -> B {
        self.bytes
    }

    /// Whether it describes itself exactly as the plan does.
    pub(crate) fn is_as_planned(&self, header: &Header, plan: &FragmentPlan) -> bool {
        let start = prefix_and_description(header, plan);
        self.bytes.as_ref().starts_with(&start) && start.len() == self.payload_start
    }
}

/// Checks that `bytes` are the fragment `id`.
pub(crate) fn verify(bytes: &[u8], id: &FragmentId) -> Result<(), FragmentError> {
    let found = FragmentId::of(bytes);
    if found == *id {
        Ok(())
    } else {
        Err(FragmentError::WrongContent {
            expected: *id,
            found,
        })
    }
}

/// Everything in the planned fragment's file before its payload.
pub(crate) fn prefix_and_description(header: &Header, plan: &FragmentPlan) -> Vec<u8> {
    let description = description::describe(header, plan.class, &plan.parts).encode_to_vec();
    let mut bytes = Vec::with_capacity(plan.file_len as usize);
    bytes.extend_from_slice(MAGIC);
    bytes.push(VERSION);
    // Descriptions are at most MAX_DESCRIPTION long.
    bytes.extend_from_slice(&(description.len() as u32).to_le_bytes());
    bytes.extend_from_slice(&description);
    bytes
}
