use std::ops::Range;

use architecture::{Role, locate};
use gguf::{Header, TensorInfo};

use super::{
    Part, Slice, TILE,
    layers::{Attention, FeedForward},
};
use crate::{
    description::{part_bound, slice_bound},
    part::{Class, PartKind},
};

/// A sequence of atoms, that is of what must not be cut further: rows, tiles, groups of heads. Consecutive
/// atoms in one fragment make one part.
pub(super) struct Stream<'h> {
    pub(super) class: Class,
    /// Number of atoms.
    pub(super) count: u64,
    pub(super) atom_bytes: u64,
    /// Bytes of the last atom, which may be smaller.
    pub(super) last_bytes: u64,
    /// Bytes that describe a part of it at most.
    pub(super) description: u64,
    shape: Shape<'h>,
}

#[derive(Clone, Copy)]
pub(super) enum Rows {
    Embedding,
    Output,
    Small(Option<u32>),
    Latent(u32),
    Opaque,
}

enum Shape<'h> {
    Rows {
        tensor: u32,
        rows: Rows,
    },
    /// One row that is longer than a fragment, in blocks.
    Blocks {
        tensor: u32,
        row: u64,
    },
    Attention {
        layer: u32,
        attention: &'h Attention,
        heads_per_atom: u32,
    },
    FeedForward {
        layer: u32,
        expert: Option<u32>,
        tensors: &'h FeedForward,
        width: u32,
    },
    Gap {
        position: u64,
    },
}

impl<'h> Stream<'h> {
    /// The rows of a tensor.
    pub(super) fn rows(header: &Header, tensor: u32, rows: Rows) -> Self {
        let info = &header.tensors[tensor as usize];
        let class = match rows {
            Rows::Opaque => Class::Conditional,
            _ => Class::AlwaysActive,
        };
        let shape = Shape::Rows { tensor, rows };
        Self::uniform(class, info.rows(), info.row_bytes(), bound([info]), shape)
    }

    /// The blocks of one row of a tensor.
    pub(super) fn blocks(header: &Header, tensor: u32, row: u64) -> Self {
        let info = &header.tensors[tensor as usize];
        let count = info.row_len() / info.ty.block_len() as u64;
        let shape = Shape::Blocks { tensor, row };
        Self::uniform(
            Class::Conditional,
            count,
            info.ty.block_bytes() as u64,
            bound([info]),
            shape,
        )
    }

    /// The heads of a layer, as few at a time as make whole blocks of the output projection's columns.
    pub(super) fn attention(header: &Header, layer: u32, attention: &'h Attention) -> Self {
        let info = |index: u32| &header.tensors[index as usize];
        let (rows, output) = (
            attention.rows.map(|(_, index)| info(index)),
            info(attention.output),
        );
        let all = attention.heads;
        let columns = output.row_len() / u64::from(all);
        let block = output.ty.block_len() as u64;
        // All heads together are whole blocks, so this ends.
        let heads_per_atom = (1..all)
            .find(|&n| (columns * u64::from(n)).is_multiple_of(block))
            .unwrap_or(all);
        let bytes = |heads: u32| {
            let share = |n: u64| n / u64::from(all) * u64::from(heads);
            let rows = rows
                .iter()
                .map(|tensor| share(tensor.rows()) * tensor.row_bytes());
            rows.sum::<u64>() + output.rows() * column_bytes(output, share(output.row_len()))
        };
        let count = all.div_ceil(heads_per_atom);
        Self {
            class: Class::AlwaysActive,
            count: u64::from(count),
            atom_bytes: bytes(heads_per_atom),
            last_bytes: bytes(all - (count - 1) * heads_per_atom),
            description: bound(rows.into_iter().chain([output])),
            shape: Shape::Attention {
                layer,
                attention,
                heads_per_atom,
            },
        }
    }

