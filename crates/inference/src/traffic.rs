//! What a token costs a network, by a model's header alone: requests, bytes, and how often one waits for another.

use architecture::Role;
use fragments::{Part, PartKind, Plan};
use gguf::Header;
use kernels::{Activations, Encoding, encoding_for};
use serde::Serialize;

use crate::hyperparameters::Hyperparameters;

/// What one token costs when somebody else holds every fragment it needs, and the executor only what is small.
///
/// Of experts it uses as many as the model says, and each as likely as the others.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Traffic {
    /// What fragments that every token needs are asked.
    pub always_active: Share,
    /// What fragments that some tokens need are asked.
    pub conditional: Share,
    /// Times that requests wait for the answers to others, if the executor holds what is small.
    pub round_trips: u32,
    /// The same, if it holds everything that every token needs.
    pub round_trips_for_experts: u32,
    /// The layers one by one; embedding and output head are not among them.
    pub layers: Vec<LayerTraffic>,
}

/// What one token asks of a layer.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct LayerTraffic {
    /// The layer.
    pub layer: u32,
    /// Fragments that every token needs, wholly or in part of this layer.
    pub always_active_fragments: u32,
    /// Fragments that some tokens need.
    pub conditional_fragments: u32,
    /// What is asked of both.
    pub asked: Share,
    /// Times that requests wait for the answers to others.
    pub round_trips: u32,
}

/// Requests and bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Share {
    /// Requests; of experts the mean number.
    pub requests: f64,
    /// Bytes of activations to those who compute.
    pub sent: f64,
    /// Bytes of results from them.
    pub received: f64,
    /// Bytes of weights they read.
    pub weights: f64,
}

impl Share {
    fn add(&mut self, other: Self, times: f64) {
        self.requests += other.requests * times;
        self.sent += other.sent * times;
        self.received += other.received * times;
        self.weights += other.weights * times;
    }

    /// A request with one row of so many values to weights that want them encoded so, and one of so many back.
    fn request(&mut self, encoding: Encoding, input: usize, output: usize) {
        self.requests += 1.0;
        self.sent += Activations::byte_len(encoding, input, 1).unwrap_or(4 * input) as f64;
        self.received += (4 * output) as f64;
    }
}

impl Traffic {
    /// Of a model with this header, cut by this plan.
    pub fn new(header: &Header, plan: &Plan, h: &Hyperparameters) -> Self {
        let mut traffic = Self {
            layers: (0..h.layers)
                .map(|layer| LayerTraffic {
                    layer,
                    ..LayerTraffic::default()
                })
                .collect(),
            ..Self::default()
        };
        let tied = !plan
            .parts()
            .any(|(.., part)| matches!(part.kind, PartKind::OutputHead { .. }));
        for fragment in &plan.fragments {
            let mut counted = None;
            for part in &fragment.parts {
                let share = share(header, part, h, tied);
                let expert = matches!(
                    part.kind,
                    PartKind::FeedForward {
                        expert: Some(_),
                        ..
                    }
                );
                let layer = part
                    .kind
                    .layer()
                    .filter(|_| !matches!(part.kind, PartKind::Small { .. }));
                let layer = layer.and_then(|layer| traffic.layers.get_mut(layer as usize));
                let times = match (&h.experts, expert) {
                    (Some(experts), true) => experts.used as f64 / experts.count as f64,
                    _ => 1.0,
                };
                if let Some(layer) = layer {
                    layer.asked.add(share, times);
                    if counted.replace(layer.layer) != Some(layer.layer) {
                        *if expert {
                            &mut layer.conditional_fragments
                        } else {
                            &mut layer.always_active_fragments
                        } += 1;
                    }
                }
                if expert {
                    traffic.conditional.add(share, times);
                } else {
                    traffic.always_active.add(share, times);
                }
            }
        }
        // Queries, keys and values; what heads see; feed-forward layer or experts. Latents come before all that.
        let each = if h.latent.is_some() { 4 } else { 3 };
        for layer in &mut traffic.layers {
            layer.round_trips = each;
            traffic.round_trips_for_experts += u32::from(h.experts_of(layer.layer).is_some());
        }
        // Embedding first, output head last.
        traffic.round_trips = 2 + each * h.layers;
        traffic
    }
}

/// What one token asks of a part.
fn share(header: &Header, part: &Part, h: &Hyperparameters, tied: bool) -> Share {
    let mut share = Share::default();
    let encoding = |role: Role| {
        let slice = part.slices.iter().find(|slice| slice.role == role);
        let ty = slice.map(|slice| header.tensors[slice.tensor as usize].ty);
        ty.and_then(encoding_for).unwrap_or(Encoding::F32)
    };
    let kept = h.kept();
    let all = || part.slices.iter().map(|slice| f64::from(slice.len)).sum();
    match &part.kind {
        PartKind::Embedding { rows } => {
            // One row of one part; as an output head all of them.
            let of_all = rows.len() as f64 / h.n_vocab as f64;
            let mut row = Share::default();
            row.request(Encoding::F32, 1, h.n_embd);
            row.weights = all() / rows.len().max(1) as f64;
            share.add(row, of_all);
            if tied {
                share.request(encoding(Role::Embedding), h.n_embd, rows.len());
                share.weights += all();
            }
        }
        PartKind::OutputHead { rows } => {
            share.request(encoding(Role::Output), h.n_embd, rows.len());
            share.weights = all();
        }
        PartKind::Attention { kv_heads, .. } => {
            let heads = kv_heads.len();
            let width = heads * (h.group() * h.head_dim_k + h.head_dim_k + h.head_dim_v);
            share.request(encoding(Role::Q), h.n_embd, width);
            let seen = heads * h.group() * h.head_dim_v;
            share.request(encoding(Role::AttentionOutput), seen, h.n_embd);
            share.weights = all();
        }
        PartKind::Latent { rows, .. } => {
            let role = part.slices.first().map_or(Role::Other, |slice| slice.role);
            share.request(encoding(role), h.n_embd, rows.len());
            share.weights = all();
        }
        PartKind::LatentAttention { heads, .. } => {
            let input = h.latent.and_then(|latent| latent.queries);
            let (queries, seen) = (heads.len() * kept.key, heads.len() * kept.value);
            share.request(encoding(Role::QueryUp), input.unwrap_or(h.n_embd), queries);
            share.request(encoding(Role::ValueUp), seen, h.n_embd);
            share.weights = all();
        }
        PartKind::FeedForward { .. } => {
            share.request(encoding(Role::Gate), h.n_embd, h.n_embd);
            share.weights = all();
        }
        PartKind::Small { .. } | PartKind::Opaque | PartKind::Gap { .. } => {}
    }
    share
}
