//! Rows shared out among threads, where that pays.

/// Calls `work` with all rows of `weights` and their places in `y`, a slice for each token; in
/// several parts, one for each thread, if the product is large.
#[cfg(not(feature = "threads"))]
#[inline(always)]
pub(crate) fn share(
    weights: &[u8],
    _row_bytes: usize,
    y: &mut [&mut [f32]],
    work: impl Fn(&[u8], &mut [&mut [f32]]),
) {
    work(weights, y);
}

/// Calls `work` with all rows of `weights` and their places in `y`, a slice for each token; in
/// several parts, one for each thread, if the product is large.
#[cfg(feature = "threads")]
pub(crate) fn share(
    weights: &[u8],
    row_bytes: usize,
    y: &mut [&mut [f32]],
    work: impl Fn(&[u8], &mut [&mut [f32]]) + Sync,
) {
    use rayon::prelude::*;

    /// Bytes of weights times tokens that are worth the way to another thread: about 10 µs.
    const LEAST: usize = 256 << 10;
    /// Shares for each thread, so that one that is held up does not hold up the others.
    const SHARES: usize = 4;
    /// Whole strips, and whole vectors, of the widest instructions.
    const ROWS: usize = 16;

    let rows = weights.len() / row_bytes;
    let threads = rayon::current_num_threads();
    let shares = weights.len().saturating_mul(y.len()) / LEAST;
    let share = rows.div_ceil(shares.min(threads * SHARES).max(1));
    let share = share.next_multiple_of(ROWS);
    if threads == 1 || share >= rows {
        return work(weights, y);
    }
    let mut places: Vec<Vec<&mut [f32]>> = Vec::new();
    places.resize_with(rows.div_ceil(share), || Vec::with_capacity(y.len()));
    for y in y {
        for (places, y) in places.iter_mut().zip(y.chunks_mut(share)) {
            places.push(y);
        }
    }
    let weights = weights.par_chunks(share * row_bytes);
    weights
        .zip(places)
        .for_each(|(weights, mut y)| work(weights, &mut y));
}
