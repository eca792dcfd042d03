mod rows;

use kernels::math;

use crate::hyperparameters::Kept;
use rows::Rows;
pub use rows::{CacheKind, UnknownCacheKind};

/// Positions whose values stay at hand while all heads of a group look at them.
const BLOCK: usize = 64;

/// Tokens behind a sliding window that are kept nevertheless, at least and until they are twice as many: so that a
/// conversation may go on from a little before its end, and old rows are not dropped one by one.
const BEHIND_WINDOW: usize = 256;

/// What attention needs to know of a model.
#[derive(Clone, Copy, Debug)]
pub(super) struct Heads {
    /// Query heads that share a key and value head.
    pub(super) group: usize,
    /// Width of a query or key.
    pub(super) key: usize,
    /// Width of a value.
    pub(super) value: usize,
    /// What the products of queries and keys are multiplied by.
    pub(super) scale: f32,
}

impl Heads {
    /// Values of one key and value head, with the queries that share it.
    pub(super) fn width(self) -> usize {
        self.group * self.key + self.key + self.value
    }
}

/// Room to work in, kept from one token to the next.
#[derive(Clone, Debug, Default)]
pub(super) struct Room {
    scores: Vec<f32>,
    rows: Vec<f32>,
}

/// Keys and values of the tokens so far, for one layer.
#[derive(Clone, Debug)]
pub(super) struct LayerCache {
    heads: Vec<HeadCache>,
    /// How far back tokens look; `None` for all the way.
    window: Option<usize>,
    /// The position of the first row; those before were dropped.
    first: usize,
}

/// For one key and value head: a row for each position, so that attention reads memory in order.
#[derive(Clone, Debug)]
struct HeadCache {
    keys: Rows,
    /// `None` where a value is the start of its key.
    values: Option<Rows>,
}

impl LayerCache {
    pub(super) fn new(kind: CacheKind, kept: Kept, window: Option<usize>) -> Self {
        let head = HeadCache {
            keys: Rows::new(kind, kept.key),
            values: (!kept.values_in_keys).then(|| Rows::new(kind, kept.value)),
        };
        Self {
            heads: vec![head; kept.heads],
            window,
            first: 0,
        }
    }

    /// Whether the rows that the token at `position` looks at are all there but its own.
    pub(super) fn reaches(&self, position: usize) -> bool {
        position == 0 || self.first == 0 || self.first <= self.seen_from(position + 1)
    }

    /// Forgets everything from `position` on, from where it must [reach](Self::reaches) or be 0.
    pub(super) fn truncate(&mut self, position: usize) {
        if position == 0 {
            self.first = 0;
        }
        let rows = position.saturating_sub(self.first);
        for head in &mut self.heads {
            head.keys.truncate(rows);
            if let Some(values) = &mut head.values {
                values.truncate(rows);
            }
        }
    }

    /// Drops rows that no later token looks at.
    pub(super) fn drop_unseen(&mut self) {
        let (Some(window), Some(head)) = (self.window, self.heads.first()) else {
            return;
        };
        let len = head.keys.len();
        if len <= window.saturating_add(2 * BEHIND_WINDOW) {
            return;
        }
        let rows = len - window - BEHIND_WINDOW;
        self.first += rows;
        for head in &mut self.heads {
            head.keys.drop_first(rows);
            if let Some(values) = &mut head.values {
                values.drop_first(rows);
            }
        }
    }

    /// Adds the next token's key and value for one head.
    pub(super) fn push(&mut self, head: usize, key: &[f32], value: &[f32]) {
        let head = &mut self.heads[head];
        head.keys.push(key);
        if let Some(values) = &mut head.values {
            values.push(value);
        }
    }

    /// The first position that the last of so many tokens looks at.
    fn seen_from(&self, positions: usize) -> usize {
        self.window
            .map_or(0, |window| positions.saturating_sub(window))
    }

    /// Lets the query heads of a group look at the first `positions` tokens, as far as the window goes. What they
    /// see is added to `out`, which is zero. Every sum runs in the order of positions.
    pub(super) fn attend(
        &self,
        head: usize,
        queries: &[f32],
        positions: usize,
        heads: Heads,
        room: &mut Room,
        out: &mut [f32],
    ) {
        let HeadCache { keys, values } = &self.heads[head];
        let Room { scores, rows } = room;
        let (start, end) = (
            self.seen_from(positions) - self.first,
            positions - self.first,
        );
        let count = end - start;
        scores.clear();
        scores.resize(heads.group * count, 0.0);
        let blocks = || {
            (start..end)
                .step_by(BLOCK)
                .map(|from| from..end.min(from + BLOCK))
        };
        for block in blocks() {
            let at = block.start - start;
            for (position, key) in (at..).zip(keys.get(block, rows).chunks_exact(heads.key)) {
                for (index, query) in queries.chunks_exact(heads.key).enumerate() {
                    scores[index * count + position] = math::dot(query, key) * heads.scale;
                }
            }
        }
        for scores in scores.chunks_exact_mut(count) {
            math::softmax(scores);
        }
        let values = values.as_ref().unwrap_or(keys);
        for block in blocks() {
            let at = block.start - start;
            let values_of = values.get(block, rows);
            let groups = scores.chunks_exact(count);
            for (scores, out) in groups.zip(out.chunks_exact_mut(heads.value)) {
                let rows = values_of.chunks_exact(values.width());
                for (&score, value) in scores[at..].iter().zip(rows) {
                    math::add_scaled(out, score, &value[..heads.value]);
                }
            }
        }
    }
}
