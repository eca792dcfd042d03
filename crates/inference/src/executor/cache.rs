use kernels::math;

/// Positions whose values stay at hand while all heads of a group look at them.
const BLOCK: usize = 64;

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

/// Keys and values of the tokens so far, for one layer.
#[derive(Clone, Debug)]
pub(super) struct LayerCache {
    heads: Vec<HeadCache>,
}

/// For one key and value head: a row for each position, so that attention reads memory in order.
#[derive(Clone, Debug, Default)]
struct HeadCache {
    keys: Vec<f32>,
    values: Vec<f32>,
}

impl LayerCache {
    pub(super) fn new(kv_heads: usize) -> Self {
        Self {
            heads: vec![HeadCache::default(); kv_heads],
        }
    }

    /// Forgets everything from `position` on.
    pub(super) fn truncate(&mut self, position: usize, heads: Heads) {
        for head in &mut self.heads {
            head.keys.truncate(position * heads.key);
            head.values.truncate(position * heads.value);
        }
    }

    /// Adds the next token's key and value for one head.
    pub(super) fn push(&mut self, head: usize, key: &[f32], value: &[f32]) {
        let head = &mut self.heads[head];
        head.keys.extend_from_slice(key);
        head.values.extend_from_slice(value);
    }

    /// Lets the query heads of a group look at the first `positions` tokens. What they see is added to `out`,
    /// which is zero; `scores` is room to work in. Every sum runs in the order of positions.
    pub(super) fn attend(
        &self,
        head: usize,
        queries: &[f32],
        positions: usize,
        heads: Heads,
        scores: &mut Vec<f32>,
        out: &mut [f32],
    ) {
        let HeadCache { keys, values } = &self.heads[head];
        let (keys, values) = (
            &keys[..positions * heads.key],
            &values[..positions * heads.value],
        );
        scores.clear();
        scores.resize(heads.group * positions, 0.0);
        for (position, key) in keys.chunks_exact(heads.key).enumerate() {
            for (index, query) in queries.chunks_exact(heads.key).enumerate() {
                scores[index * positions + position] = math::dot(query, key) * heads.scale;
            }
        }
        for scores in scores.chunks_exact_mut(positions) {
            math::softmax(scores);
        }
        for (block, values) in values.chunks(BLOCK * heads.value).enumerate() {
            let rows = scores.chunks_exact(positions);
            for (scores, out) in rows.zip(out.chunks_exact_mut(heads.value)) {
                let scores = &scores[block * BLOCK..];
                for (&score, value) in scores.iter().zip(values.chunks_exact(heads.value)) {
                    math::add_scaled(out, score, value);
                }
            }
        }
    }
}
