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

/// What its experts made of each token, by their shares, the best expert's first: rows as wide as the model, `len` values
/// in all. Where an expert is left out (no result), the shares of the token's others grow in proportion, so that together
/// they are what all were; a token without any expert gets nothing from them.
pub(super) fn mix(
    groups: &[(Group, Option<Vec<f32>>)],
    used: usize,
    width: usize,
    len: usize,
) -> Vec<f32> {
    // Each token's experts by rank: share and result.
    let mut places: Vec<(f32, Option<&[f32]>)> = vec![(0.0, None); len / width * used];
    for (group, result) in groups {
        for (row, member) in group.members.iter().enumerate() {
            let values = result
                .as_deref()
                .map(|result| &result[row * width..][..width]);
            places[member.token * used + member.rank] = (member.weight, values);
        }
    }
    let mut mixed = vec![0.0; len];
    let tokens = mixed.chunks_exact_mut(width).zip(places.chunks_exact(used));
    for (result, places) in tokens {
        let present = || {
            places
                .iter()
                .filter_map(|(weight, values)| Some((*weight, (*values)?)))
        };
        let larger = (present().count() < used).then(|| {
            let all: f32 = places.iter().map(|(weight, _)| weight).sum();
            let left: f32 = present().map(|(weight, _)| weight).sum();
            all / left.max(SMALLEST_SUM)
        });
        for (rank, (weight, values)) in present().enumerate() {
            let weight = larger.map_or(weight, |larger| weight * larger);
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
    mixed
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

    /// Two tokens of two values, of which each uses two of three experts.
    fn groups(missing: Option<usize>) -> Vec<(Group, Option<Vec<f32>>)> {
        let member = |token, rank, weight| Member {
            token,
            rank,
            weight,
        };
        let all = [
            (vec![member(0, 0, 0.75)], vec![4.0, 8.0]),
            (
                vec![member(0, 1, 0.25), member(1, 1, 0.5)],
                vec![16.0, 32.0, 2.0, -2.0],
            ),
            (vec![member(1, 0, 0.5)], vec![-1.0, 1.0]),
        ];
        let groups = all.into_iter().enumerate();
        let group = groups.map(|(expert, (members, result))| {
            let result = (missing != Some(expert)).then_some(result);
            (Group { expert, members }, result)
        });
        group.collect()
    }

    #[test]
    fn experts_are_mixed_by_their_shares() {
        assert_eq!(mix(&groups(None), 2, 2, 4), [7.0, 14.0, 0.5, -0.5]);
    }

    #[test]
    fn without_an_expert_the_others_take_its_share() {
        // Token 0 has expert 1 alone, with all of 1.0; token 1 lacks nothing.
        assert_eq!(mix(&groups(Some(0)), 2, 2, 4), [16.0, 32.0, 0.5, -0.5]);
        assert_eq!(mix(&groups(Some(1)), 2, 2, 4), [4.0, 8.0, -1.0, 1.0]);
    }

    #[test]
    fn a_token_without_any_expert_gets_nothing_from_them() {
        let mut groups = groups(Some(0));
        groups[1].1 = None;
        assert_eq!(mix(&groups, 2, 2, 4), [0.0, 0.0, -1.0, 1.0]);
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
