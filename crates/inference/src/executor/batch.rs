use kernels::add_tree;

use super::experts::Group;

/// Partial results that wait for the rest, in the plan's order.
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

/// Some tokens on their way through the layers.
#[derive(Debug)]
pub(super) struct Batch {
    /// Position of the first token.
    pub(super) start: usize,
    /// One row per token.
    pub(super) hidden: Vec<f32>,
    /// One rotation per token.
    pub(super) rotations: Vec<Vec<(f32, f32)>>,
    pub(super) layer: u32,
    pub(super) phase: Phase,
}

/// What a batch waits for.
#[derive(Debug)]
pub(super) enum Phase {
    Attention(Sum),
    /// With one sum per group; a dense layer is one group of all tokens.
    FeedForward(Vec<(Group, Sum)>),
}

impl Batch {
    pub(super) fn tokens(&self) -> usize {
        self.rotations.len()
    }
}
