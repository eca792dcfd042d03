use architecture::{Architecture, Choice, ExpertWidth};

use super::{
    Error,
    keys::{Keys, MAX_WIDTH, invalid},
};

/// The experts of a layer, and how a token's are chosen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Experts {
    /// All of them.
    pub count: usize,
    /// Those that one token uses.
    pub used: usize,
    /// Hidden width of each.
    pub width: usize,
    /// Hidden width of the expert all tokens share; 0 if there is none.
    pub shared: usize,
    /// What becomes of the router's scores.
    pub gating: Gating,
    /// Whether the shares of a token's experts are divided by their sum.
    pub normed: bool,
    /// What shares are multiplied by.
    pub scale: f32,
    /// Experts are chosen from the best groups only.
    pub groups: Option<Groups>,
}

/// What becomes of the router's scores.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gating {
    /// Softmax over all experts; the best are taken.
    Softmax,
    /// The logistic function of each; the best are taken.
    Sigmoid,
    /// The best are taken; softmax over these.
    SoftmaxOfChosen,
}

/// Experts in groups of equal size. A group is as good as its two best experts together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Groups {
    /// All of them.
    pub count: usize,
    /// Those that one token's experts come from.
    pub used: usize,
}

pub(super) fn experts(
    architecture: &Architecture,
    keys: &Keys,
    n_ff: Option<usize>,
) -> Result<Option<Experts>, Error> {
    let key = "expert_count";
    let count = keys.count(key, MAX_WIDTH)?;
    if architecture.experts.is_empty() || count == 0 {
        return match architecture.dense {
            [] => Err(invalid(key, count, "above 0")),
            _ => Ok(None),
        };
    }
    // No more than there are, which has 32 bits.
    let used = keys.bounded("expert_used_count", count as u32)? as usize;
    let own = "expert_feed_forward_length";
    let width = match (architecture.expert_width, n_ff) {
        (ExpertWidth::FeedForward, _) => keys.width("feed_forward_length")?,
        (ExpertWidth::OwnOrShare, Some(all)) => {
            keys.optional_width(own)?.unwrap_or((all / used).max(1))
        }
        _ => keys.width(own)?,
    };
    let mut experts = Experts {
        count,
        used,
        width,
        shared: 0,
        gating: Gating::Softmax,
        normed: true,
        scale: 1.0,
        groups: groups(keys, count, used)?,
    };
    if architecture.choice == Choice::Stated {
        let shared = keys.count("expert_shared_count", MAX_WIDTH)?;
        let together = shared.checked_mul(width);
        experts.shared = together
            .filter(|&width| width <= MAX_WIDTH as usize)
            .ok_or_else(|| invalid("expert_shared_count", shared, "less"))?;
        experts.gating = match keys.optional::<u32>("expert_gating_func")? {
            // Files of before there were several do not say.
            None | Some(0 | 1) => Gating::Softmax,
            Some(2) => Gating::Sigmoid,
            Some(3) => Gating::SoftmaxOfChosen,
            Some(other) => {
                let must = "softmax (1), sigmoid (2) or softmax of the chosen (3)";
                return Err(invalid("expert_gating_func", other, must));
            }
        };
        experts.normed = keys
            .optional::<bool>("expert_weights_norm")?
            .unwrap_or(false);
        // Files write 0 for no scale.
        let scale = keys.finite("expert_weights_scale")?;
        experts.scale = scale.filter(|&scale| scale != 0.0).unwrap_or(1.0);
    }
    Ok(Some(experts))
}

fn groups(keys: &Keys, experts: usize, needed: usize) -> Result<Option<Groups>, Error> {
    let key = "expert_group_count";
    let count = keys.count(key, MAX_WIDTH)?;
    if count <= 1 {
        return Ok(None);
    }
    if !experts.is_multiple_of(count) || experts / count < 2 {
        let must = "such that each group has the same number of experts, and two at least";
        return Err(invalid(key, count, must));
    }
    let key = "expert_group_used_count";
    let used = keys.bounded(key, count as u32)? as usize;
    if used * (experts / count) < needed {
        return Err(invalid(key, used, "enough for the experts used"));
    }
    Ok(Some(Groups { count, used }))
}
