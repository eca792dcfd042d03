use gguf::Header;

use super::{
    FragmentPlan, MAX_FRAGMENT_SIZE, MAX_SLICES, Part, PlanError,
    layout::{Layout, gaps},
    streams::{Rows, Stream},
};
use crate::{
    description::{DESCRIPTION_BOUND, MAX_DESCRIPTION, PREFIX_LEN, describe, encoded_len},
    part::{Class, PartKind},
};

/// What every fragment has besides its parts.
const FIXED: u64 = PREFIX_LEN as u64 + DESCRIPTION_BOUND;

pub(super) fn pack(
    header: &Header,
    file_len: u64,
    size: u32,
    limit: usize,
) -> Result<Vec<FragmentPlan>, PlanError> {
    if size > MAX_FRAGMENT_SIZE {
        return Err(PlanError::FragmentTooLarge(size));
    }
    for (index, tensor) in (0u32..).zip(&header.tensors) {
        // Up to four tensors are described together.
        if tensor.name.len() as u64 > MAX_DESCRIPTION / 8 {
            return Err(PlanError::NameTooLong {
                tensor: index,
                len: tensor.name.len(),
            });
        }
    }
    let (smallest, tensor) = smallest(header, file_len);
    if smallest > u64::from(size) {
        let tensor = tensor.map(|index| header.tensors[index as usize].name.clone());
        let tensor = tensor.unwrap_or_else(|| "data outside of tensors".to_owned());
        return Err(PlanError::FragmentTooSmall {
            size,
            tensor,
            smallest,
        });
    }
    let mut packer = Packer {
        header,
        size: size.into(),
        limit,
        fragments: Vec::new(),
        open: None,
        slices: 0,
    };
    streams(header, file_len, size.into(), &mut |step| match step {
        Step::Stream(stream) => packer.add(stream),
        Step::Close => packer.close(),
    })?;
    Ok(packer.fragments)
}

/// The smallest fragment size that works, and the tensor that asks for it.
pub(super) fn smallest(header: &Header, file_len: u64) -> (u64, Option<u32>) {
    let mut smallest = (0, None);
    let result: Result<(), std::convert::Infallible> = streams(header, file_len, 0, &mut |step| {
        if let Step::Stream(stream) = step {
            let atom = stream.atom_bytes.max(stream.last_bytes);
            let needed = atom.saturating_add(FIXED + stream.description);
            if needed > smallest.0 {
                smallest = (needed, stream.tensor());
            }
        }
        Ok(())
    });
    let Ok(()) = result;
    smallest
}

enum Step {
    Stream(Stream),
    /// What follows starts a new fragment.
    Close,
}

/// Everything that goes into fragments, in the plan's order.
fn streams<E>(
    header: &Header,
    file_len: u64,
    size: u64,
    step: &mut impl FnMut(Step) -> Result<(), E>,
) -> Result<(), E> {
    let layout = Layout::new(header);
    let mut opaque = layout.opaque;
    let layers = || layout.layers.iter();
    let small = layers().flat_map(|(&number, layer)| {
        layer
            .small
            .iter()
            .map(move |&tensor| (Some(number), tensor))
    });
    for (layer, tensor) in layout
        .small
        .iter()
        .map(|&tensor| (None, tensor))
        .chain(small)
    {
        let stream = Stream::rows(header, tensor, Rows::Small(layer));
        if fits(&stream, size) {
            step(Step::Stream(stream))?;
        } else {
            opaque.push(tensor);
        }
    }
    step(Step::Close)?;
    for (tensor, rows) in [
        (layout.embedding, Rows::Embedding),
        (layout.output, Rows::Output),
    ] {
        if let Some(tensor) = tensor {
            step(Step::Stream(Stream::rows(header, tensor, rows)))?;
            step(Step::Close)?;
        }
    }
    for (&number, layer) in layers() {
        if let Some(attention) = &layer.attention {
            step(Step::Stream(Stream::attention(header, number, attention)))?;
            step(Step::Close)?;
        }
        if let Some(tensors) = layer.feed_forward {
            step(Step::Stream(Stream::feed_forward(
                header, number, tensors, None,
            )))?;
            step(Step::Close)?;
        }
        if let Some((tensors, experts)) = layer.experts {
            // All experts are alike: one is enough to know the smallest size.
            for expert in 0..if size == 0 { 1 } else { experts } {
                step(Step::Stream(Stream::feed_forward(
                    header,
                    number,
                    tensors,
                    Some(expert),
                )))?;
            }
            step(Step::Close)?;
        }
    }
    opaque.sort_unstable();
    for tensor in opaque {
        let stream = Stream::rows(header, tensor, Rows::Opaque);
        if fits(&stream, size) {
            step(Step::Stream(stream))?;
        } else if size == 0 {
            step(Step::Stream(Stream::blocks(header, tensor, 0)))?;
        } else {
            for row in 0..stream.count {
                step(Step::Stream(Stream::blocks(header, tensor, row)))?;
            }
        }
    }
    for gap in gaps(header, file_len).long {
        step(Step::Stream(Stream::gap(&gap)))?;
    }
    step(Step::Close)
}

