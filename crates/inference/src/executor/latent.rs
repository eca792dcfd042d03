//! Latent attention: all heads share one latent, which is kept instead of keys and values.
//!
//! In the absorbed form a head's query is led into the latent (`attn_k_b`), where it meets the latents of
//! all tokens as they are kept, and what it sees there is led out again (`attn_v_b`). Besides, each query
//! has a part that positions turn, which meets the one such part that a token keeps for all heads.

use architecture::Role;

use super::{
    Error, Executor, Task,
    attention::scale,
    batch::{Batch, Columns, Latents, Phase, Sum},
    inputs::{Inputs, norm_rows},
};
use crate::{
    compute::Operation,
    hyperparameters::Latent,
    model::{Attention, Layer},
    rope,
};

impl Executor {
    /// Asks for the latents of a layer's input.
    pub(super) fn start_latents(
        &mut self,
        mut batch: Batch,
        latent: Latent,
        layer: &Layer,
        normed: Vec<f32>,
    ) -> Result<(), Error> {
        let width = self.model.hyperparameters().n_embd;
        let tokens = batch.tokens();
        let parts = layer.key_value_latent.len();
        let mut latents = Latents {
            input: Vec::new(),
            queries: None,
            keys_values: Columns::new(tokens, self.heads.key, parts),
        };
        let mut inputs = Inputs::new(self.arithmetic, normed);
        let mut wanted = vec![(Role::KeyValueDown, &layer.key_value_latent)];
        if let Some(rank) = latent.queries {
            let parts = &layer.query_latent;
            latents.queries = Some(Columns::new(tokens, rank, parts.len()));
            wanted.push((Role::QueryDown, parts));
        }
        for (of, parts) in wanted {
            for part in parts {
                let input = inputs.get(part.encoding, width)?;
                let columns = part.rows.clone();
                let width = columns.len();
                let task = Task::Latent { of, columns };
                self.ask(part.address, Operation::Latent, input, width, task);
            }
        }
        if latents.queries.is_none() {
            latents.input = inputs.into_values();
        }
        batch.phase = Phase::Latents(latents);
        self.batch = Some(batch);
        Ok(())
    }

    /// Keeps the tokens' latents, and asks for their queries.
    pub(super) fn finish_latents(&mut self, mut batch: Batch) -> Result<(), Error> {
        let Phase::Latents(latents) = std::mem::take(&mut batch.phase) else {
            return Ok(());
        };
        let (model, small) = (self.model.clone(), self.small.clone());
        let (h, heads) = (model.hyperparameters(), self.heads);
        let small = &small.layers[batch.layer as usize];
        let cache = &mut self.cache[(batch.layer - self.layers.start) as usize];
        let norm = small.norm(Role::KeyValueLatentNorm);
        let mut rows = latents.keys_values.values;
        for (row, rotation) in rows.chunks_exact_mut(heads.key).zip(&batch.rotations) {
            let (latent, turned) = row.split_at_mut(heads.value);
            latent.copy_from_slice(&norm_rows(latent, norm, h.eps)?);
            rope::rotate(turned, rotation, h.architecture.pairs);
            cache.push(0, row, &row[..heads.value]);
        }
        let (input, width) = match latents.queries {
            Some(queries) => {
                let norm = small.norm(Role::QueryLatentNorm);
                (norm_rows(&queries.values, norm, h.eps)?, norm.len())
            }
            None => (latents.input, h.n_embd),
        };
        let layer = &model.layout().layers[batch.layer as usize];
        self.ask_heads(layer, width, input)?;
        batch.phase = Phase::Attention(Sum::new(layer.attention.len()));
        self.batch = Some(batch);
        Ok(())
    }

    /// What each head of a part sees, in the latent: `tokens × heads × width of the latent`.
    pub(super) fn attend_latent(
        &mut self,
        part: &Attention,
        mut queries: Vec<f32>,
        batch: &Batch,
    ) -> Vec<f32> {
        let pairs = self.model.hyperparameters().architecture.pairs;
        let mut heads = self.heads;
        heads.group = part.heads.len();
        let cache = &self.cache[(batch.layer - self.layers.start) as usize];
        let width = heads.group * heads.value;
        let mut seen = vec![0.0; batch.tokens() * width];
        let rows = queries.chunks_exact_mut(heads.group * heads.key);
        for (token, queries) in rows.enumerate() {
            for head in queries.chunks_exact_mut(heads.key) {
                let (_, turned) = head.split_at_mut(heads.value);
                rope::rotate(turned, &batch.rotations[token], pairs);
            }
            scale(queries, batch.scales[token]);
        }
        let tokens = queries
            .chunks_exact(heads.group * heads.key)
            .zip(seen.chunks_exact_mut(width));
        cache.attend(0, batch.start, tokens, heads, &mut self.room);
        seen
    }
}
