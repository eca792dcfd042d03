//! What a token asks of a model, step by step, from how its file is cut: as the planner of routes wants to know it.
//!
//! `swarm` knows nothing of transformers and `fragments` nothing of routes; this is what lies between them.

use architecture::Role;
use fragments::{PartKind, Plan};
use gguf::Header;
use swarm::{
    FragmentIndex,
    routing::{Choice, Layer, Part, Step},
    stages::Shape,
};

/// What a token asks of a model with this header, cut by this plan.
#[must_use]
pub fn shape(header: &Header, plan: &Plan) -> Shape {
    let number = |key: &str| {
        let architecture = header.metadata.str("general.architecture").ok()?;
        let value: Option<u32> = header
            .metadata
            .optional(&format!("{architecture}.{key}"))
            .ok()?;
        value
    };
    let used = number("expert_used_count").unwrap_or_default();
    let width = number("embedding_length").unwrap_or_default();
    Shape {
        layers: of_plan(header, plan, used as usize),
        state: ENVELOPE + width.saturating_mul(4),
    }
}

/// The steps of a layer: from the hidden state to latents (where attention has such), to heads, from what these see to
/// the layer's width, and through the feed-forward layer or the experts.
#[derive(Default)]
struct Steps {
    latents: Vec<Part>,
    heads: Vec<Part>,
    output: Vec<Part>,
    feed_forward: Vec<Part>,
    experts: Vec<Vec<Part>>,
}

/// Whether it is multiplied with what heads have seen.
fn is_behind_heads(role: Role) -> bool {
    matches!(role, Role::AttentionOutput | Role::ValueUp)
}

/// Bytes of a request beside the activations in it, about.
const ENVELOPE: u32 = 48;

/// The embedding, the layers of a plan, of whose experts each token uses so many, and the output head.
fn of_plan(header: &Header, plan: &Plan, used: usize) -> Vec<Layer> {
    let (mut embedding, mut head) = (Vec::new(), Vec::new());
    let mut embedding_rows = Vec::new();
    let mut layers: Vec<Steps> = Vec::new();
    for (fragment, _, part) in plan.parts() {
        let weights = |wanted: fn(Role) -> bool| {
            let slices = || part.slices.iter().filter(|slice| wanted(slice.role));
            Part {
                fragment: FragmentIndex(fragment),
                weights: slices().map(|slice| u64::from(slice.len)).sum(),
                request: slices().next().map_or(ENVELOPE, |slice| {
                    let columns = (slice.columns.end - slice.columns.start) as u32;
                    let tensor = header.tensors.get(slice.tensor as usize);
                    // Rounded to eight bits with a scale for each block, or as they are.
                    let quantised = tensor.is_some_and(|tensor| tensor.ty.block_len() > 1);
                    ENVELOPE
                        + if quantised {
                            columns + columns / 8
                        } else {
                            columns * 4
                        }
                }),
            }
        };
        let all = || weights(|_| true);
        let layer = part.kind.layer().map(|layer| {
            let layer = layer as usize;
            if layers.len() <= layer {
                layers.resize_with(layer + 1, Steps::default);
            }
            layer
        });
        match (&part.kind, layer.map(|layer| &mut layers[layer])) {
            (PartKind::Embedding { rows }, _) => {
                let whole = all();
                // One row of it.
                embedding.push(Part {
                    weights: whole.weights / u64::from(rows.end - rows.start).max(1),
                    request: ENVELOPE,
                    ..whole
                });
                embedding_rows.push(whole);
            }
            (PartKind::OutputHead { .. }, _) => head.push(all()),
            (PartKind::Latent { .. }, Some(steps)) => steps.latents.push(all()),
            (PartKind::Attention { .. } | PartKind::LatentAttention { .. }, Some(steps)) => {
                steps.output.push(weights(is_behind_heads));
                steps.heads.push(weights(|role| !is_behind_heads(role)));
            }
            (PartKind::FeedForward { expert: None, .. }, Some(steps)) => {
                steps.feed_forward.push(all());
            }
            (
                PartKind::FeedForward {
                    expert: Some(expert),
                    ..
                },
                Some(steps),
            ) => {
                let expert = *expert as usize;
                if steps.experts.len() <= expert {
                    steps.experts.resize_with(expert + 1, Vec::new);
                }
                steps.experts[expert].push(all());
            }
            // Whoever runs a layer holds what is small.
            _ => {}
        }
    }
    if head.is_empty() {
        // Tied: the embedding serves as the head, too, and then all of it is read.
        head = embedding_rows;
    }
    let layers = layers.into_iter().map(|steps| steps.layer(used));
    with_ends(embedding, layers, head)
}

/// A row of some thousand values, rounded to eight bits.
const ALIKE_REQUEST: u32 = 6 << 10;

/// A model of which only numbers are known: layers alike, of fragments of which all bytes are read.
#[must_use]
pub fn alike(
    layers: usize,
    always_active: usize,
    conditional: usize,
    experts: usize,
    used: usize,
    bytes: u64,
) -> Vec<Layer> {
    let part = |fragment: usize, share: u64| Part {
        fragment: FragmentIndex(fragment as u32),
        weights: bytes / share,
        request: ALIKE_REQUEST,
    };
    // Embedding and output head are as large as a layer's share.
    let each = always_active / (layers + 2);
    let range = |layer: usize| layer * each..(layer + 1) * each;
    let rows = range(0).map(|fragment| part(fragment, bytes));
    let head = range(layers + 1).map(|fragment| part(fragment, 1));
    let body = (0..layers).map(|layer| {
        let attention = || range(layer + 1).map(|fragment| part(fragment, 3));
        let first = always_active + layer * conditional / layers;
        let last = always_active + (layer + 1) * conditional / layers;
        let of = |expert: usize| {
            let at = |expert: usize| first + (last - first) * expert / experts;
            (at(expert)..at(expert + 1)).map(|fragment| part(fragment, 1))
        };
        let steps = Steps {
            heads: attention().collect(),
            output: attention().collect(),
            feed_forward: attention().collect(),
            experts: (0..experts).map(|expert| of(expert).collect()).collect(),
            ..Steps::default()
        };
        steps.layer(used)
    });
    with_ends(rows.collect(), body, head.collect())
}

fn with_ends(
    embedding: Vec<Part>,
    layers: impl Iterator<Item = Layer>,
    head: Vec<Part>,
) -> Vec<Layer> {
    let private = |step: Step| Layer {
        steps: vec![step],
        private: true,
    };
    let first = private(Step {
        always: Vec::new(),
        some: Some(Choice {
            groups: embedding.into_iter().map(|part| vec![part]).collect(),
            used: 1,
        }),
    });
    let last = private(Step {
        always: head,
        some: None,
    });
    std::iter::once(first)
        .chain(layers)
        .chain(std::iter::once(last))
        .collect()
}

impl Steps {
    fn layer(self, used: usize) -> Layer {
        let step = |always: Vec<Part>| Step { always, some: None };
        let mut steps = vec![
            step(self.latents),
            step(self.heads),
            step(self.output),
            step(self.feed_forward),
        ];
        if !self.experts.is_empty()
            && let Some(last) = steps.last_mut()
        {
            last.some = Some(Choice {
                groups: self.experts,
                used,
            });
        }
        steps.retain(|step| !step.always.is_empty() || step.some.is_some());
        Layer {
            steps,
            private: false,
        }
    }
}