    /// The tiles of a feed-forward layer or expert.
    pub(super) fn feed_forward(
        header: &Header,
        layer: u32,
        tensors: &'h FeedForward,
        expert: Option<u32>,
    ) -> Self {
        let info = |index: u32| &header.tensors[index as usize];
        let (gate, up, down) = (info(tensors.gate), info(tensors.up), info(tensors.down));
        // The layout checked that it fits.
        let width = gate.shape[1] as u32;
        let added = tensors
            .biases
            .iter()
            .map(|&(_, index)| column_bytes(info(index), 1));
        let each = gate.row_bytes() + up.row_bytes() + added.sum::<u64>();
        let bytes = |columns: u32| {
            u64::from(columns) * each + down.shape[1] * column_bytes(down, u64::from(columns))
        };
        let count = width.div_ceil(TILE);
        Self {
            class: if expert.is_some() {
                Class::Conditional
            } else {
                Class::AlwaysActive
            },
            count: u64::from(count),
            atom_bytes: bytes(TILE.min(width)),
            last_bytes: bytes(width - (count - 1) * TILE),
            description: bound(tensors.tensors().map(info)),
            shape: Shape::FeedForward {
                layer,
                expert,
                tensors,
                width,
            },
        }
    }

    /// Bytes of the file that belong to no tensor.
    pub(super) fn gap(gap: &Range<u64>) -> Self {
        let shape = Shape::Gap {
            position: gap.start,
        };
        Self::uniform(Class::Conditional, gap.end - gap.start, 1, bound([]), shape)
    }

    fn uniform(
        class: Class,
        count: u64,
        atom_bytes: u64,
        description: u64,
        shape: Shape<'h>,
    ) -> Self {
        Self {
            class,
            count,
            atom_bytes,
            last_bytes: atom_bytes,
            description,
            shape,
        }
    }

    /// The first tensor it takes from.
    pub(super) fn tensor(&self) -> Option<u32> {
        match self.shape {
            Shape::Rows { tensor, .. } | Shape::Blocks { tensor, .. } => Some(tensor),
            Shape::Attention { attention, .. } => Some(attention.rows[0].1),
            Shape::FeedForward { tensors, .. } => Some(tensors.gate),
            Shape::Gap { .. } => None,
        }
    }

    /// How many atoms from `start` on fit into `room` bytes.
    pub(super) fn fitting(&self, start: u64, room: u64) -> u64 {
        let left = self.count - start;
        let full = (room / self.atom_bytes).min(left);
        if full + 1 == left && full * self.atom_bytes + self.last_bytes <= room {
            left
        } else {
            full
        }
    }

