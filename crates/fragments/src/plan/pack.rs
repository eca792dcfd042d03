use std::collections::BTreeSet;

use gguf::Header;

use super::{
    FragmentPlan, MAX_FRAGMENT_SIZE, MAX_SLICES, Part, PlanError,
    stream::Stream,
    streams::{FIXED, Step, streams},
};
use crate::{
    description::{DESCRIPTION_BOUND, MAX_DESCRIPTION, PREFIX_LEN, describe, encoded_len},
    part::{Class, PartKind},
};

/// A fragment that is left with less room than this part of its size is full.
const WORTH_FILLING: u64 = 8;

/// Room is filled by this many following layers: who runs a range of layers should not need many fragments
/// of others.
const LAYERS_AHEAD: usize = 2;

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
        // Up to five tensors are described together.
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
        open: [None; 2],
        room: Vec::new(),
        slices: 0,
    };
    streams(header, file_len, size.into(), &mut |step| {
        match step {
            Step::Stream(stream) => return packer.add(&stream),
            Step::Close => packer.close(),
            Step::Layer => packer.next_layer(),
        }
        Ok(())
    })?;
    Ok(packer.finish())
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

/// Fills fragments in order.
///
/// What does not fit into the open fragment goes into the first one that the layers before, or this one,
/// left room in, and only what is then left starts a new one. Without that, atoms of a third of a fragment
/// and a bit would leave a third of the network's storage empty; with it, small atoms and large ones share
/// fragments.
struct Packer<'h> {
    header: &'h Header,
    size: u64,
    limit: usize,
    fragments: Vec<Filling>,
    /// The fragment of each class that is being filled.
    open: [Option<usize>; 2],
    /// Room left by the layers before and this one, the latest last.
    room: Vec<BTreeSet<Room>>,
    slices: usize,
}

/// Room in a fragment: its class, how much, and which it is. In this order, so that what is just large enough
/// is found at once, however many fragments a false header may lead to.
type Room = (usize, u64, usize);

/// A fragment that is being filled.
struct Filling {
    class: Class,
    parts: Vec<Part>,
    payload: u64,
    /// Bytes that describe it at most.
    description: u64,
}

impl Filling {
    /// Bytes that are left for parts and what describes them.
    fn left(&self, size: u64) -> u64 {
        size.saturating_sub(PREFIX_LEN as u64 + self.description + self.payload)
    }

    /// How many atoms of a stream from `start` on fit.
    fn fitting(&self, stream: &Stream, start: u64, size: u64) -> u64 {
        if self.description + stream.description > MAX_DESCRIPTION {
            return 0;
        }
        let left = self.left(size).saturating_sub(stream.description);
        stream.fitting(start, left)
    }
}

impl Packer<'_> {
    fn add(&mut self, stream: &Stream) -> Result<(), PlanError> {
        let class = slot(stream.class);
        let mut start = 0;
        while start < stream.count {
            if let Some(open) = self.open[class] {
                let count = self.fragments[open].fitting(stream, start, self.size);
                if count > 0 {
                    self.put(open, stream, start, count)?;
                    start += count;
                    continue;
                }
                self.leave(open, self.room.len());
                self.open[class] = None;
                if let Some(filled) = self.fill(stream, start)? {
                    start += filled;
                    continue;
                }
            }
            if self.fragments.len() == self.limit {
                return Err(PlanError::TooMany {
                    what: "fragments",
                    limit: self.limit,
                });
            }
            self.open[class] = Some(self.fragments.len());
            self.fragments.push(Filling {
                class: stream.class,
                parts: Vec::new(),
                payload: 0,
                description: DESCRIPTION_BOUND,
            });
        }
        Ok(())
    }

    /// Puts the next atoms where there is just enough room for one. How many they were.
    fn fill(&mut self, stream: &Stream, start: u64) -> Result<Option<u64>, PlanError> {
        let class = slot(stream.class);
        let first = stream.bytes(&(start..start + 1)) + stream.description;
        let enough = (class, first, 0)..(class + 1, 0, 0);
        let found = self
            .room
            .iter()
            .position(|room| room.range(enough.clone()).next().is_some());
        let Some(layer) = found else { return Ok(None) };
        let room = self.room[layer].range(enough).next().copied();
        let Some(room @ (_, _, index)) = room else {
            return Ok(None);
        };
        self.room[layer].remove(&room);
        let count = self.fragments[index].fitting(stream, start, self.size);
        if count == 0 {
            // It describes as much as it may already.
            return Ok(None);
        }
        self.put(index, stream, start, count)?;
        self.leave(index, layer);
        Ok(Some(count))
    }

    fn put(
        &mut self,
        index: usize,
        stream: &Stream,
        start: u64,
        count: u64,
    ) -> Result<(), PlanError> {
        let fragment = &mut self.fragments[index];
        let atoms = start..start + count;
        // The payload is within the fragment size, which has 32 bits.
        let part = stream.part(self.header, atoms.clone(), fragment.payload as u32);
        fragment.payload += stream.bytes(&atoms);
        fragment.description += stream.description;
        self.slices += part.slices.len().max(1);
        match fragment.parts.last_mut() {
            Some(last) if last.kind == part.kind && shared(&part.kind) => {
                last.slices.extend(part.slices)
            }
            _ => fragment.parts.push(part),
        }
        if self.slices > MAX_SLICES {
            return Err(PlanError::TooMany {
                what: "slices",
                limit: MAX_SLICES,
            });
        }
        Ok(())
    }

    /// Remembers a fragment's room, if it has some, as left by this one of the last layers, or the last.
    fn leave(&mut self, index: usize, layer: usize) {
        let fragment = &self.fragments[index];
        let left = fragment.left(self.size);
        let last = self.room.len().saturating_sub(1);
        if let Some(room) = self.room.get_mut(layer.min(last))
            && left >= self.size / WORTH_FILLING
        {
            room.insert((slot(fragment.class), left, index));
        }
    }

    fn next_layer(&mut self) {
        for open in self
            .open
            .iter_mut()
            .filter_map(Option::take)
            .collect::<Vec<_>>()
        {
            self.leave(open, self.room.len());
        }
        self.room.push(BTreeSet::new());
        if self.room.len() > LAYERS_AHEAD + 1 {
            self.room.remove(0);
        }
    }

    fn close(&mut self) {
        self.open = [None; 2];
        self.room.clear();
    }

    fn finish(self) -> Vec<FragmentPlan> {
        let fragments = self.fragments.into_iter().map(|fragment| {
            let Filling {
                class,
                parts,
                payload,
                ..
            } = fragment;
            let description = encoded_len(&describe(self.header, class, &parts));
            // The bounds were held, so the sum is within the fragment size.
            let file_len = (PREFIX_LEN + description) as u32 + payload as u32;
            debug_assert!(u64::from(file_len) <= self.size);
            FragmentPlan {
                class,
                parts,
                payload_len: payload as u32,
                file_len,
            }
        });
        fragments.collect()
    }
}

fn slot(class: Class) -> usize {
    match class {
        Class::AlwaysActive => 0,
        Class::Conditional => 1,
    }
}

/// Whether several tensors share one part of this kind.
fn shared(kind: &PartKind) -> bool {
    matches!(kind, PartKind::Small { .. } | PartKind::Opaque)
}
