//! The tensors of a layer that are cut together, where their shapes fit.

use std::collections::BTreeMap;

use architecture::{Group, Home, Role};
use gguf::{Array, Header, Metadata, TensorInfo, Value};

/// A layer's tensors with a name that means something.
pub(super) type Names = BTreeMap<(Home, Role), u32>;

#[derive(Default)]
pub(super) struct Layer {
    pub(super) small: Vec<u32>,
    /// The projections to latents.
    pub(super) latents: Vec<(Role, u32)>,
    pub(super) attention: Option<Attention>,
    /// Gate, up and down of the dense layer, or of the expert all tokens share.
    pub(super) feed_forward: Option<FeedForward>,
    /// The same with all experts, and how many there are.
    pub(super) experts: Option<(FeedForward, u32)>,
}

/// Projections of which every head has an equal share.
pub(super) struct Attention {
    /// Whether heads go through a latent.
    pub(super) latent: bool,
    /// Heads that can be parted: key and value heads, or in latent attention all.
    pub(super) heads: u32,
    /// Those that are cut by rows.
    pub(super) rows: [(Role, u32); 3],
    /// The output projection, which is cut by columns.
    pub(super) output: u32,
}

#[derive(Clone)]
pub(super) struct FeedForward {
    pub(super) gate: u32,
    pub(super) up: u32,
    pub(super) down: u32,
    /// What is added to gate and up, one value for each hidden column.
    pub(super) biases: Vec<(Role, u32)>,
}

impl FeedForward {
    pub(super) fn tensors(&self) -> impl Iterator<Item = u32> {
        let biases = self.biases.iter().map(|&(_, index)| index);
        [self.gate, self.up, self.down].into_iter().chain(biases)
    }
}

impl Layer {
    /// Puts together what fits together; the rest is given back.
    pub(super) fn new(header: &Header, number: u32, mut names: Names) -> (Self, Vec<(Home, u32)>) {
        let mut layer = Self {
            attention: attention(header, number, &names),
            ..Self::default()
        };
        if let Some(Attention { rows, output, .. }) = &layer.attention {
            let used = |index| index == *output || rows.iter().any(|&(_, row)| row == index);
            names.retain(|_, index| !used(*index));
        }
        for (&(home, role), &index) in &names {
            let tensor = &header.tensors[index as usize];
            if home == Home::Latent && tensor.shape.len() == 2 && fits_u32(tensor.rows()) {
                layer.latents.push((role, index));
            }
        }
        for group in [Group::Dense, Group::Shared] {
            if layer.feed_forward.is_none() {
                layer.feed_forward = feed_forward(header, &names, group, 2).map(|(it, _)| it);
            }
        }
        layer.experts = feed_forward(header, &names, Group::Experts, 3);
        let mut used: Vec<u32> = layer.latents.iter().map(|&(_, index)| index).collect();
        used.extend(layer.feed_forward.iter().flat_map(FeedForward::tensors));
        used.extend(layer.experts.iter().flat_map(|(it, _)| it.tensors()));
        names.retain(|_, index| !used.contains(index));
        let left = names.into_iter().map(|((home, _), index)| (home, index));
        (layer, left.collect())
    }
}

