use gguf::Header;

use super::{
    layout::{Layout, gaps},
    stream::{Rows, Stream},
};
use crate::description::{DESCRIPTION_BOUND, PREFIX_LEN};

/// What every fragment has besides its parts.
pub(super) const FIXED: u64 = PREFIX_LEN as u64 + DESCRIPTION_BOUND;

/// What goes into fragments next.
pub(super) enum Step<'h> {
    Stream(Stream<'h>),
    /// What follows starts a new fragment.
    Close,
    /// What follows belongs to the next layer: it starts a new fragment, too, but may also fill what the
    /// layers before left over.
    Layer,
}

/// Everything that goes into fragments, in the plan's order. For a size of 0, no fragment being that small,
/// only what is needed to find the smallest that works.
pub(super) fn streams<E>(
    header: &Header,
    file_len: u64,
    size: u64,
    step: &mut impl FnMut(Step) -> Result<(), E>,
) -> Result<(), E> {
    let layout = Layout::new(header);
    let mut opaque = layout.opaque.clone();
    let small = layout.layers.iter().flat_map(|(&number, layer)| {
        let small = layer.small.iter();
        small.map(move |&tensor| (Some(number), tensor))
    });
    let of_no_layer = layout.small.iter().map(|&tensor| (None, tensor));
    for (layer, tensor) in of_no_layer.chain(small) {
        let stream = Stream::rows(header, tensor, Rows::Small(layer));
        if fits(&stream, size) {
            step(Step::Stream(stream))?;
        } else {
            opaque.push(tensor);
        }
    }
    step(Step::Close)?;
    let ends = [
        (layout.embedding, Rows::Embedding),
        (layout.output, Rows::Output),
    ];
    for (tensor, rows) in ends {
        if let Some(tensor) = tensor {
            step(Step::Stream(Stream::rows(header, tensor, rows)))?;
            step(Step::Close)?;
        }
    }
    layers(header, &layout, size, step)?;
    step(Step::Close)?;
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
    Ok(())
}

fn layers<E>(
    header: &Header,
    layout: &Layout,
    size: u64,
    step: &mut impl FnMut(Step) -> Result<(), E>,
) -> Result<(), E> {
    for (&number, layer) in &layout.layers {
        step(Step::Layer)?;
        for &(_, tensor) in &layer.latents {
            step(Step::Stream(Stream::rows(
                header,
                tensor,
                Rows::Latent(number),
            )))?;
        }
        if let Some(attention) = &layer.attention {
            step(Step::Stream(Stream::attention(header, number, attention)))?;
        }
        if let Some(tensors) = &layer.feed_forward {
            step(Step::Stream(Stream::feed_forward(
                header, number, tensors, None,
            )))?;
        }
        if let Some((tensors, experts)) = &layer.experts {
            // All experts are alike: one is enough to know the smallest size.
            for expert in 0..if size == 0 { 1 } else { *experts } {
                step(Step::Stream(Stream::feed_forward(
                    header,
                    number,
                    tensors,
                    Some(expert),
                )))?;
            }
        }
    }
    Ok(())
}

fn fits(stream: &Stream, size: u64) -> bool {
    stream.atom_bytes.saturating_add(FIXED + stream.description) <= size
}