fn fits(stream: &Stream, size: u64) -> bool {
    stream.atom_bytes.saturating_add(FIXED + stream.description) <= size
}

struct Packer<'h> {
    header: &'h Header,
    size: u64,
    limit: usize,
    fragments: Vec<FragmentPlan>,
    open: Option<Open>,
    slices: usize,
}

/// The fragment that is being filled.
struct Open {
    class: Class,
    parts: Vec<Part>,
    payload: u64,
    /// Bytes that describe it at most.
    description: u64,
}

impl Packer<'_> {
    fn add(&mut self, stream: Stream) -> Result<(), PlanError> {
        let mut start = 0;
        while start < stream.count {
            if self
                .open
                .as_ref()
                .is_some_and(|open| open.class != stream.class)
            {
                self.close()?;
            }
            let open = self.open.get_or_insert_with(|| Open {
                class: stream.class,
                parts: Vec::new(),
                payload: 0,
                description: DESCRIPTION_BOUND,
            });
            let description = open.description + stream.description;
            let used = PREFIX_LEN as u64 + description + open.payload;
            let count = stream.fitting(start, self.size.saturating_sub(used));
            if count == 0 || description > MAX_DESCRIPTION {
                // Into an empty fragment an atom fits: the size was checked against the smallest.
                debug_assert!(!open.parts.is_empty());
                self.close()?;
                continue;
            }
            let atoms = start..start + count;
            let part = stream.part(self.header, atoms.clone(), open.payload as u32);
            open.payload += stream.bytes(&atoms);
            open.description = description;
            self.slices += part.slices.len().max(1);
            match open.parts.last_mut() {
                Some(last) if last.kind == part.kind && shared(&part.kind) => {
                    last.slices.extend(part.slices)
                }
                _ => open.parts.push(part),
            }
            if self.slices > MAX_SLICES {
                return Err(PlanError::TooMany {
                    what: "slices",
                    limit: MAX_SLICES,
                });
            }
            start += count;
        }
        Ok(())
    }

    fn close(&mut self) -> Result<(), PlanError> {
        let Some(Open {
            class,
            parts,
            payload,
            ..
        }) = self.open.take()
        else {
            return Ok(());
        };
        if self.fragments.len() == self.limit {
            return Err(PlanError::TooMany {
                what: "fragments",
                limit: self.limit,
            });
        }
        let description = encoded_len(&describe(self.header, class, &parts));
        // The bounds were held, so the sum is within the fragment size.
        let file_len = (PREFIX_LEN + description) as u32 + payload as u32;
        debug_assert!(u64::from(file_len) <= self.size);
        self.fragments.push(FragmentPlan {
            class,
            parts,
            payload_len: payload as u32,
            file_len,
        });
        Ok(())
    }
}

/// Whether several tensors share one part of this kind.
fn shared(kind: &PartKind) -> bool {
    matches!(kind, PartKind::Small { .. } | PartKind::Opaque)
}
