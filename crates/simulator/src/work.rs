//! What a token asks of a model, step by step, from how its file is cut.

use architecture::Role;
use fragments::{PartKind, Plan};
use swarm::{
    FragmentIndex,
    routing::{Choice, Layer, Part, Step},
};

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

/// The embedding, the layers of a plan, of whose experts each token uses so many, and the output head.
pub(crate) fn of_plan(plan: &Plan, used: usize) -> Vec<Layer> {
    let (mut embedding, mut head) = (Vec::new(), Vec::new());
    let mut layers: Vec<Steps> = Vec::new();
    for (fragment, _, part) in plan.parts() {
        let weights = |wanted: fn(Role) -> bool| Part {
            fragment: FragmentIndex(fragment),
            weights: part
                .slices
                .iter()
                .filter(|slice| wanted(slice.role))
                .map(|slice| u64::from(slice.len))
                .sum(),
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
            // One row of it.
            (PartKind::Embedding { rows }, _) => embedding.push(Part {
                fragment: FragmentIndex(fragment),
                weights: all().weights / u64::from(rows.end - rows.start).max(1),
            }),
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
        head = plan
            .parts()
            .filter(|(.., part)| matches!(part.kind, PartKind::Embedding { .. }))
            .map(|(fragment, _, part)| Part {
                fragment: FragmentIndex(fragment),
                weights: part.slices.iter().map(|slice| u64::from(slice.len)).sum(),
            })
            .collect();
    }
    let layers = layers.into_iter().map(|steps| steps.layer(used));
    with_ends(embedding, layers, head)
}

/// A model of which only numbers are known: layers alike, of fragments of which all bytes are read.
pub(crate) fn alike(
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
