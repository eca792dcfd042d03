use std::{collections::BTreeMap, ops::Range};

use gguf::{Array, Header, Metadata, TensorInfo, Value};

/// Gaps between tensors of at most this many bytes are padding and kept in the manifest if they are not
/// zero; longer ones get fragments, so that the manifest stays small whatever the file is like.
pub(crate) const MAX_PADDING: u64 = 256;

/// The bytes after the header that belong to no tensor.
#[derive(Clone, Debug)]
pub(crate) struct Gaps {
    /// Ordinary padding.
    pub(crate) padding: Vec<Range<u64>>,
    /// The rest.
    pub(crate) long: Vec<Range<u64>>,
}

pub(crate) fn gaps(header: &Header, file_len: u64) -> Gaps {
    let mut tensors: Vec<_> = header
        .tensors
        .iter()
        .map(|tensor| (header.data_offset + tensor.offset, tensor.byte_len()))
        .collect();
    tensors.sort_unstable();
    let mut gaps = Gaps {
        padding: Vec::new(),
        long: Vec::new(),
    };
    let mut end = header.data_offset;
    let mut add = |gap: Range<u64>| {
        if !gap.is_empty() {
            let list = if gap.end - gap.start <= MAX_PADDING {
                &mut gaps.padding
            } else {
                &mut gaps.long
            };
            list.push(gap);
        }
    };
    for (start, len) in tensors.into_iter().filter(|&(_, len)| len > 0) {
        add(end..start);
        end = start + len;
    }
    add(end..file_len);
    gaps
}

/// The tensors by what they are for. Indices into the header.
#[derive(Default)]
pub(super) struct Layout {
    pub(super) embedding: Option<u32>,
    pub(super) output: Option<u32>,
    /// Small tensors of no layer.
    pub(super) small: Vec<u32>,
    pub(super) layers: BTreeMap<u32, Layer>,
    pub(super) opaque: Vec<u32>,
}

#[derive(Default)]
pub(super) struct Layer {
    pub(super) small: Vec<u32>,
    pub(super) attention: Option<Attention>,
    /// Gate, up and down of the dense layer, or of the expert all tokens share.
    pub(super) feed_forward: Option<[u32; 3]>,
    /// The same with all experts, and how many there are.
    pub(super) experts: Option<([u32; 3], u32)>,
}

pub(super) struct Attention {
    /// q, k, v and the output projection.
    pub(super) tensors: [u32; 4],
    pub(super) kv_heads: u32,
}

impl Layout {
    pub(super) fn new(header: &Header) -> Self {
        let mut layout = Self::default();
        let mut named: BTreeMap<u32, BTreeMap<&str, u32>> = BTreeMap::new();
        let mut rest = Vec::new();
        for (index, tensor) in (0u32..).zip(&header.tensors) {
            if tensor.byte_len() == 0 {
                continue;
            }
            let matrix = tensor.shape.len() == 2 && u32::try_from(tensor.rows()).is_ok();
            match (tensor.name.as_str(), layer_of(&tensor.name)) {
                ("token_embd.weight", _) if matrix => layout.embedding = Some(index),
                ("output.weight", _) if matrix => layout.output = Some(index),
                (_, Some((layer, name))) => {
                    named.entry(layer).or_default().insert(name, index);
                }
                _ => rest.push(index),
            }
        }
        for (number, mut names) in named {
            let attention = attention(header, number, &names);
            let mut layer = Layer {
                attention,
                ..Layer::default()
            };
            if let Some(attention) = &layer.attention {
                names.retain(|_, index| !attention.tensors.contains(index));
            }
            for suffix in ["", "_shexp"] {
                if layer.feed_forward.is_none() {
                    layer.feed_forward =
                        feed_forward(header, &names, suffix, 2).map(|(tensors, _)| tensors);
                }
            }
            layer.experts = feed_forward(header, &names, "_exps", 3);
            let used = layer
                .feed_forward
                .into_iter()
                .chain(layer.experts.map(|(tensors, _)| tensors));
            for tensors in used {
                names.retain(|_, index| !tensors.contains(index));
            }
            // Back into the file's order.
            let mut left: Vec<_> = names
                .into_iter()
                .map(|(name, index)| (index, name))
                .collect();
            left.sort_unstable();
            for (index, name) in left {
                if name == "ffn_gate_inp.weight" || is_vector(&header.tensors[index as usize]) {
                    layer.small.push(index);
                } else {
                    layout.opaque.push(index);
                }
            }
            layout.layers.insert(number, layer);
        }
        for index in rest {
            let small = is_vector(&header.tensors[index as usize]);
            if small {
                &mut layout.small
            } else {
                &mut layout.opaque
            }
            .push(index);
        }
        layout.opaque.sort_unstable();
        layout
    }
}

