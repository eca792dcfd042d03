//! From a layer's input to what attention adds to it.

use std::sync::Arc;

use architecture::Role;
use kernels::Activations;

use super::{
    Error, Executor, Task,
    batch::{Batch, Phase, Sum},
    inputs::{Inputs, norm_rows},
};
use crate::{
    compute::{Operation, Request},
    model::{Address, Layer, SmallLayer},
    rope,
};

impl Executor {
    pub(super) fn start_attention(&mut self, mut batch: Batch) -> Result<(), Error> {
        let (model, small) = (self.model.clone(), self.small.clone());
        let small = &small.layers[batch.layer as usize];
        let normed = self.normed(&batch.hidden, small.norm(Role::AttentionNorm))?;
        let layer = &model.layout().layers[batch.layer as usize];
        if let Some(latent) = model.hyperparameters().latent {
            return self.start_latents(batch, latent, layer, normed);
        }
        let width = model.hyperparameters().n_embd;
        self.ask_heads(layer, width, normed)?;
        batch.phase = Phase::Attention(Sum::new(layer.attention.len()));
        self.batch = Some(batch);
        Ok(())
    }

    /// Asks for what heads make of these rows.
    pub(super) fn ask_heads(
        &mut self,
        layer: &Layer,
        width: usize,
        rows: Vec<f32>,
    ) -> Result<(), Error> {
        let (operation, each) = match self.model.hyperparameters().latent {
            None => (Operation::Qkv, self.heads.width()),
            Some(_) => (Operation::LatentQueries, self.heads.key),
        };
        let mut inputs = Inputs::new(self.arithmetic, rows);
        for (index, part) in layer.attention.iter().enumerate() {
            let input = inputs.get(part.input, width)?;
            let width = part.heads.len() * each;
            let task = Task::Heads { part: index };
            self.ask(part.address, operation.clone(), input, width, task);
        }
        Ok(())
    }

    /// Attention for the heads of a part, as soon as what they need is there.
    pub(super) fn attend(
        &mut self,
        part: usize,
        heads: Vec<f32>,
        batch: &Batch,
    ) -> Result<(), Error> {
        let (model, small) = (self.model.clone(), self.small.clone());
        let layer = &model.layout().layers[batch.layer as usize];
        let (index, part) = (part, &layer.attention[part]);
        let seen = match model.hyperparameters().latent {
            Some(_) => self.attend_latent(part, heads, batch),
            None => self.attend_groups(part, &small.layers[batch.layer as usize], heads, batch)?,
        };
        let columns = seen.len() / batch.tokens();
        let input = Inputs::new(self.arithmetic, seen).get(part.output, columns)?;
        let width = model.hyperparameters().n_embd;
        let task = Task::AttentionOutput { part: index };
        self.ask(part.address, Operation::AttentionOutput, input, width, task);
        Ok(())
    }

    /// What each query head of a part sees: `tokens × heads × width of a value`.
    fn attend_groups(
        &mut self,
        part: &crate::model::Attention,
        small: &SmallLayer,
        mut qkv: Vec<f32>,
        batch: &Batch,
    ) -> Result<Vec<f32>, Error> {
        let model = self.model.clone();
        let h = model.hyperparameters();
        let heads = self.heads;
        let kv_heads = part.heads.len();
        let (queries, keys) = (kv_heads * heads.group * heads.key, kv_heads * heads.key);
        let cache = &mut self.cache[(batch.layer - self.layers.start) as usize];
        let each = heads.group * heads.value;
        let mut seen = vec![0.0; batch.tokens() * kv_heads * each];
        let width = kv_heads * heads.width();
        for (token, qkv) in qkv.chunks_exact_mut(width).enumerate() {
            let (queries, rest) = qkv.split_at_mut(queries);
            let (keys, values) = rest.split_at_mut(keys);
            for (values, role, each) in [
                (&mut *queries, Role::QueryBias, heads.group * heads.key),
                (&mut *keys, Role::KeyBias, heads.key),
                (&mut *values, Role::ValueBias, heads.value),
            ] {
                if let Some(bias) = small.optional(role) {
                    add(values, &bias[part.heads.start * each..][..values.len()]);
                }
            }
            for (rows, role) in [
                (&mut *queries, Role::QueryNorm),
                (&mut *keys, Role::KeyNorm),
            ] {
                if let Some(norm) = small.optional(role) {
                    rows.copy_from_slice(&norm_rows(rows, norm, h.eps)?);
                }
                for head in rows.chunks_exact_mut(heads.key) {
                    rope::rotate(head, &batch.rotations[token], h.architecture.pairs);
                }
            }
            self::scale(queries, batch.scales[token]);
            let rows = keys
                .chunks_exact(heads.key)
                .zip(values.chunks_exact(heads.value));
            for (head, (key, value)) in part.heads.clone().zip(rows) {
                cache.push(head, key, value);
            }
        }
        let queries = heads.group * heads.key;
        for (index, head) in part.heads.clone().enumerate() {
            let tokens = qkv
                .chunks_exact(width)
                .map(|qkv| &qkv[index * queries..][..queries])
                .zip(
                    seen.chunks_exact_mut(kv_heads * each)
                        .map(|seen| &mut seen[index * each..][..each]),
                );
            cache.attend(head, batch.start, tokens, heads, &mut self.room);
        }
        Ok(seen)
    }

    /// Adds what attention found to the tokens' states.
    pub(super) fn finish_attention(&mut self, mut batch: Batch) -> Result<(), Error> {
        if let Phase::Attention(sum) = std::mem::take(&mut batch.phase) {
            let small = self.small.clone();
            let mut found = sum.add()?;
            let small = &small.layers[batch.layer as usize];
            add_to_rows(&mut found, small.optional(Role::AttentionOutputBias));
            add(&mut batch.hidden, &found);
        }
        self.start_feed_forward(batch)
    }

    pub(super) fn normed(
        &self,
        hidden: &[f32],
        weight: &[f32],
    ) -> Result<Vec<f32>, kernels::Error> {
        norm_rows(hidden, weight, self.model.hyperparameters().eps)
    }

    pub(super) fn ask(
        &mut self,
        address: Address,
        operation: Operation,
        input: Arc<Activations>,
        width: usize,
        task: Task,
    ) {
        let request = Request {
            fragment: address.fragment,
            part: address.part,
            operation,
            arithmetic: self.arithmetic,
            input: Some(input),
        };
        self.requests.push(request, width, task);
    }
}

/// Multiplies by what the position asks for, if it asks for something.
pub(super) fn scale(values: &mut [f32], factor: Option<f32>) {
    if let Some(factor) = factor {
        values.iter_mut().for_each(|value| *value *= factor);
    }
}

pub(super) fn add(values: &mut [f32], more: &[f32]) {
    for (value, more) in values.iter_mut().zip(more) {
        *value += more;
    }
}

/// Adds the same to each row.
pub(super) fn add_to_rows(rows: &mut [f32], bias: Option<&[f32]>) {
    if let Some(bias) = bias {
        for row in rows.chunks_exact_mut(bias.len()) {
            add(row, bias);
        }
    }
}
