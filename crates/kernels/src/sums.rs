use crate::{Error, activations::canonical};

/// Adds the partial sums of a layer along the one tree that fixes their bits.
///
/// The parts are in the manifest's order. Neighbours are added first, then neighbours of those
/// sums, and so on; one left over waits for the next round. Put as a recursion, the first
/// `2^k` parts, `2^k` being the largest power of two below their number, are added apart from the
/// rest. So any aligned run of `2^k` parts is a complete subtree, however many parts there are:
/// a node that holds them may add them up and send one vector, and the order of arrival never
/// matters.
pub fn add_tree(mut parts: Vec<Vec<f32>>) -> Result<Vec<f32>, Error> {
    let width = parts.first().ok_or(Error::NoParts)?.len();
    if let Some(odd) = parts.iter().find(|p| p.len() != width) {
        return Err(Error::Length {
            what: "values of a partial sum",
            expected: width,
            found: odd.len(),
        });
    }
    let mut stride = 1;
    while stride < parts.len() {
        for pair in parts.chunks_mut(2 * stride) {
            if let Some((left, right)) = pair.split_at_mut_checked(stride)
                && let (Some(left), Some(right)) = (left.first_mut(), right.first())
            {
                for (l, r) in left.iter_mut().zip(right) {
                    *l += r;
                }
            }
        }
        stride *= 2;
    }
    let mut sum = parts.swap_remove(0);
    sum.iter_mut().for_each(|v| *v = canonical(*v));
    Ok(sum)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a panic is how a test fails")]
mod tests {
    use super::*;

    fn recursive(parts: &[Vec<f32>]) -> Vec<f32> {
        if let [only] = parts {
            return only.clone();
        }
        let (left, right) = parts.split_at(parts.len().next_power_of_two() / 2);
        recursive(left)
            .iter()
            .zip(recursive(right))
            .map(|(l, r)| l + r)
            .collect()
    }

    #[test]
    fn the_tree_is_the_recursion_its_documentation_describes() {
        for parts in 1..70usize {
            let parts: Vec<Vec<f32>> = (0..parts)
                .map(|p| (0..5).map(|i| 1.0 / (1 + 7 * p + i) as f32).collect())
                .collect();
            assert_eq!(add_tree(parts.clone()).unwrap(), recursive(&parts));
        }
    }

    #[test]
    fn parts_of_different_lengths_are_refused() {
        assert!(matches!(
            add_tree(vec![vec![1.0], vec![]]),
            Err(Error::Length { .. })
        ));
        assert_eq!(add_tree(vec![]), Err(Error::NoParts));
    }

    #[test]
    fn a_sum_that_is_not_a_number_has_the_same_bits_everywhere() {
        let sum = add_tree(vec![vec![f32::INFINITY], vec![f32::NEG_INFINITY]]).unwrap();
        assert_eq!(sum[0].to_bits(), f32::NAN.to_bits());
    }
}
