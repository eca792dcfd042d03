//! From attention's result to the layer's.

use architecture::Role;

use super::{
    Error, Executor, Task,
    attention::{add, add_to_rows},
    batch::{Batch, FeedForward, Phase, Sum},
    experts::{self, Group},
    inputs::Inputs,
};
use crate::compute::Operation;

impl Executor {
    pub(super) fn start_feed_forward(&mut self, mut batch: Batch) -> Result<(), Error> {
        let (model, small) = (self.model.clone(), self.small.clone());
        let h = model.hyperparameters();
        let width = h.n_embd;
        let small = &small.layers[batch.layer as usize];
        let normed = self.normed(&batch.hidden, small.norm(Role::FeedForwardNorm))?;
        let layer = &model.layout().layers[batch.layer as usize];
        let mut routed = Vec::new();
        if let (Some(router), Some(experts)) = (&small.router, h.experts_of(batch.layer)) {
            let mut scores = router.scores(&normed, width, self.arithmetic)?;
            let bias = small.optional(Role::RouterBias);
            for (index, group) in experts::route(&mut scores, bias, experts)
                .into_iter()
                .enumerate()
            {
                let parts = &layer.experts[group.expert];
                let rows = group
                    .members
                    .iter()
                    .map(|member| &normed[member.token * width..][..width]);
                let mut inputs = Inputs::new(self.arithmetic, rows.collect::<Vec<_>>().concat());
                for (part, place) in parts.iter().enumerate() {
                    let input = inputs.get(place.input, width)?;
                    let task = Task::Expert { group: index, part };
                    self.ask(place.address, Operation::FeedForward, input, width, task);
                }
                routed.push((group, Sum::new(parts.len())));
            }
        }
        let parts = &layer.feed_forward;
        let mut inputs = Inputs::new(self.arithmetic, normed);
        for (part, place) in parts.iter().enumerate() {
            let input = inputs.get(place.input, width)?;
            let task = Task::FeedForward { part };
            self.ask(place.address, Operation::FeedForward, input, width, task);
        }
        let always = (!parts.is_empty()).then(|| Sum::new(parts.len()));
        batch.phase = Phase::FeedForward(FeedForward { routed, always });
        self.batch = Some(batch);
        Ok(())
    }

    /// Adds what the layer found, and goes on with the next.
    pub(super) fn finish_feed_forward(&mut self, mut batch: Batch) -> Result<(), Error> {
        if let Phase::FeedForward(FeedForward { routed, always }) = std::mem::take(&mut batch.phase)
        {
            let mut found = match routed.is_empty() {
                true => None,
                false => Some(self.mix(routed, batch.hidden.len())?),
            };
            if let Some(sum) = always {
                let mut sum = sum.add()?;
                let small = &self.small.layers[batch.layer as usize];
                add_to_rows(&mut sum, small.optional(Role::DownBias));
                match &mut found {
                    Some(found) => add(found, &sum),
                    None => found = Some(sum),
                }
            }
            add(&mut batch.hidden, &found.unwrap_or_default());
        }
        batch.layer += 1;
        if batch.layer < self.layers.end {
            return self.start_attention(batch);
        }
        self.position = batch.start + batch.tokens();
        self.output = Some(batch.hidden);
        Ok(())
    }

    /// What its experts made of each token, by their shares, the first chosen expert's first.
    fn mix(&self, groups: Vec<(Group, Sum)>, len: usize) -> Result<Vec<f32>, Error> {
        let h = self.model.hyperparameters();
        let width = h.n_embd;
        let used = h.experts.map_or(1, |experts| experts.used);
        let mut results = Vec::with_capacity(groups.len());
        // Where each token's results are, by rank: group and row.
        let mut places = vec![(0, 0, 0.0); len / width * used];
        for (index, (group, sum)) in groups.into_iter().enumerate() {
            for (row, member) in group.members.iter().enumerate() {
                places[member.token * used + member.rank] = (index, row, member.weight);
            }
            results.push(sum.add()?);
        }
        let mut mixed = vec![0.0; len];
        let tokens = mixed.chunks_exact_mut(width).zip(places.chunks_exact(used));
        for (result, places) in tokens {
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
        }
        Ok(mixed)
    }
}