fn attention(header: &Header, layer: u32, names: &Names) -> Option<Attention> {
    let tensor = |role, dimensions| matrix(header, names, Home::Attention, role, dimensions);
    let (oi, output) = tensor(Role::AttentionOutput, 2)?;
    let arch = header.metadata.str("general.architecture").ok()?;
    let key = |name: &str| format!("{arch}.attention.{name}");
    let heads = heads(&header.metadata, &key("head_count"), layer)?;
    let shared = |heads: u32, n: u64| heads > 0 && n.is_multiple_of(u64::from(heads));
    if !shared(heads, output.row_len()) {
        return None;
    }
    let query = tensor(Role::QueryUp, 2)
        .map(|it| (Role::QueryUp, it))
        .or_else(|| Some((Role::Q, tensor(Role::Q, 2)?)));
    if let Some((role, (qi, q))) = query
        && let (Some((ki, k)), Some((vi, v))) = (tensor(Role::KeyUp, 3), tensor(Role::ValueUp, 3))
    {
        let count = u64::from(heads);
        let fits = shared(heads, q.rows())
            && third(k) == count
            && third(v) == count
            && v.row_len() == k.shape[1]
            && q.rows() / count >= k.row_len()
            && v.rows() == output.row_len();
        return fits.then_some(Attention {
            latent: true,
            heads,
            rows: [(role, qi), (Role::KeyUp, ki), (Role::ValueUp, vi)],
            output: oi,
        });
    }
    let ((qi, q), (ki, k), (vi, v)) = (
        tensor(Role::Q, 2)?,
        tensor(Role::K, 2)?,
        tensor(Role::V, 2)?,
    );
    // Absent means the same number, by the format's definition.
    let kv_heads = match header.metadata.get(&key("head_count_kv")) {
        Some(_) => self::heads(&header.metadata, &key("head_count_kv"), layer)?,
        None => heads,
    };
    let fits = shared(kv_heads, u64::from(heads))
        && shared(heads, q.rows())
        && shared(kv_heads, k.rows())
        && shared(kv_heads, v.rows())
        && q.row_len() == k.row_len()
        && q.row_len() == v.row_len();
    fits.then_some(Attention {
        latent: false,
        heads: kv_heads,
        rows: [(Role::Q, qi), (Role::K, ki), (Role::V, vi)],
        output: oi,
    })
}

fn heads(metadata: &Metadata, key: &str, layer: u32) -> Option<u32> {
    match metadata.get(key)? {
        Value::Array(Array::U32(heads)) => heads.get(layer as usize).copied(),
        Value::Array(Array::I32(heads)) => {
            heads.get(layer as usize).and_then(|&n| n.try_into().ok())
        }
        _ => metadata.u32(key).ok(),
    }
}

/// Gate, up and down where their shapes match; and the number of experts.
fn feed_forward(
    header: &Header,
    names: &Names,
    group: Group,
    dimensions: usize,
) -> Option<(FeedForward, u32)> {
    let home = Home::FeedForward(group);
    let tensor = |role| matrix(header, names, home, role, dimensions);
    let ((gi, gate), (ui, up), (di, down)) =
        (tensor(Role::Gate)?, tensor(Role::Up)?, tensor(Role::Down)?);
    let width = gate.shape[1];
    let fits = gate.shape == up.shape
        && width == down.shape[0]
        && third(gate) == third(down)
        && fits_u32(width);
    let experts = u32::try_from(third(gate)).ok()?;
    // One value for each hidden column, each a block of its own.
    let bias = |role| {
        let (index, bias) = matrix(header, names, home, role, 1)?;
        (bias.row_len() == width && bias.ty.block_len() == 1).then_some((role, index))
    };
    let feed_forward = FeedForward {
        gate: gi,
        up: ui,
        down: di,
        biases: [Role::GateBias, Role::UpBias]
            .into_iter()
            .filter_map(bias)
            .collect(),
    };
    fits.then_some((feed_forward, experts))
}

fn matrix<'h>(
    header: &'h Header,
    names: &Names,
    home: Home,
    role: Role,
    dimensions: usize,
) -> Option<(u32, &'h TensorInfo)> {
    let index = *names.get(&(home, role))?;
    let tensor = &header.tensors[index as usize];
    // Writers leave out a last dimension of one, such as that of a single head.
    let fits = tensor.shape.len() == dimensions || (dimensions == 3 && tensor.shape.len() == 2);
    fits.then_some((index, tensor))
}

/// The third dimension, which is one where it is left out.
fn third(tensor: &TensorInfo) -> u64 {
    tensor.shape.get(2).copied().unwrap_or(1)
}

fn fits_u32(n: u64) -> bool {
    u32::try_from(n).is_ok()
}
