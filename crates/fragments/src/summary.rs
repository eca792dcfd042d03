use std::collections::BTreeMap;

use gguf::Header;
use serde::Serialize;

use crate::{
    id::{FragmentId, ModelId},
    manifest::Manifest,
    part::{Class, PartKind},
    plan::{FragmentPlan, Plan},
};

/// What a model consists of and how it is cut, for people and programs to look at.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Summary {
    /// The model's id; none for a file that was only planned, since ids follow from the content.
    pub model: Option<ModelId>,
    /// `general.name` of the file.
    pub name: Option<String>,
    /// `general.architecture` of the file.
    pub architecture: Option<String>,
    /// Bytes of the model's file.
    pub file_len: u64,
    /// Its tensors by type.
    pub tensor_types: Vec<TensorTypeSummary>,
    /// Bytes of a fragment at most.
    pub fragment_size: u32,
    /// The smallest fragment size the model can be cut with.
    pub smallest_fragment_size: u64,
    /// Number of fragments.
    pub fragments: usize,
    /// Bytes of all fragments.
    pub bytes: u64,
    /// How full the fragments are, in per cent of the fragment size.
    pub fullness: f64,
    /// Fragments by what they are for, in the plan's order.
    pub kinds: Vec<KindSummary>,
    /// What belongs to each layer.
    pub layers: Vec<LayerSummary>,
}

/// The tensors of one type.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TensorTypeSummary {
    /// The type's name.
    pub name: &'static str,
    /// How many tensors.
    pub tensors: usize,
    /// Their bytes.
    pub bytes: u64,
}

/// The fragments of one kind.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct KindSummary {
    /// What their first part is for.
    pub kind: Kind,
    /// When they are needed.
    pub class: Class,
    /// How many.
    pub fragments: usize,
    /// Bytes of their files.
    pub bytes: u64,
    /// How full they are, in per cent of the fragment size.
    pub fullness: f64,
}

/// The bytes of tensors that belong to one layer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct LayerSummary {
    /// The layer.
    pub layer: u32,
    /// Fragments with something of it.
    pub fragments: usize,
    /// Norms, router, biases.
    pub small: u64,
    /// Attention.
    pub attention: u64,
    /// The dense feed-forward layer, or the expert all tokens share.
    pub feed_forward: u64,
    /// Experts.
    pub experts: u64,
}

/// What a fragment is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Small tensors.
    Small,
    /// The token embedding.
    Embedding,
    /// The output head.
    OutputHead,
    /// Attention.
    Attention,
    /// Dense feed-forward layers.
    FeedForward,
    /// Experts.
    Expert,
    /// What the plan does not understand.
    Opaque,
}

impl Kind {
    /// What parts of this kind are for.
    pub fn of(part: &PartKind) -> Self {
        match part {
            PartKind::Small { .. } => Self::Small,
            PartKind::Embedding { .. } => Self::Embedding,
            PartKind::OutputHead { .. } => Self::OutputHead,
            PartKind::Attention { .. }
            | PartKind::Latent { .. }
            | PartKind::LatentAttention { .. } => Self::Attention,
            PartKind::FeedForward { expert: None, .. } => Self::FeedForward,
            PartKind::FeedForward {
                expert: Some(_), ..
            } => Self::Expert,
            PartKind::Opaque | PartKind::Gap { .. } => Self::Opaque,
        }
    }
}

/// One fragment.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FragmentSummary {
    /// Its index in the manifest.
    pub index: u32,
    /// Its id.
    pub id: FragmentId,
    /// When it is needed.
    pub class: Class,
    /// Bytes of its file.
    pub bytes: u32,
    /// What its parts are for.
    pub parts: Vec<PartKind>,
}

impl Summary {
    /// Of a model that was cut.
    pub fn of_manifest(manifest: &Manifest) -> Self {
        let (header, plan) = (manifest.header(), manifest.plan());
        let summary = Self::of_plan(header, manifest.file_len(), manifest.fragment_size(), plan);
        Self {
            model: Some(manifest.id()),
            ..summary
        }
    }

