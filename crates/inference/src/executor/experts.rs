use kernels::math;

use crate::hyperparameters::{Experts, Gating, Groups};

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
    /// Which of the token's experts it is; 0 for the best.
    pub(super) rank: usize,
    /// The expert's share in the result.
    pub(super) weight: f32,
}

/// The smallest sum of shares that they are divided by, as in llama.cpp.
const SMALLEST_SUM: f32 = 6.103_515_6e-5;

/// Chooses the experts of each token from the router's scores, and says what their shares are.
///
/// Scores become probabilities, by which experts are chosen; a bias helps experts to be chosen, but does not
/// change their shares (DeepSeek-V3, arXiv 2412.19437, section 2.1.2). Of equally good experts the first is
/// taken, so that everybody takes the same.
pub(super) fn route(scores: &mut [f32], bias: Option<&[f32]>, experts: &Experts) -> Vec<Group> {
    let mut members: Vec<Vec<Member>> = vec![Vec::new(); experts.count];
    for (token, probabilities) in scores.chunks_exact_mut(experts.count).enumerate() {
        match experts.gating {
            Gating::Softmax => math::softmax(probabilities),
            Gating::Sigmoid => probabilities.iter_mut().for_each(|p| *p = sigmoid(*p)),
            Gating::SoftmaxOfChosen => {}
        }
        let mut merits = probabilities.to_vec();
        if let Some(bias) = bias {
            merits
                .iter_mut()
                .zip(bias)
                .for_each(|(merit, bias)| *merit += bias);
        }
        let order = best(&merits, experts);
        let mut shares: Vec<f32> = order.iter().map(|&expert| probabilities[expert]).collect();
        if experts.gating == Gating::SoftmaxOfChosen {
            math::softmax(&mut shares);
        }
        if experts.normed {
            let sum: f32 = shares.iter().sum();
            shares
                .iter_mut()
                .for_each(|share| *share /= sum.max(SMALLEST_SUM));
        }
        for (rank, (expert, share)) in order.into_iter().zip(shares).enumerate() {
            members[expert].push(Member {
                token,
                rank,
                weight: share * experts.scale,
            });
        }
    }
    let groups = members.into_iter().enumerate();
    let groups = groups.map(|(expert, members)| Group { expert, members });
    groups.filter(|group| !group.members.is_empty()).collect()
}

/// The best experts, the best one first; of the best groups, where experts are in groups.
fn best(merits: &[f32], experts: &Experts) -> Vec<usize> {
    let mut candidates: Vec<usize> = (0..experts.count).collect();
    if let Some(Groups { count, used }) = experts.groups {
        let size = experts.count / count;
        let merit = |group: usize| {
            let mut group = merits[group * size..][..size].to_vec();
            group.sort_by(|a, b| b.total_cmp(a));
            group.iter().take(2).sum::<f32>()
        };
        let groups: Vec<f32> = (0..count).map(merit).collect();
        let mut order: Vec<usize> = (0..count).collect();
        order.sort_by(|&a, &b| groups[b].total_cmp(&groups[a]));
        order.truncate(used);
        candidates.retain(|expert| order.contains(&(expert / size)));
    }
    candidates.sort_by(|&a, &b| merits[b].total_cmp(&merits[a]));
    candidates.truncate(experts.used);
    candidates
}

fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + math::exp(-x))
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXPERTS: Experts = Experts {
        count: 4,
        used: 2,
        width: 1,
        shared: 0,
        gating: Gating::Softmax,
        normed: true,
        scale: 1.0,
        groups: None,
    };

    /// Expert and share of each of the one token's experts, the best first.
    fn shares(scores: [f32; 4], bias: Option<&[f32]>, experts: &Experts) -> Vec<(usize, f32)> {
        let mut groups = route(&mut scores.clone(), bias, experts);
        groups.sort_by_key(|group| group.members[0].rank);
        let shares = groups
            .iter()
            .map(|group| (group.expert, group.members[0].weight));
        shares.collect()
    }

    #[test]
    fn the_two_likeliest_share_the_work() {
        let mut scores =
            [1.0, 3.0, 2.0, 3.0, 0.0, 0.0, 5.0, 0.0].map(|p: f32| math::ln(p.max(1e-9)));
        let groups = route(&mut scores, None, &EXPERTS);
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

    #[test]
    fn a_bias_chooses_but_does_not_weigh() {
        let experts = Experts {
            gating: Gating::Sigmoid,
            normed: false,
            scale: 2.0,
            ..EXPERTS
        };
        let found = shares([0.0, -1.0, 1.0, 2.0], Some(&[0.9, 0.0, 0.0, 0.0]), &experts);
        assert_eq!(found[0], (0, 1.0));
        assert_eq!(found[1], (3, 2.0 * sigmoid(2.0)));
    }

    #[test]
    fn experts_come_from_the_best_groups_only() {
        let experts = Experts {
            groups: Some(Groups { count: 2, used: 1 }),
            ..EXPERTS
        };
        // The best expert is in the group that is worse on the whole.
        let scores = [3.0, -20.0, 2.0, 2.9].map(|p| math::ln(math::exp(p)));
        let found = shares(scores, None, &experts);
        assert_eq!(
            found.iter().map(|(expert, _)| *expert).collect::<Vec<_>>(),
            [3, 2]
        );
    }

    #[test]
    fn chosen_scores_share_by_softmax() {
        let experts = Experts {
            gating: Gating::SoftmaxOfChosen,
            normed: false,
            ..EXPERTS
        };
        let found = shares([1.0, 1.0, -3.0, 0.0], None, &experts);
        assert_eq!(found, [(0, 0.5), (1, 0.5)]);
    }
}
