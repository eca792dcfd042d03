use crate::activations::Quantised;
use crate::formats::Blocks;
use crate::lanes::Lanes;

/// A block of activations of one token, ready to meet weights of one type.
#[derive(Clone)]
pub(super) struct Columns<Q, const UNITS: usize> {
    pub(super) quads: [[Q; 4]; UNITS],
    /// For each group, what its sum of products begins with.
    pub(super) starts: [i32; UNITS],
    /// The sums that minima are multiplied with, in pairs of 16 bits as minima are; where there
    /// is only one group, its sum.
    pub(super) sums: [i32; UNITS],
    pub(super) scale: f32,
}

/// The activations of `count` of `tokens` tokens: all tokens of the first block, of the second,
/// and so on.
#[inline(always)]
pub(super) fn prepare<L: Lanes, B: Blocks, const UNITS: usize>(
    x: &Quantised,
    tokens: usize,
    first: usize,
    count: usize,
) -> Vec<Columns<L::Quad, UNITS>> {
    let blocks = x.scales.len() / tokens;
    let empty = Columns {
        quads: [[L::Quad::default(); 4]; UNITS],
        starts: [0; UNITS],
        sums: [0; UNITS],
        scale: 0.0,
    };
    let mut columns = vec![empty; blocks * count];
    let (units, _) = x.quants.as_chunks::<4>().0.as_chunks::<4>();
    let (units, _) = units.as_chunks::<UNITS>();
    for t in 0..count {
        for b in 0..blocks {
            let at = (first + t) * blocks + b;
            let column = &mut columns[b * count + t];
            column.scale = x.scales[at];
            fill::<L, B, UNITS>(column, &units[at]);
        }
    }
    columns
}

#[inline(always)]
fn fill<L: Lanes, B: Blocks, const UNITS: usize>(
    column: &mut Columns<L::Quad, UNITS>,
    units: &[[[i8; 4]; 4]; UNITS],
) {
    let mut sums = [0i32; UNITS];
    for (unit, activations) in units.iter().enumerate() {
        let group = 16 * unit / B::GROUP;
        let sum = activations.as_flattened();
        let sum = sum.iter().fold(0i16, |sum, &x| sum + i16::from(x));
        sums[group] += i32::from(sum);
        column.starts[group] -= B::OFFSET * i32::from(sum);
        for (quad, &activations) in column.quads[unit].iter_mut().zip(activations) {
            *quad = L::quad(activations, B::BITS == 8);
            if B::BITS == 8 {
                column.starts[group] += L::left_out(activations);
            }
        }
    }
    if B::MINS && B::SCALES {
        for (pair, out) in column.sums[..B::LEN / B::GROUP / 2].iter_mut().enumerate() {
            let group = 4 * (pair / 2) + pair % 2;
            *out = (sums[group] & 0xffff) | (sums[group + 2] << 16);
        }
    } else {
        column.sums = sums;
    }
}
