use kernels::math;

use crate::hyperparameters::Experts;

/// The tokens of a batch that use one expert.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Group {
    pub(super) expert: usize,
    pub(super) members: Vec<Member>,
}

/// A token's use of an expert.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Member {
    /// The token's index in the batch.
    pub(super) token: usize,
    /// Which of the token's experts it is; 0 for the likeliest.
    pub(super) rank: usize,
    /// The expert's share in the result.
    pub(super) weight: f32,
}

/// The smallest sum of shares that they are divided by, as in llama.cpp.
const SMALLEST_SUM: f32 = 6.103_515_6e-5;

/// Chooses the experts of each token in Mixtral's way: of all experts' probabilities the largest, divided by
/// their sum. Of equally likely experts the first is taken, so that everybody takes the same.
pub(super) fn route(scores: &mut [f32], experts: Experts) -> Vec<Group> {
    let mut members: Vec<Vec<Member>> = vec![Vec::new(); experts.count];
    for (token, probabilities) in scores.chunks_exact_mut(experts.count).enumerate() {
        math::softmax(probabilities);
        let mut order: Vec<usize> = (0..experts.count).collect();
        order.sort_by(|&a, &b| probabilities[b].total_cmp(&probabilities[a]));
        order.truncate(experts.used);
        let sum: f32 = order.iter().map(|&expert| probabilities[expert]).sum();
        for (rank, expert) in order.into_iter().enumerate() {
            members[expert].push(Member {
                token,
                rank,
                weight: probabilities[expert] / sum.max(SMALLEST_SUM),
            });
        }
    }
    let groups = members.into_iter().enumerate();
    let groups = groups.map(|(expert, members)| Group { expert, members });
    groups.filter(|group| !group.members.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXPERTS: Experts = Experts { count: 4, used: 2 };

    #[test]
    fn the_two_likeliest_share_the_work() {
        let mut scores =
            [1.0, 3.0, 2.0, 3.0, 0.0, 0.0, 5.0, 0.0].map(|p: f32| math::ln(p.max(1e-9)));
        let groups = route(&mut scores, EXPERTS);
        let shares: Vec<_> = groups
            .iter()
            .flat_map(|group| {
                group
                    .members
                    .iter()
                    .map(|m| (group.expert, m.token, m.rank))
            })
            .collect();
        // Token 1: expert 2 takes all, and of the others the first is second.
        assert_eq!(shares, [(0, 1, 1), (1, 0, 0), (2, 1, 0), (3, 0, 1)]);
        assert_eq!(groups[1].members[0].weight, 0.5);
        assert!(groups[0].members[0].weight < 1e-6);
    }
}
