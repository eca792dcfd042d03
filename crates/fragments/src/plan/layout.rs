use std::{collections::BTreeMap, ops::Range};

use architecture::{Home, locate};
use gguf::{Header, TensorInfo};

use super::layers::{Layer, Names};

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

impl Layout {
    pub(super) fn new(header: &Header) -> Self {
        let mut layout = Self::default();
        let mut named: BTreeMap<u32, Names> = BTreeMap::new();
        for (index, tensor) in (0u32..).zip(&header.tensors) {
            if tensor.byte_len() == 0 {
                continue;
            }
            let matrix = tensor.shape.len() == 2 && u32::try_from(tensor.rows()).is_ok();
            let place = locate(&tensor.name).map(|(layer, known)| (layer, known.home, known.role));
            match place {
                Some((None, Home::Embedding, _)) if matrix => layout.embedding = Some(index),
                Some((None, Home::Output, _)) if matrix => layout.output = Some(index),
                Some((Some(layer), home, role)) => {
                    let names = named.entry(layer).or_default();
                    names.insert((home, role), index);
                }
                _ => match layer_of(&tensor.name) {
                    Some(layer) if is_vector(tensor) => {
                        named.entry(layer).or_default();
                        layout.layers.entry(layer).or_default().small.push(index);
                    }
                    None if is_vector(tensor) => layout.small.push(index),
                    _ => layout.opaque.push(index),
                },
            }
        }
        for (number, names) in named {
            let (mut layer, left) = Layer::new(header, number, names);
            for (home, index) in left {
                if home == Home::Small || is_vector(&header.tensors[index as usize]) {
                    layer.small.push(index);
                } else {
                    layout.opaque.push(index);
                }
            }
            if let Some(unknown) = layout.layers.remove(&number) {
                layer.small.extend(unknown.small);
            }
            // Back into the file's order.
            layer.small.sort_unstable();
            layout.layers.insert(number, layer);
        }
        layout.opaque.sort_unstable();
        layout
    }
}

fn is_vector(tensor: &TensorInfo) -> bool {
    tensor.rows() == 1
}

/// The layer of a tensor whose name means nothing else.
fn layer_of(name: &str) -> Option<u32> {
    let (number, _) = name.strip_prefix("blk.")?.split_once('.')?;
    let layer: u32 = number.parse().ok()?;
    // `blk.07` and `blk.+7` are not layer 7.
    (layer.to_string() == number).then_some(layer)
}