fn is_vector(tensor: &TensorInfo) -> bool {
    tensor.rows() == 1
}

/// `blk.7.attn_q.weight` is `attn_q.weight` of layer 7.
fn layer_of(name: &str) -> Option<(u32, &str)> {
    let (number, rest) = name.strip_prefix("blk.")?.split_once('.')?;
    let layer: u32 = number.parse().ok()?;
    // `blk.07` and `blk.+7` are not layer 7.
    (layer.to_string() == number).then_some((layer, rest))
}

fn attention(header: &Header, layer: u32, names: &BTreeMap<&str, u32>) -> Option<Attention> {
    let tensors =
        ["attn_q", "attn_k", "attn_v", "attn_output"].map(|name| matrix(header, names, name, 2));
    let [Some((qi, q)), Some((ki, k)), Some((vi, v)), Some((oi, o))] = tensors else {
        return None;
    };
    let arch = header.metadata.str("general.architecture").ok()?;
    let heads = heads(
        &header.metadata,
        &format!("{arch}.attention.head_count"),
        layer,
    )?;
    // Absent means the same number, by the format's definition.
    let kv_heads = match header
        .metadata
        .get(&format!("{arch}.attention.head_count_kv"))
    {
        Some(_) => self::heads(
            &header.metadata,
            &format!("{arch}.attention.head_count_kv"),
            layer,
        )?,
        None => heads,
    };
    let divides = |n: u64| kv_heads > 0 && n.is_multiple_of(u64::from(kv_heads));
    let fits = divides(u64::from(heads))
        && heads > 0
        && q.rows().is_multiple_of(u64::from(heads))
        && divides(k.rows())
        && divides(v.rows())
        && o.row_len().is_multiple_of(u64::from(heads))
        && q.row_len() == k.row_len()
        && q.row_len() == v.row_len();
    fits.then_some(Attention {
        tensors: [qi, ki, vi, oi],
        kv_heads,
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
    names: &BTreeMap<&str, u32>,
    suffix: &str,
    dimensions: usize,
) -> Option<([u32; 3], u32)> {
    let tensor = |name: &str| matrix(header, names, &format!("{name}{suffix}"), dimensions);
    let ((gi, gate), (ui, up), (di, down)) =
        (tensor("ffn_gate")?, tensor("ffn_up")?, tensor("ffn_down")?);
    let fits = gate.shape == up.shape
        && gate.shape[1] == down.shape[0]
        && gate.shape[2..] == down.shape[2..]
        && u32::try_from(gate.shape[1]).is_ok();
    let experts = u32::try_from(gate.shape.get(2).copied().unwrap_or(1)).ok()?;
    fits.then_some(([gi, ui, di], experts))
}

fn matrix<'h>(
    header: &'h Header,
    names: &BTreeMap<&str, u32>,
    name: &str,
    dimensions: usize,
) -> Option<(u32, &'h TensorInfo)> {
    let index = *names.get(format!("{name}.weight").as_str())?;
    let tensor = &header.tensors[index as usize];
    (tensor.shape.len() == dimensions).then_some((index, tensor))
}
