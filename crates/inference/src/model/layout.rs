use std::ops::Range;

use fragments::{FragmentId, Manifest, Part, PartKind, Role};
use kernels::{Encoding, encoding_for};

use super::Error;
use crate::hyperparameters::Hyperparameters;

/// Which part of which fragment does what.
#[derive(Debug)]
pub(crate) struct Layout {
    /// Rows of the embedding in order.
    pub(crate) embedding: Vec<Rows>,
    /// Rows of the output head in order: the embedding's, where the model has no other.
    pub(crate) head: Vec<Rows>,
    pub(crate) layers: Vec<Layer>,
    /// Indices of the fragments with small tensors.
    pub(super) small: Vec<u32>,
}

/// Where a part is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Address {
    pub(crate) fragment: FragmentId,
    pub(crate) part: u16,
}

#[derive(Clone, Debug)]
pub(crate) struct Rows {
    pub(crate) rows: Range<usize>,
    pub(crate) address: Address,
    /// What the rows' activations are rounded to.
    pub(crate) encoding: Encoding,
}

/// The parts of a layer in the plan's order, which is that of the sums.
#[derive(Clone, Debug, Default)]
pub(crate) struct Layer {
    pub(crate) attention: Vec<Attention>,
    /// One list for each expert; a single one in a dense layer.
    pub(crate) feed_forward: Vec<Vec<FeedForward>>,
}

#[derive(Clone, Debug)]
pub(crate) struct Attention {
    pub(crate) address: Address,
    pub(crate) kv_heads: Range<usize>,
    /// What q, k and v share; single precision if they share none.
    pub(crate) input: Encoding,
    /// The output projection's.
    pub(crate) output: Encoding,
}

#[derive(Clone, Debug)]
pub(crate) struct FeedForward {
    pub(crate) address: Address,
    columns: Range<usize>,
    /// What gate and up share.
    pub(crate) input: Encoding,
}

impl Layout {
    pub(super) fn new(manifest: &Manifest, h: &Hyperparameters) -> Result<Self, Error> {
        let experts = h.experts.map_or(1, |experts| experts.count);
        let layer = Layer {
            attention: Vec::new(),
            feed_forward: vec![Vec::new(); experts],
        };
        let mut layout = Self {
            embedding: Vec::new(),
            head: Vec::new(),
            layers: vec![layer; h.layers as usize],
            small: Vec::new(),
        };
        for (fragment, part, contents) in manifest.plan().parts() {
            let id = manifest.fragment_id(fragment);
            let id = id.ok_or_else(|| Error::Incomplete(format!("fragment {fragment}")))?;
            layout.add(manifest, fragment, Address { fragment: id, part }, contents);
        }
        if layout.head.is_empty() {
            layout.head = layout.embedding.clone();
        }
        layout.check(h)?;
        Ok(layout)
    }

    fn add(&mut self, manifest: &Manifest, fragment: u32, address: Address, part: &Part) {
        let encoding = |roles: &[Role]| {
            let slices = part
                .slices
                .iter()
                .filter(|slice| roles.contains(&slice.role));
            let tensors =
                slices.filter_map(|slice| manifest.header().tensors.get(slice.tensor as usize));
            let mut encodings = tensors.filter_map(|tensor| encoding_for(tensor.ty));
            let first = encodings.next().unwrap_or(Encoding::F32);
            if encodings.all(|other| other == first) {
                first
            } else {
                Encoding::F32
            }
        };
        match &part.kind {
            PartKind::Embedding { rows } => self.embedding.push(Rows {
                rows: wide(rows),
                address,
                encoding: encoding(&[Role::Embedding]),
            }),
            PartKind::OutputHead { rows } => self.head.push(Rows {
                rows: wide(rows),
                address,
                encoding: encoding(&[Role::Output]),
            }),
            PartKind::Small { .. } => {
                if self.small.last() != Some(&fragment) {
                    self.small.push(fragment);
                }
            }
            PartKind::Attention { layer, kv_heads } => {
                if let Some(layer) = self.layers.get_mut(*layer as usize) {
                    layer.attention.push(Attention {
                        address,
                        kv_heads: wide(kv_heads),
                        input: encoding(&[Role::Q, Role::K, Role::V]),
                        output: encoding(&[Role::AttentionOutput]),
                    });
                }
            }
            PartKind::FeedForward {
                layer,
                expert,
                columns,
            } => {
                let layer = self.layers.get_mut(*layer as usize);
                let expert = expert.unwrap_or(0) as usize;
                if let Some(parts) = layer.and_then(|layer| layer.feed_forward.get_mut(expert)) {
                    parts.push(FeedForward {
                        address,
                        columns: wide(columns),
                        input: encoding(&[Role::Gate, Role::Up]),
                    });
                }
            }
            PartKind::Opaque | PartKind::Gap { .. } => {}
        }
    }

    /// Checks that nothing is left out or there twice: a sum with a hole in it would be wrong unnoticed.
    fn check(&self, h: &Hyperparameters) -> Result<(), Error> {
        let incomplete = |what: String| Err(Error::Incomplete(what));
        for (what, rows) in [("embedding", &self.embedding), ("output head", &self.head)] {
            if !complete(rows.iter().map(|rows| &rows.rows), h.n_vocab) {
                return incomplete(format!("complete {what}"));
            }
        }
        for (index, layer) in self.layers.iter().enumerate() {
            if !complete(
                layer.attention.iter().map(|part| &part.kv_heads),
                h.n_head_kv,
            ) {
                return incomplete(format!("complete attention in layer {index}"));
            }
            for (expert, parts) in layer.feed_forward.iter().enumerate() {
                if !complete(parts.iter().map(|part| &part.columns), h.n_ff) {
                    return incomplete(format!("complete expert {expert} in layer {index}"));
                }
            }
        }
        Ok(())
    }
}

/// Whether the ranges follow each other from 0 to `end`.
fn complete<'a>(mut ranges: impl Iterator<Item = &'a Range<usize>>, end: usize) -> bool {
    let reached = ranges.try_fold(0, |at, range| (range.start == at).then_some(range.end));
    reached == Some(end)
}

fn wide(range: &Range<u32>) -> Range<usize> {
    range.start as usize..range.end as usize
}