    /// Of a model as it would be cut by `plan`, which needs its header only.
    pub fn of_plan(header: &Header, file_len: u64, fragment_size: u32, plan: &Plan) -> Self {
        let text = |key| header.metadata.str(key).ok().map(str::to_owned);
        let fullness = |bytes: u64, fragments: usize| match fragments {
            0 => 0.0,
            _ => 100.0 * bytes as f64 / (fragments as f64 * f64::from(fragment_size)),
        };
        let mut kinds: BTreeMap<(Kind, Class), (usize, u64)> = BTreeMap::new();
        for fragment in &plan.fragments {
            if let Some(part) = fragment.parts.first() {
                let (count, bytes) = kinds
                    .entry((Kind::of(&part.kind), fragment.class))
                    .or_default();
                *count += 1;
                *bytes += u64::from(fragment.file_len);
            }
        }
        let bytes = kinds.values().map(|&(_, bytes)| bytes).sum();
        let kinds = kinds
            .into_iter()
            .map(|((kind, class), (fragments, bytes))| {
                let fullness = fullness(bytes, fragments);
                KindSummary {
                    kind,
                    class,
                    fragments,
                    bytes,
                    fullness,
                }
            });
        Self {
            model: None,
            name: text("general.name"),
            architecture: text("general.architecture"),
            file_len,
            tensor_types: tensor_types(header),
            fragment_size,
            smallest_fragment_size: Plan::smallest_fragment_size(header, file_len),
            fragments: plan.fragments.len(),
            bytes,
            fullness: fullness(bytes, plan.fragments.len()),
            kinds: kinds.collect(),
            layers: layers(&plan.fragments),
        }
    }
}

/// All fragments of a model one by one.
pub fn fragment_summaries(manifest: &Manifest) -> impl Iterator<Item = FragmentSummary> {
    let fragments = manifest
        .plan()
        .fragments
        .iter()
        .zip(manifest.fragment_ids());
    (0..).zip(fragments).map(|(index, (fragment, &id))| {
        let FragmentPlan {
            class,
            file_len: bytes,
            ref parts,
            ..
        } = *fragment;
        FragmentSummary {
            index,
            id,
            class,
            bytes,
            parts: parts.iter().map(|part| part.kind.clone()).collect(),
        }
    })
}

fn tensor_types(header: &Header) -> Vec<TensorTypeSummary> {
    let mut types: BTreeMap<_, (usize, u64)> = BTreeMap::new();
    for tensor in &header.tensors {
        let (count, bytes) = types.entry(tensor.ty).or_default();
        *count += 1;
        *bytes += tensor.byte_len();
    }
    let summary = |(ty, (tensors, bytes)): (gguf::TensorType, _)| TensorTypeSummary {
        name: ty.name(),
        tensors,
        bytes,
    };
    types.into_iter().map(summary).collect()
}

fn layers(fragments: &[FragmentPlan]) -> Vec<LayerSummary> {
    let mut layers: BTreeMap<u32, (LayerSummary, usize)> = BTreeMap::new();
    for (index, fragment) in fragments.iter().enumerate() {
        for part in &fragment.parts {
            let Some(number) = part.kind.layer() else {
                continue;
            };
            let (layer, last) = layers.entry(number).or_insert_with(|| {
                let layer = LayerSummary {
                    layer: number,
                    ..LayerSummary::default()
                };
                (layer, usize::MAX)
            });
            if *last != index {
                *last = index;
                layer.fragments += 1;
            }
            let bytes: u64 = part.slices.iter().map(|slice| u64::from(slice.len)).sum();
            match Kind::of(&part.kind) {
                Kind::Attention => layer.attention += bytes,
                Kind::FeedForward => layer.feed_forward += bytes,
                Kind::Expert => layer.experts += bytes,
                _ => layer.small += bytes,
            }
        }
    }
    layers.into_values().map(|(layer, _)| layer).collect()
}
