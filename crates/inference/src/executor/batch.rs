use std::ops::Range;

use kernels::add_tree;

use super::experts::Group;

/// Partial results that wait for the rest, in the order of the sum.
#[derive(Debug)]
pub(super) struct Sum {
    parts: Vec<Option<Vec<f32>>>,
    missing: usize,
}

impl Sum {
    pub(super) fn new(parts: usize) -> Self {
        Self {
            parts: vec![None; parts],
            missing: parts,
        }
    }

    pub(super) fn put(&mut self, part: usize, values: Vec<f32>) {
        if self.parts[part].replace(values).is_none() {
            self.missing -= 1;
        }
    }

    pub(super) fn is_complete(&self) -> bool {
        self.missing == 0
    }

    /// The sum along the tree that fixes its bits, whoever answered first.
    pub(super) fn add(self) -> Result<Vec<f32>, kernels::Error> {
        add_tree(self.parts.into_iter().flatten().collect())
    }
}

/// Rows of which answers bring some columns each.
#[derive(Debug)]
pub(super) struct Columns {
    pub(super) values: Vec<f32>,
    width: usize,
    missing: usize,
}

impl Columns {
    pub(super) fn new(rows: usize, width: usize, parts: usize) -> Self {
        Self {
            values: vec![0.0; rows * width],
            width,
            missing: parts,
        }
    }

    /// Each part comes once: its request is closed by its answer.
    fn put(&mut self, columns: &Range<usize>, values: &[f32]) {
        let rows = self.values.chunks_exact_mut(self.width);
        for (row, values) in rows.zip(values.chunks_exact(columns.len())) {
            row[columns.clone()].copy_from_slice(values);
        }
        self.missing -= 1;
    }
}

/// Some tokens on their way through the layers.
#[derive(Debug)]
pub(super) struct Batch {
    /// Position of the first token.
    pub(super) start: usize,
    /// One row per token.
    pub(super) hidden: Vec<f32>,
    /// One rotation per token.
    pub(super) rotations: Vec<Vec<(f32, f32)>>,
    /// What each token's queries are multiplied by, if by anything.
    pub(super) scales: Vec<Option<f32>>,
    pub(super) layer: u32,
    pub(super) phase: Phase,
    /// How often one of these tokens does without an expert.
    pub(super) left_out: usize,
}

/// What a batch waits for.
#[derive(Debug, Default)]
pub(super) enum Phase {
    /// For nothing: it goes from one phase to the next.
    #[default]
    Between,
    Latents(Latents),
    Attention(Sum),
    FeedForward(FeedForward),
}

/// What leads to queries, keys and values in latent attention.
#[derive(Debug)]
pub(super) struct Latents {
    /// What queries are made of, where they have no latent.
    pub(super) input: Vec<f32>,
    /// The queries' latents.
    pub(super) queries: Option<Columns>,
    /// The latents of keys and values, and the keys' turned parts.
    pub(super) keys_values: Columns,
}

impl Latents {
    /// Takes some columns of the queries' latents, or of the others.
    pub(super) fn put(&mut self, queries: bool, columns: &Range<usize>, values: &[f32]) {
        match &mut self.queries {
            Some(latents) if queries => latents.put(columns, values),
            _ => self.keys_values.put(columns, values),
        }
    }

    pub(super) fn is_complete(&self) -> bool {
        let queries = self.queries.as_ref().map_or(0, |queries| queries.missing);
        queries + self.keys_values.missing == 0
    }
}

#[derive(Debug)]
pub(super) struct FeedForward {
    /// The tokens of each expert in use, and what it makes of them; nothing if it is left out.
    pub(super) routed: Vec<(Group, Option<Sum>)>,
    /// What the layer without experts, or the expert all tokens share, makes of all tokens.
    pub(super) always: Option<Sum>,
}

impl FeedForward {
    pub(super) fn is_complete(&self) -> bool {
        let complete = |sum: &Option<Sum>| sum.as_ref().is_none_or(Sum::is_complete);
        self.routed.iter().all(|(_, sum)| complete(sum))
            && self.always.as_ref().is_none_or(Sum::is_complete)
    }
}

impl Batch {
    pub(super) fn tokens(&self) -> usize {
        self.rotations.len()
    }
}
