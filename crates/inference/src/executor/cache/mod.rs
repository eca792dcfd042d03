mod rows;

use std::ops::Range;

use kernels::math;

use crate::{hyperparameters::Kept, parallel};
use rows::Rows;
pub use rows::{CacheKind, UnknownCacheKind};

/// Positions whose values stay at hand while all heads of a group look at them.
const BLOCK: usize = 64;

/// Rows are made floats of for several tokens at once, if they are at most so many values.
const ROOM: usize = 4 << 20;

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
    keys: Vec<f32>,
    values: Vec<f32>,
    token: TokenRoom,
}

/// What one token needs of it.
#[derive(Clone, Debug, Default)]
struct TokenRoom {
    scores: Vec<f32>,
    block: Vec<f32>,
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

    /// Lets the query heads of a group look around for some tokens, the first of which is at `start`: each token
    /// has its queries and room for what they see, which is zero. Each looks at itself and those before, as far as
    /// the window goes. Every sum runs in the order of positions, however many tokens there are.
    pub(super) fn attend<'a>(
        &self,
        head: usize,
        start: usize,
        tokens: impl ExactSizeIterator<Item = (&'a [f32], &'a mut [f32])>,
        heads: Heads,
        room: &mut Room,
    ) {
        let HeadCache { keys, values } = &self.heads[head];
        let from = self.seen_from(start + 1);
        let rows = from - self.first..start + tokens.len() - self.first;
        // What several tokens look at is made floats of once.
        let at_once = tokens.len() > 1 && rows.len() * (heads.key + heads.value) <= ROOM;
        let known = at_once.then(|| Known {
            from: rows.start,
            keys: keys.get(rows.clone(), &mut room.keys),
            values: values
                .as_ref()
                .map(|values| values.get(rows, &mut room.values)),
        });
        let mut tokens: Vec<_> = (start + 1..).zip(tokens).collect();
        parallel::for_each(&mut tokens, &mut room.token, |(positions, token), room| {
            let (queries, out) = token;
            self.look(
                &self.heads[head],
                *positions,
                known,
                (queries, out),
                heads,
                room,
            );
        });
    }

    /// Lets one token look at the first so many positions.
    fn look(
        &self,
        HeadCache { keys, values }: &HeadCache,
        positions: usize,
        known: Option<Known>,
        (queries, out): (&[f32], &mut [f32]),
        heads: Heads,
        TokenRoom {
            scores,
            block: room,
        }: &mut TokenRoom,
    ) {
        let rows = self.seen_from(positions) - self.first..positions - self.first;
        scores.clear();
        scores.resize(heads.group * rows.len(), 0.0);
        let count = rows.len();
        for block in blocks(&rows) {
            let at = block.start - rows.start;
            let keys = match &known {
                Some(known) => known.keys(block, heads.key),
                None => keys.get(block, room),
            };
            for (position, key) in (at..).zip(keys.chunks_exact(heads.key)) {
                for (index, query) in queries.chunks_exact(heads.key).enumerate() {
                    scores[index * count + position] = math::dot(query, key) * heads.scale;
                }
            }
        }
        for scores in scores.chunks_exact_mut(count) {
            math::softmax(scores);
        }
        let (kept, width) = match values {
            Some(values) => (values, heads.value),
            None => (keys, heads.key),
        };
        for block in blocks(&rows) {
            let at = block.start - rows.start;
            let values = match &known {
                Some(known) => known.values(block, heads),
                None => kept.get(block, room),
            };
            let groups = scores.chunks_exact(count);
            for (scores, out) in groups.zip(out.chunks_exact_mut(heads.value)) {
                for (&score, value) in scores[at..].iter().zip(values.chunks_exact(width)) {
                    math::add_scaled(out, score, &value[..heads.value]);
                }
            }
        }
    }
}

fn blocks(rows: &Range<usize>) -> impl Iterator<Item = Range<usize>> + use<> {
    let end = rows.end;
    let block = move |from| from..end.min(from + BLOCK);
    rows.clone().step_by(BLOCK).map(block)
}

/// Rows that are floats already.
#[derive(Clone, Copy)]
struct Known<'a> {
    /// The first of them.
    from: usize,
    keys: &'a [f32],
    /// `None` where a value is the start of its key.
    values: Option<&'a [f32]>,
}

impl Known<'_> {
    fn keys(&self, rows: Range<usize>, width: usize) -> &[f32] {
        let rows = rows.start - self.from..rows.end - self.from;
        &self.keys[rows.start * width..rows.end * width]
    }

    fn values(&self, rows: Range<usize>, heads: Heads) -> &[f32] {
        let Some(values) = self.values else {
            return self.keys(rows, heads.key);
        };
        let rows = rows.start - self.from..rows.end - self.from;
        &values[rows.start * heads.value..rows.end * heads.value]
    }
}
