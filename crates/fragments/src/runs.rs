use gguf::Header;

use crate::{part::PartKind, plan::FragmentPlan};

/// Where a piece of a payload lies in the model's file: `count` pieces of `len` bytes, `stride` bytes apart
/// in the file, adjacent in the payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Run {
    /// Where the first row starts in the file; rows of one tensor slice have the same in all fragments.
    pub(crate) base: u64,
    pub(crate) stride: u64,
    pub(crate) count: u64,
    /// Where in each row the piece starts.
    pub(crate) skip: u64,
    pub(crate) len: u64,
    /// Where it starts in the payload.
    pub(crate) offset: u32,
}

impl Run {
    /// Where piece `row` is in the file.
    pub(crate) fn position(&self, row: u64) -> u64 {
        self.base + row * self.stride + self.skip
    }
}

/// All runs of a fragment; one piece each where whole rows follow each other.
pub(crate) fn runs(header: &Header, fragment: &FragmentPlan) -> Vec<Run> {
    let mut runs = Vec::new();
    for part in &fragment.parts {
        if let PartKind::Gap {
            position,
            offset,
            len,
        } = part.kind
        {
            let len = len.into();
            runs.push(Run {
                base: position,
                stride: len,
                count: 1,
                skip: 0,
                len,
                offset,
            });
        }
        for slice in &part.slices {
            let tensor = &header.tensors[slice.tensor as usize];
            let stride = tensor.row_bytes();
            let base = header.data_offset + tensor.offset + slice.rows.start * stride;
            let bytes = |columns| {
                tensor
                    .ty
                    .row_bytes(columns)
                    .expect("columns are cut between blocks")
            };
            let (skip, end) = (bytes(slice.columns.start), bytes(slice.columns.end));
            let (count, offset) = (slice.rows.end - slice.rows.start, slice.offset);
            runs.push(if end - skip == stride {
                let len = stride * count;
                Run {
                    base,
                    stride: len,
                    count: 1,
                    skip: 0,
                    len,
                    offset,
                }
            } else {
                Run {
                    base,
                    stride,
                    count,
                    skip,
                    len: end - skip,
                    offset,
                }
            });
        }
    }
    runs
}
