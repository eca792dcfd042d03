use std::{fmt, str::FromStr};

use cid::Cid;
use multihash::Multihash;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Multicodec of plain bytes.
const RAW: u64 = 0x55;
/// Multicodec of BLAKE3.
const BLAKE3: u64 = 0x1e;

/// A text or a byte string is not the id of a fragment or model.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// Not a content identifier at all.
    #[error("not a content identifier (CID)")]
    NotACid,
    /// A content identifier of another kind.
    #[error("not a version 1 CID of raw bytes with a 32-byte BLAKE3 digest")]
    OtherKind,
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub [u8; 32]);

        impl $name {
            /// The id of these bytes.
            pub fn of(bytes: &[u8]) -> Self {
                Self(*blake3::hash(bytes).as_bytes())
            }

            /// The BLAKE3 digest.
            pub fn digest(&self) -> &[u8; 32] {
                &self.0
            }

            /// The content identifier's bytes.
            pub fn to_cid_bytes(&self) -> Vec<u8> {
                to_cid(&self.0).to_bytes()
            }

            /// The id with these content identifier's bytes.
            pub fn from_cid_bytes(bytes: &[u8]) -> Result<Self, IdError> {
                from_cid(&Cid::try_from(bytes).map_err(|_| IdError::NotACid)?).map(Self)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                to_cid(&self.0).fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{self}")
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                from_cid(&Cid::try_from(text).map_err(|_| IdError::NotACid)?).map(Self)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                text.parse().map_err(de::Error::custom)
            }
        }
    };
}

id! {
    /// The name of a fragment: the BLAKE3 digest of its file, written as a content identifier
    /// (version 1, raw bytes, base 32).
    FragmentId
}

id! {
    /// The name of a model: the BLAKE3 digest of its manifest, written as a content identifier.
    ModelId
}

impl From<ModelId> for FragmentId {
    /// A manifest is content too, and is fetched like a fragment.
    fn from(id: ModelId) -> Self {
        Self(id.0)
    }
}

impl FragmentId {
    /// What the names of fragments' files end in.
    pub const EXTENSION: &str = "fragment";

    /// How the fragment's file is called, in folders and on [web seeds](crate::Manifest::web_seeds).
    pub fn file_name(&self) -> String {
        format!("{self}.{}", Self::EXTENSION)
    }
}

fn to_cid(digest: &[u8; 32]) -> Cid {
    let hash = Multihash::wrap(BLAKE3, digest).expect("32 bytes fit into a multihash of 64");
    Cid::new_v1(RAW, hash)
}

fn from_cid(cid: &Cid) -> Result<[u8; 32], IdError> {
    let hash = cid.hash();
    if cid.version() != cid::Version::V1 || cid.codec() != RAW || hash.code() != BLAKE3 {
        return Err(IdError::OtherKind);
    }
    hash.digest().try_into().map_err(|_| IdError::OtherKind)
}
