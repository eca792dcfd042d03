//! What happens between the requests of a layer.

use std::sync::Arc;

use kernels::Activations;

use super::{
    Error, Executor, Task,
    batch::{Batch, Phase, Sum},
    experts::{self, Group, Member},
    inputs::{Inputs, norm_rows},
};
use crate::{
    compute::{Operation, Request},
    model::Address,
    rope,
};

impl Executor {
    pub(super) fn start_attention(&mut self, mut batch: Batch) -> Result<(), Error> {
        let (model, small) = (self.model.clone(), self.small.clone());
        let norm = &small.layers[batch.layer as usize].attention_norm;
        let parts = &model.layout().layers[batch.layer as usize].attention;
        let mut inputs = Inputs::new(self.arithmetic, self.normed(&batch.hidden, norm)?);
        for (index, part) in parts.iter().enumerate() {
            let input = inputs.get(part.input, model.hyperparameters().n_embd)?;
            let width = part.kv_heads.len() * self.heads.width();
            self.ask(
                part.address,
                Operation::Qkv,
                input,
                width,
                Task::Qkv { part: index },
            );
        }
        batch.phase = Phase::Attention(Sum::new(parts.len()));
        self.batch = Some(batch);
        Ok(())
    }

    /// Attention for the heads of a part, as soon as their queries, keys and values are there.
    pub(super) fn attend(
        &mut self,
        part: usize,
        mut qkv: Vec<f32>,
        batch: &Batch,
    ) -> Result<(), Error> {
        let model = self.model.clone();
        let index = part;
        let part = &model.layout().layers[batch.layer as usize].attention[part];
        let heads = self.heads;
        let kv_heads = part.kv_heads.len();
        let (queries, keys) = (kv_heads * heads.group * heads.key, kv_heads * heads.key);
        let cache = &mut self.cache[(batch.layer - self.layers.start) as usize];
        let columns = kv_heads * heads.group * heads.value;
        let mut seen = vec![0.0; batch.tokens() * columns];
        let rows = qkv
            .chunks_exact_mut(kv_heads * heads.width())
            .zip(seen.chunks_exact_mut(columns));
        for (token, (qkv, seen)) in rows.enumerate() {
            let (rotated, values) = qkv.split_at_mut(queries + keys);
            for head in rotated.chunks_exact_mut(heads.key) {
                rope::rotate(head, &batch.rotations[token]);
            }
            let (queries, keys) = rotated.split_at(queries);
            let rows = keys
                .chunks_exact(heads.key)
                .zip(values.chunks_exact(heads.value));
            for (head, (key, value)) in part.kv_heads.clone().zip(rows) {
                cache.push(head, key, value);
            }
            let groups = queries.chunks_exact(heads.group * heads.key);
            let groups = groups.zip(seen.chunks_exact_mut(heads.group * heads.value));
            for (head, (queries, seen)) in part.kv_heads.clone().zip(groups) {
                cache.attend(head, queries, heads, &mut self.scores, seen);
            }
        }
        let input = Inputs::new(self.arithmetic, seen).get(part.output, columns)?;
        let width = model.hyperparameters().n_embd;
        let task = Task::AttentionOutput { part: index };
        self.ask(part.address, Operation::AttentionOutput, input, width, task);
        Ok(())
    }

    pub(super) fn finish_attention(&mut self, mut batch: Batch) -> Result<(), Error> {
        if let Phase::Attention(sum) =
            std::mem::replace(&mut batch.phase, Phase::FeedForward(Vec::new()))
        {
            add(&mut batch.hidden, &sum.add()?);
        }
        let (model, small) = (self.model.clone(), self.small.clone());
        let width = model.hyperparameters().n_embd;
        let small = &small.layers[batch.layer as usize];
        let normed = self.normed(&batch.hidden, &small.feed_forward_norm)?;
        let groups = match (&small.router, model.hyperparameters().experts) {
            (Some(router), Some(experts)) => {
                let mut scores = router.scores(&normed, width, self.arithmetic)?;
                experts::route(&mut scores, experts)
            }
            _ => vec![Group {
                expert: 0,
                members: (0..batch.tokens())
                    .map(|token| Member {
                        token,
                        rank: 0,
                        weight: 1.0,
                    })
                    .collect(),
            }],
        };
        let layer = &model.layout().layers[batch.layer as usize];
        let mut sums = Vec::with_capacity(groups.len());
        for (index, group) in groups.into_iter().enumerate() {
            let parts = &layer.feed_forward[group.expert];
            let rows = group
                .members
                .iter()
                .map(|member| &normed[member.token * width..][..width]);
            let mut inputs = Inputs::new(self.arithmetic, rows.collect::<Vec<_>>().concat());
            for (part, place) in parts.iter().enumerate() {
                let input = inputs.get(place.input, width)?;
                let task = Task::FeedForward { group: index, part };
                self.ask(place.address, Operation::FeedForward, input, width, task);
            }
            sums.push((group, Sum::new(parts.len())));
        }
        batch.phase = Phase::FeedForward(sums);
        self.batch = Some(batch);
        Ok(())
    }

    pub(super) fn finish_feed_forward(&mut self, mut batch: Batch) -> Result<(), Error> {
        let groups = std::mem::replace(&mut batch.phase, Phase::FeedForward(Vec::new()));
        if let Phase::FeedForward(groups) = groups {
            self.add_experts(groups, &mut batch.hidden)?;
        }
        batch.layer += 1;
        if batch.layer < self.layers.end {
            return self.start_attention(batch);
        }
        self.position = batch.start + batch.tokens();
        self.output = Some(batch.hidden);
        Ok(())
    }

    /// Adds what the experts made of each token, the likeliest expert's first.
    fn add_experts(&self, groups: Vec<(Group, Sum)>, hidden: &mut [f32]) -> Result<(), Error> {
        let h = self.model.hyperparameters();
        let width = h.n_embd;
        let used = h.experts.map_or(1, |experts| experts.used);
        let mut results = Vec::with_capacity(groups.len());
        // Where each token's results are, by rank: group and row.
        let mut places = vec![(0, 0, 0.0); hidden.len() / width * used];
        for (index, (group, sum)) in groups.into_iter().enumerate() {
            for (row, member) in group.members.iter().enumerate() {
                places[member.token * used + member.rank] = (index, row, member.weight);
            }
            results.push(sum.add()?);
        }
        let mut result = vec![0.0; width];
        for (hidden, places) in hidden
            .chunks_exact_mut(width)
            .zip(places.chunks_exact(used))
        {
            for (rank, &(group, row, weight)) in places.iter().enumerate() {
                let values = &results[group][row * width..][..width];
                for (result, value) in result.iter_mut().zip(values) {
                    // The first is not added to zero, which would make −0 a 0.
                    *result = if rank == 0 {
                        value * weight
                    } else {
                        *result + value * weight
                    };
                }
            }
            add(hidden, &result);
        }
        Ok(())
    }

    fn normed(&self, hidden: &[f32], weight: &[f32]) -> Result<Vec<f32>, kernels::Error> {
        norm_rows(hidden, weight, self.model.hyperparameters().eps)
    }

    fn ask(
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

fn add(hidden: &mut [f32], more: &[f32]) {
    for (hidden, more) in hidden.iter_mut().zip(more) {
        *hidden += more;
    }
}
