//! From attention's result to the layer's.

use architecture::Role;

use super::{
    Error, Executor, Missing, Task,
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
                self.requests.count_experts(group.members.len(), 0);
                routed.push((group, Some(Sum::new(parts.len()))));
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

    /// What its experts made of each token.
    fn mix(&self, groups: Vec<(Group, Option<Sum>)>, len: usize) -> Result<Vec<f32>, Error> {
        let h = self.model.hyperparameters();
        let used = h.experts.map_or(1, |experts| experts.used);
        let added = |(group, sum): (Group, Option<Sum>)| {
            let result = sum.map(Sum::add).transpose()?;
            Ok((group, result))
        };
        let groups: Result<Vec<_>, Error> = groups.into_iter().map(added).collect();
        Ok(experts::mix(&groups?, used, h.n_embd, len))
    }

    /// Goes on without the expert that a request is for, of which nobody has all parts any more: the other experts'
    /// shares grow so that together they are as large as all were.
    pub(super) fn leave_out(&mut self, group: usize) -> Result<Missing, Error> {
        let model = self.model.clone();
        let h = model.hyperparameters();
        let Some(mut batch) = self.batch.take() else {
            return Ok(Missing::LeftOut);
        };
        // What these tokens ask of experts on their whole way.
        let each = self.layers.clone().filter_map(|layer| h.experts_of(layer));
        let of = batch.tokens() * each.map(|experts| experts.used).sum::<usize>();
        let Phase::FeedForward(waiting) = &mut batch.phase else {
            self.batch = Some(batch);
            return Ok(Missing::LeftOut);
        };
        let (Group { members, .. }, sum) = &mut waiting.routed[group];
        let members = members.len();
        let left_out = batch.left_out + members;
        let left = of.saturating_sub(left_out);
        if (left as f32) < self.least_experts * of as f32 {
            self.batch = Some(batch);
            return Ok(Missing::TooMany { left_out, of });
        }
        *sum = None;
        batch.left_out = left_out;
        let complete = waiting.is_complete();
        self.requests.count_experts(0, members);
        self.requests
            .drop_where(|task| matches!(task, Task::Expert { group: it, .. } if *it == group));
        if complete {
            self.finish_feed_forward(batch)?;
        } else {
            self.batch = Some(batch);
        }
        Ok(Missing::LeftOut)
    }
}