    /// The part with these atoms, at this offset in the payload.
    pub(super) fn part(&self, header: &Header, atoms: Range<u64>, offset: u32) -> Part {
        let mut slices = Slices {
            header,
            slices: Vec::new(),
            offset,
        };
        let whole = |tensor: u32| 0..header.tensors[tensor as usize].row_len();
        let kind = match self.shape {
            Shape::Rows { tensor, rows } => {
                let role = role(header, tensor, rows);
                slices.add(tensor, role, atoms.clone(), whole(tensor));
                // The layout checked that they fit.
                let rows32 = atoms.start as u32..atoms.end as u32;
                match rows {
                    Rows::Embedding => PartKind::Embedding { rows: rows32 },
                    Rows::Output => PartKind::OutputHead { rows: rows32 },
                    Rows::Small(layer) => PartKind::Small { layer },
                    Rows::Latent(layer) => PartKind::Latent {
                        layer,
                        rows: rows32,
                    },
                    Rows::Opaque => PartKind::Opaque,
                }
            }
            Shape::Blocks { tensor, row } => {
                let block = header.tensors[tensor as usize].ty.block_len() as u64;
                slices.add(
                    tensor,
                    Role::Other,
                    row..row + 1,
                    atoms.start * block..atoms.end * block,
                );
                PartKind::Opaque
            }
            Shape::Attention {
                layer,
                attention,
                heads_per_atom,
            } => {
                let all = attention.heads;
                // There are no more atoms than heads.
                let head = |atom: u64| (atom as u32 * heads_per_atom).min(all);
                let heads = head(atoms.start)..head(atoms.end);
                let share = |n: u64| {
                    let each = n / u64::from(all);
                    each * u64::from(heads.start)..each * u64::from(heads.end)
                };
                for (role, tensor) in attention.rows {
                    let rows = share(header.tensors[tensor as usize].rows());
                    slices.add(tensor, role, rows, whole(tensor));
                }
                let output = &header.tensors[attention.output as usize];
                slices.add(
                    attention.output,
                    Role::AttentionOutput,
                    0..output.rows(),
                    share(output.row_len()),
                );
                if attention.latent {
                    PartKind::LatentAttention { layer, heads }
                } else {
                    PartKind::Attention {
                        layer,
                        kv_heads: heads,
                    }
                }
            }
            Shape::FeedForward {
                layer,
                expert,
                tensors,
                width,
            } => {
                // The width fits 32 bits, so its tiles do.
                let column = |atom: u64| (atom * u64::from(TILE)).min(u64::from(width)) as u32;
                let columns = column(atoms.start)..column(atoms.end);
                let wide = u64::from(columns.start)..u64::from(columns.end);
                let number = u64::from(expert.unwrap_or(0));
                let first = number * u64::from(width);
                let rows = first + wide.start..first + wide.end;
                let FeedForward { gate, up, down, .. } = *tensors;
                slices.add(gate, Role::Gate, rows.clone(), whole(gate));
                slices.add(up, Role::Up, rows, whole(up));
                let out = header.tensors[down as usize].shape[1];
                let rows = number * out..(number + 1) * out;
                slices.add(down, Role::Down, rows, wide.clone());
                for &(role, bias) in &tensors.biases {
                    slices.add(bias, role, 0..1, wide.clone());
                }
                PartKind::FeedForward {
                    layer,
                    expert,
                    columns,
                }
            }
            Shape::Gap { position } => {
                // No more than fits a fragment.
                let len = (atoms.end - atoms.start) as u32;
                PartKind::Gap {
                    position: position + atoms.start,
                    offset,
                    len,
                }
            }
        };
        Part {
            kind,
            slices: slices.slices,
        }
    }

    /// Bytes of these atoms.
    pub(super) fn bytes(&self, atoms: &Range<u64>) -> u64 {
        let count = atoms.end - atoms.start;
        if atoms.end == self.count {
            (count - 1) * self.atom_bytes + self.last_bytes
        } else {
            count * self.atom_bytes
        }
    }
}

struct Slices<'h> {
    header: &'h Header,
    slices: Vec<Slice>,
    offset: u32,
}

impl Slices<'_> {
    fn add(&mut self, tensor: u32, role: Role, rows: Range<u64>, columns: Range<u64>) {
        let info = &self.header.tensors[tensor as usize];
        // A part fits a fragment, whose size has 32 bits.
        let len =
            ((rows.end - rows.start) * column_bytes(info, columns.end - columns.start)) as u32;
        self.slices.push(Slice {
            tensor,
            role,
            rows,
            columns,
            offset: self.offset,
            len,
        });
        self.offset += len;
    }
}

/// What a tensor that is kept by rows is.
fn role(header: &Header, tensor: u32, rows: Rows) -> Role {
    let known = locate(&header.tensors[tensor as usize].name);
    match (rows, known) {
        (Rows::Opaque, _) | (_, None) => Role::Other,
        (_, Some((_, known))) => known.role,
    }
}

fn column_bytes(tensor: &TensorInfo, columns: u64) -> u64 {
    tensor
        .ty
        .row_bytes(columns)
        .expect("columns are cut between blocks")
}

fn bound<'a>(tensors: impl IntoIterator<Item = &'a TensorInfo>) -> u64 {
    let slices = tensors.into_iter().map(|tensor| slice_bound(&tensor.name));
    part_bound() + slices.sum::<u64>()
}
