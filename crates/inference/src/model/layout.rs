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

/// The parts of a layer. Those of a sum are in the order of their heads or columns, which is that of its
/// leaves.
#[derive(Clone, Debug, Default)]
pub(crate) struct Layer {
    /// Rows of the projection to the queries' latent in order, in latent attention that has one.
    pub(crate) query_latent: Vec<Rows>,
    /// Rows of the projection to the latent of keys and values, in latent attention.
    pub(crate) key_value_latent: Vec<Rows>,
    pub(crate) attention: Vec<Attention>,
    /// The layer without experts, or the expert all tokens share; nothing where there is none.
    pub(crate) feed_forward: Vec<FeedForward>,
    /// One list for each expert.
    pub(crate) experts: Vec<Vec<FeedForward>>,
}

#[derive(Clone, Debug)]
pub(crate) struct Attention {
    pub(crate) address: Address,
    /// Key and value heads; in latent attention simply the heads.
    pub(crate) heads: Range<usize>,
    /// What the projections of the input share; single precision if they share none.
    pub(crate) input: Encoding,
    /// What the heads' results meet first: the output projection, or in latent attention the values'.
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
        let layer = |number| Layer {
            experts: vec![Vec::new(); h.experts_of(number).map_or(0, |experts| experts.count)],
            ..Layer::default()
        };
        let mut layout = Self {
            embedding: Vec::new(),
            head: Vec::new(),
            layers: (0..h.layers).map(layer).collect(),
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
        layout.sort();
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
            PartKind::Attention {
                layer,
                kv_heads: heads,
            } => {
                if let Some(layer) = self.layers.get_mut(*layer as usize) {
                    layer.attention.push(Attention {
                        address,
                        heads: wide(heads),
                        input: encoding(&[Role::Q, Role::K, Role::V]),
                        output: encoding(&[Role::AttentionOutput]),
                    });
                }
            }
            PartKind::LatentAttention { layer, heads } => {
                if let Some(layer) = self.layers.get_mut(*layer as usize) {
                    layer.attention.push(Attention {
                        address,
                        heads: wide(heads),
                        input: encoding(&[Role::Q, Role::QueryUp]),
                        output: encoding(&[Role::ValueUp]),
                    });
                }
            }
            PartKind::Latent { layer, rows } => {
                let layer = self.layers.get_mut(*layer as usize);
                let latent = |role| part.slices.iter().any(|slice| slice.role == role);
                let roles = [Role::QueryDown, Role::KeyValueDown];
                if let (Some(layer), Some(role)) = (layer, roles.into_iter().find(|&it| latent(it)))
                {
                    let of = match role {
                        Role::QueryDown => &mut layer.query_latent,
                        _ => &mut layer.key_value_latent,
                    };
                    of.push(Rows {
                        rows: wide(rows),
                        address,
                        encoding: encoding(&[role]),
                    });
                }
            }
            PartKind::FeedForward {
                layer,
                expert,
                columns,
            } => {
                let layer = self.layers.get_mut(*layer as usize);
                let parts = layer.and_then(|layer| match expert {
                    None => Some(&mut layer.feed_forward),
                    Some(expert) => layer.experts.get_mut(*expert as usize),
                });
                if let Some(parts) = parts {
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

    /// Brings parts into the order of what they hold: in the plan, some fill the room that others left.
    fn sort(&mut self) {
        for layer in &mut self.layers {
            for rows in [&mut layer.query_latent, &mut layer.key_value_latent] {
                rows.sort_by_key(|part| part.rows.start);
            }
            layer.attention.sort_by_key(|part| part.heads.start);
            for parts in layer.experts.iter_mut().chain([&mut layer.feed_forward]) {
                parts.sort_by_key(|part| part.columns.start);
            }
        }
    }

    /// Checks that nothing is left out or there twice: a sum with a hole in it would be wrong unnoticed.
    fn check(&self, h: &Hyperparameters) -> Result<(), Error> {
        for (what, parts) in [("embedding", &self.embedding), ("output head", &self.head)] {
            if !complete(parts.iter().map(|part| &part.rows), h.n_vocab) {
                return Err(Error::Incomplete(format!("complete {what}")));
            }
        }
        for (number, layer) in (0..).zip(&self.layers) {
            if let Some(what) = layer.incomplete(h, number) {
                return Err(Error::Incomplete(format!(
                    "complete {what} in layer {number}"
                )));
            }
        }
        Ok(())
    }
}

impl Layer {
    /// What the layer lacks, if anything.
    fn incomplete(&self, h: &Hyperparameters, number: u32) -> Option<String> {
        let rows = |parts: &[Rows], end| complete(parts.iter().map(|part| &part.rows), end);
        let columns =
            |parts: &[FeedForward], end| complete(parts.iter().map(|part| &part.columns), end);
        let queries = h.latent.and_then(|latent| latent.queries).unwrap_or(0);
        let kept = h.latent.map_or(0, |_| h.kept().key);
        let experts = h.experts_of(number);
        let always = match experts {
            Some(experts) => experts.shared,
            None => h.n_ff.unwrap_or(0),
        };
        let width = experts.map_or(0, |experts| experts.width);
        if !rows(&self.query_latent, queries) || !rows(&self.key_value_latent, kept) {
            return Some("latents".to_owned());
        }
        if !complete(self.attention.iter().map(|part| &part.heads), h.n_head_kv) {
            return Some("attention".to_owned());
        }
        if !columns(&self.feed_forward, always) {
            return Some("feed-forward layer".to_owned());
        }
        let expert = self
            .experts
            .iter()
            .position(|parts| !columns(parts, width))?;
        Some(format!("expert {expert}"))
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
