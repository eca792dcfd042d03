//! The words of this crate as types: who, what, which request.

use std::fmt;
use std::sync::Arc;

/// A peer's name as the network layer writes it; opaque here, only compared and hashed.
///
/// Cloning is cheap: a name is shared, not copied.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerId(Arc<[u8]>);

impl PeerId {
    /// Wraps the bytes the network layer uses as a peer's name.
    #[must_use]
    pub fn new(bytes: &[u8]) -> Self {
        Self(bytes.into())
    }

    /// The bytes given to [`PeerId::new`].
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The tail: libp2p names of one key type all begin alike.
        write!(f, "peer ")?;
        let tail = self.0.len().saturating_sub(4);
        for byte in self.0.iter().skip(tail) {
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

/// A fragment by its place in the manifest: bitmaps and requests use it, the network uses the [`ContentId`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FragmentIndex(pub u32);

/// A BLAKE3 digest that names content: a fragment, or the manifest of a model.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ContentId(pub [u8; 32]);

impl fmt::Display for ContentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for byte in self.0 {
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for ContentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for byte in &self.0[..4] {
            write!(f, "{byte:02x}")?;
        }
        write!(f, "…")
    }
}

/// One of our own compute requests, named by the caller of [`Node::submit`](crate::Node::submit).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub u64);

/// A piece of work handed to the shell, to be named again when it is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

/// One of our own downloads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DownloadId(pub u64);

/// Who computes, or computed, an answer.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Worker {
    /// This node itself.
    Local,
    /// A peer.
    Peer(PeerId),
}

/// What is known of one fragment before anybody holds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FragmentInfo {
    /// Its name by content.
    pub content: ContentId,
    /// The length of the fragment file.
    pub bytes: u64,
    /// Every token needs it (as opposed to an expert's fragment, which only some tokens need).
    pub always_active: bool,
}

/// The fragments of a model in the manifest's order, as far as this crate has to know them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Catalogue {
    /// One entry per fragment; the position is the [`FragmentIndex`].
    pub fragments: Vec<FragmentInfo>,
}

impl Catalogue {
    /// The fragment at `index`, if the model has so many.
    #[must_use]
    pub fn get(&self, index: FragmentIndex) -> Option<&FragmentInfo> {
        self.fragments.get(index.0 as usize)
    }

    /// How many fragments the model has.
    #[must_use]
    pub fn len(&self) -> u32 {
        // More than u32::MAX fragments do not fit into any manifest.
        u32::try_from(self.fragments.len()).unwrap_or(u32::MAX)
    }

    /// Whether the model has no fragments.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.fragments.is_empty()
    }

    /// How many fragments every token needs.
    #[must_use]
    pub fn always_active(&self) -> usize {
        self.fragments
            .iter()
            .filter(|info| info.always_active)
            .count()
    }

    /// All indices in order.
    pub fn indices(&self) -> impl Iterator<Item = FragmentIndex> + use<> {
        (0..self.len()).map(FragmentIndex)
    }
}
