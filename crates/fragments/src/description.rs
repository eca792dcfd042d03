//! How a fragment describes itself: the message between its prefix and its payload.

use architecture::Role;
use gguf::{Header, TensorType};
use prost::Message;

use crate::{
    fragment::{FragmentError, StoredPart, StoredSlice},
    part::{Class, PartKind},
    plan::Part,
};

/// Bytes before the description: magic, version, length of the description.
pub(crate) const PREFIX_LEN: usize = 12;

/// The longest description. Bounds what a false fragment can make a reader allocate.
pub(crate) const MAX_DESCRIPTION: u64 = 256 << 10;

/// Upper bound of what a description takes besides its parts.
pub(crate) const DESCRIPTION_BOUND: u64 = 16;

/// Upper bound of what a part takes besides its slices: six numbers of at most ten bytes each with a tag,
/// and the message's own tag and length.
pub(crate) const fn part_bound() -> u64 {
    6 * 11 + 8
}

/// Upper bound of what a slice takes: ten numbers and four dimensions, the name, tags and lengths.
pub(crate) fn slice_bound(name: &str) -> u64 {
    10 * 11 + 4 * 10 + name.len() as u64 + 10
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Description {
    #[prost(uint32, tag = "1")]
    class: u32,
    #[prost(message, repeated, tag = "2")]
    parts: Vec<PartMessage>,
}

#[derive(Clone, PartialEq, Message)]
struct PartMessage {
    #[prost(uint32, tag = "1")]
    kind: u32,
    #[prost(uint32, optional, tag = "2")]
    layer: Option<u32>,
    #[prost(uint32, optional, tag = "3")]
    expert: Option<u32>,
    #[prost(uint64, tag = "4")]
    start: u64,
    #[prost(uint64, tag = "5")]
    end: u64,
    #[prost(message, repeated, tag = "6")]
    slices: Vec<SliceMessage>,
}

#[derive(Clone, PartialEq, Message)]
struct SliceMessage {
    #[prost(string, tag = "1")]
    tensor: String,
    #[prost(uint32, tag = "2")]
    ty: u32,
    #[prost(uint64, repeated, tag = "3")]
    shape: Vec<u64>,
    #[prost(uint32, tag = "4")]
    role: u32,
    #[prost(uint64, tag = "5")]
    rows_start: u64,
    #[prost(uint64, tag = "6")]
    rows_end: u64,
    #[prost(uint64, tag = "7")]
    columns_start: u64,
    #[prost(uint64, tag = "8")]
    columns_end: u64,
}

const EMBEDDING: u32 = 1;
const OUTPUT_HEAD: u32 = 2;
const SMALL: u32 = 3;
const ATTENTION: u32 = 4;
const FEED_FORWARD: u32 = 5;
const OPAQUE: u32 = 6;
const GAP: u32 = 7;
const LATENT: u32 = 8;
const LATENT_ATTENTION: u32 = 9;

pub(crate) fn describe(header: &Header, class: Class, parts: &[Part]) -> Description {
    let class = match class {
        Class::AlwaysActive => 1,
        Class::Conditional => 2,
    };
    Description {
        class,
        parts: parts
            .iter()
            .map(|part| part_message(header, part))
            .collect(),
    }
}

pub(crate) fn encoded_len(description: &Description) -> usize {
    description.encoded_len()
}

fn part_message(header: &Header, part: &Part) -> PartMessage {
    let (kind, layer, expert, start, end) = match part.kind.clone() {
        PartKind::Embedding { rows } => (EMBEDDING, None, None, rows.start.into(), rows.end.into()),
        PartKind::OutputHead { rows } => {
            (OUTPUT_HEAD, None, None, rows.start.into(), rows.end.into())
        }
        PartKind::Small { layer } => (SMALL, layer, None, 0, 0),
        PartKind::Attention { layer, kv_heads } => (
            ATTENTION,
            Some(layer),
            None,
            kv_heads.start.into(),
            kv_heads.end.into(),
        ),
        PartKind::Latent { layer, rows } => (
            LATENT,
            Some(layer),
            None,
            rows.start.into(),
            rows.end.into(),
        ),
        PartKind::LatentAttention { layer, heads } => (
            LATENT_ATTENTION,
            Some(layer),
            None,
            heads.start.into(),
            heads.end.into(),
        ),
        PartKind::FeedForward {
            layer,
            expert,
            columns,
        } => (
            FEED_FORWARD,
            Some(layer),
            expert,
            columns.start.into(),
            columns.end.into(),
        ),
        PartKind::Opaque => (OPAQUE, None, None, 0, 0),
        PartKind::Gap { position, len, .. } => {
            (GAP, None, None, position, position + u64::from(len))
        }
    };
    let slices = part.slices.iter().map(|slice| {
        let tensor = &header.tensors[slice.tensor as usize];
        SliceMessage {
            tensor: tensor.name.clone(),
            ty: tensor.ty.id(),
            shape: tensor.shape.clone(),
            role: slice.role.id(),
            rows_start: slice.rows.start,
            rows_end: slice.rows.end,
            columns_start: slice.columns.start,
            columns_end: slice.columns.end,
        }
    });
    PartMessage {
        kind,
        layer,
        expert,
        start,
        end,
        slices: slices.collect(),
    }
}

/// Reads a description that came from a stranger. Returns the class, the parts and the payload's length.
pub(crate) fn read(bytes: &[u8]) -> Result<(Class, Vec<StoredPart>, u32), FragmentError> {
    let Description { class, parts } =
        Description::decode(bytes).map_err(|error| FragmentError::Malformed(error.to_string()))?;
    let class = match class {
        1 => Class::AlwaysActive,
        2 => Class::Conditional,
        _ => return Err(FragmentError::Invalid("unknown class")),
    };
    let mut offset = 0;
    let parts = parts
        .into_iter()
        .map(|part| read_part(part, &mut offset))
        .collect::<Result<_, _>>()?;
    Ok((class, parts, offset))
}

fn read_part(part: PartMessage, offset: &mut u32) -> Result<StoredPart, FragmentError> {
    let PartMessage {
        kind,
        layer,
        expert,
        start,
        end,
        slices,
    } = part;
    let range = || match (u32::try_from(start), u32::try_from(end)) {
        (Ok(start), Ok(end)) if start < end => Ok(start..end),
        _ => Err(FragmentError::Invalid(
            "the range of a part is empty or too long",
        )),
    };
    let kind = match (kind, layer, expert) {
        (EMBEDDING, None, None) => PartKind::Embedding { rows: range()? },
        (OUTPUT_HEAD, None, None) => PartKind::OutputHead { rows: range()? },
        (SMALL, layer, None) => PartKind::Small { layer },
        (ATTENTION, Some(layer), None) => PartKind::Attention {
            layer,
            kv_heads: range()?,
        },
        (LATENT, Some(layer), None) => PartKind::Latent {
            layer,
            rows: range()?,
        },
        (LATENT_ATTENTION, Some(layer), None) => PartKind::LatentAttention {
            layer,
            heads: range()?,
        },
        (FEED_FORWARD, Some(layer), expert) => PartKind::FeedForward {
            layer,
            expert,
            columns: range()?,
        },
        (OPAQUE, None, None) => PartKind::Opaque,
        (GAP, None, None) if slices.is_empty() => {
            let len = end
                .checked_sub(start)
                .and_then(|len| u32::try_from(len).ok());
            let len = len.ok_or(FragmentError::Invalid("the length of a gap"))?;
            let kind = PartKind::Gap {
                position: start,
                offset: *offset,
                len,
            };
            *offset = offset
                .checked_add(len)
                .ok_or(FragmentError::Invalid("the payload is too long"))?;
            kind
        }
        _ => return Err(FragmentError::Invalid("unknown kind of part")),
    };
    let slices = slices
        .into_iter()
        .map(|slice| read_slice(slice, offset))
        .collect::<Result<_, _>>()?;
    Ok(StoredPart { kind, slices })
}

fn read_slice(slice: SliceMessage, offset: &mut u32) -> Result<StoredSlice, FragmentError> {
    let ty = TensorType::from_id(slice.ty).ok_or(FragmentError::Invalid("unknown tensor type"))?;
    let role = Role::from_id(slice.role).ok_or(FragmentError::Invalid("unknown role"))?;
    let (rows, columns) = (
        slice.rows_start..slice.rows_end,
        slice.columns_start..slice.columns_end,
    );
    let row_len = slice.shape.first().copied().unwrap_or(1);
    let block = ty.block_len() as u64;
    let total_rows = slice
        .shape
        .iter()
        .skip(1)
        .try_fold(1u64, |rows, &n| rows.checked_mul(n));
    let inside = slice.shape.len() <= 4
        && total_rows.is_some_and(|total| rows.start < rows.end && rows.end <= total)
        && columns.start < columns.end
        && columns.end <= row_len
        && [columns.start, columns.end, row_len]
            .iter()
            .all(|n| n.is_multiple_of(block));
    if !inside {
        return Err(FragmentError::Invalid(
            "a slice lies outside of its tensor or cuts a block",
        ));
    }
    let len = ty
        .row_bytes(columns.end - columns.start)
        .and_then(|bytes| bytes.checked_mul(rows.end - rows.start))
        .and_then(|len| u32::try_from(len).ok())
        .ok_or(FragmentError::Invalid("the payload is too long"))?;
    let start = *offset;
    *offset = start
        .checked_add(len)
        .ok_or(FragmentError::Invalid("the payload is too long"))?;
    Ok(StoredSlice {
        tensor: slice.tensor,
        ty,
        shape: slice.shape,
        role,
        rows,
        columns,
        offset: start,
        len,
    })
}
