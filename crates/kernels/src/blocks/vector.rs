use super::{Columns, Strip, min_pair, scale, term};
use crate::formats::{Blocks, Sink, unroll};
use crate::lanes::Lanes;

/// Takes quants by multiplying them with the activations of one token.
struct Dots<'a, L: Lanes, B, const UNITS: usize> {
    /// One for each group.
    sums: [L::Int; UNITS],
    x: &'a Columns<L::Quad, UNITS>,
    format: std::marker::PhantomData<B>,
}

impl<L: Lanes, B: Blocks, const UNITS: usize> Sink<L> for Dots<'_, L, B, UNITS> {
    #[inline(always)]
    fn take(&mut self, l: L, unit: usize, quads: [L::Int; 4]) {
        let (group, x) = (16 * unit / B::GROUP, &self.x.quads[unit]);
        let is_first = (16 * unit).is_multiple_of(B::GROUP);
        let sum = if is_first {
            l.splat(self.x.starts[group])
        } else {
            self.sums[group]
        };
        self.sums[group] = if B::BITS == 8 {
            let quads = [
                l.signed(quads[0]),
                l.signed(quads[1]),
                l.signed(quads[2]),
                l.signed(quads[3]),
            ];
            l.dot_signed(sum, &quads, x)
        } else {
            dot::<L, B>(l, sum, &quads, x)
        };
    }
}

/// [`Lanes::dot`] for the quants of a type.
#[inline(always)]
pub(super) fn dot<L: Lanes, B: Blocks>(
    l: L,
    sum: L::Int,
    quads: &[L::Int; 4],
    x: &[L::Quad; 4],
) -> L::Int {
    match B::BITS {
        8 => l.dot_signed(sum, quads, x),
        6 => l.dot::<6>(sum, quads, x),
        5 => l.dot::<5>(sum, quads, x),
        _ => l.dot::<4>(sum, quads, x),
    }
}

/// The product of a strip with one token.
#[inline(always)]
pub(super) fn product<L: Lanes, B: Blocks, const UNITS: usize>(
    l: L,
    strip: &Strip<'_>,
    blocks: usize,
    columns: &[Columns<L::Quad, UNITS>],
) -> L::Floats {
    let groups = B::LEN / B::GROUP;
    let mut total = l.splat_float(0.0);
    for (b, x) in columns[..blocks].iter().enumerate() {
        let block = strip.block::<L, B>(b);
        let mut dots = Dots::<L, B, UNITS> {
            sums: [l.splat(0); UNITS],
            x,
            format: std::marker::PhantomData,
        };
        B::quads(l, &block, &mut dots);
        let mut sum = dots.sums[0];
        if B::SCALES {
            let scales = B::scales(l, &block);
            sum = l.mul(sum, scale::<L, B>(l, &scales, 0));
            unroll!(
                for group in [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15] {
                    if group < groups {
                        let scale = scale::<L, B>(l, &scales, group);
                        sum = l.add(sum, l.mul(dots.sums[group % UNITS], scale));
                    }
                }
            );
        }
        let mut less = l.splat(x.sums[0]);
        if B::MINS && B::SCALES {
            let mins = B::mins(l, &block);
            less = l.splat(0);
            unroll!(for pair in [0, 1, 2, 3, 4, 5, 6, 7] {
                if pair < groups / 2 {
                    let mins = min_pair(l, &mins, pair);
                    less = l.dot_pair(less, mins, x.sums[pair % UNITS]);
                }
            });
        }
        let term = term::<L, B>(l, B::d(l, &block), x.scale, sum, less);
        total = l.add_float(total, term);
    }
    let mut out = L::ZEROS;
    l.store_float(total, &mut out);
    out
}
