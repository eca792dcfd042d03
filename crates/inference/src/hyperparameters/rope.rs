use architecture::{Architecture, LogMultiplier, Temperature as Source};

use super::{
    Error, YarnLogMultiplier,
    keys::{Keys, invalid},
};

/// Rotary position embedding.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RopeParameters {
    /// Values of a head that are turned.
    pub dimensions: usize,
    /// The base of the frequencies.
    pub base: f32,
    /// Positions are divided by this; 1 for positions as they are.
    pub factor: f32,
    /// Frequencies that turn often in the original context are not divided.
    pub yarn: Option<Yarn>,
    /// Turned values are multiplied by this.
    pub magnitude: f32,
}

/// Which frequencies are divided by the factor, and which are not (YaRN, arXiv 2309.00071, "NTK-by-parts").
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Yarn {
    /// The context the model was trained for before it was stretched.
    pub original_context: f32,
    /// Pairs that turn more often than this in it keep their frequency.
    pub beta_fast: f32,
    /// Pairs that turn less often than this are divided.
    pub beta_slow: f32,
}

/// How queries are scaled with their position `p`: by `1 + scale · ln(1 + ⌊p / length⌋)`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Temperature {
    /// How much they grow.
    pub scale: f32,
    /// How many positions have the same.
    pub length: f32,
}

impl Temperature {
    /// What queries of this position are multiplied by.
    pub fn at(&self, position: usize) -> f32 {
        let steps = (position as f32 / self.length).floor();
        (libm::log(f64::from(steps) + 1.0) * f64::from(self.scale) + 1.0) as f32
    }
}

/// Positions, and what scores of queries and keys of this width are multiplied by.
pub(super) fn rope(
    architecture: &Architecture,
    keys: &Keys,
    head_dim: usize,
    default_dimensions: Option<usize>,
    context: u32,
    log_multiplier: YarnLogMultiplier,
) -> Result<(RopeParameters, f32), Error> {
    let key = "rope.dimension_count";
    let dimensions = keys.optional_width(key)?.or(default_dimensions);
    let dimensions = dimensions.ok_or_else(|| keys.missing(key))?;
    if dimensions > head_dim || !dimensions.is_multiple_of(2) {
        let must = "even and at most the width of a head";
        return Err(invalid(key, dimensions, must));
    }
    let base = keys.positive("rope.freq_base")?.unwrap_or(10_000.0);
    let (factor, is_yarn) = scaling(keys)?;
    let mut yarn = Yarn {
        original_context: original_context(keys, context)? as f32,
        beta_fast: 32.0,
        beta_slow: 1.0,
    };
    if architecture.states_betas {
        let key = "rope.scaling.yarn_beta_fast";
        yarn.beta_fast = keys.positive(key)?.unwrap_or(yarn.beta_fast);
        let key = "rope.scaling.yarn_beta_slow";
        yarn.beta_slow = keys.positive(key)?.unwrap_or(yarn.beta_slow);
    }
    let on_scores = architecture.log_multiplier == LogMultiplier::TenthOnScores;
    let multiplier = match architecture.log_multiplier {
        LogMultiplier::Unread => None,
        _ => keys.finite("rope.scaling.yarn_log_multiplier")?,
    };
    let multiplier = multiplier.unwrap_or(0.0) / if on_scores { 0.1 } else { 1.0 };
    let growth = 0.1 * libm::logf(factor);
    let grown = |multiplier: f32| {
        if factor > 1.0 {
            1.0 + multiplier * growth
        } else {
            1.0
        }
    };
    let mut magnitude = match (is_yarn, log_multiplier) {
        (true, YarnLogMultiplier::Ignored) => 1.0,
        (true, _) if on_scores && multiplier != 0.0 => 1.0,
        (true, _) if multiplier != 0.0 => grown(1.0) / grown(multiplier),
        (true, _) => grown(1.0),
        (false, _) => 1.0,
    };
    magnitude *= keys.positive("rope.scaling.attn_factor")?.unwrap_or(1.0);
    let mut scale = 1.0 / (head_dim as f32).sqrt();
    if on_scores && log_multiplier == YarnLogMultiplier::AsLlamaCpp {
        let unturned = if is_yarn { 1.0 } else { 1.0 + growth };
        let size = magnitude * unturned * (1.0 + multiplier * growth);
        scale *= size * size;
    }
    let rope = RopeParameters {
        dimensions,
        base,
        factor,
        yarn: is_yarn.then_some(yarn),
        magnitude,
    };
    Ok((rope, scale))
}

/// What positions are divided by, and whether in YaRN's way.
fn scaling(keys: &Keys) -> Result<(f32, bool), Error> {
    let key = "rope.scaling.factor";
    let factor = match keys.finite(key)? {
        Some(factor) => Some(factor),
        None => keys.finite("rope.scale_linear")?,
    };
    // Files write 0 for no factor.
    let factor = factor.filter(|&factor| factor != 0.0).unwrap_or(1.0);
    if factor < 1e-12 {
        return Err(invalid(key, factor, "above 0"));
    }
    match keys.optional::<&str>("rope.scaling.type")? {
        Some("none") => Ok((1.0, false)),
        // A factor without a type is linear: that is what files said before there were types.
        Some("linear") | None => Ok((factor, false)),
        Some("yarn") => Ok((factor, true)),
        Some(other) => Err(Error::UnsupportedRopeScaling(other.to_owned())),
    }
}

/// How many positions the model was trained for before it was stretched.
fn original_context(keys: &Keys, context: u32) -> Result<u32, Error> {
    let key = "rope.scaling.original_context_length";
    match keys.optional::<u32>(key)? {
        Some(0) | None => Ok(context),
        Some(length) => Ok(length),
    }
}

pub(super) fn temperature(
    architecture: &Architecture,
    keys: &Keys,
    context: u32,
) -> Result<Option<Temperature>, Error> {
    let scale = match architecture.temperature {
        Source::Never => None,
        _ => keys.finite("attention.temperature_scale")?,
    };
    let Some(scale) = scale.filter(|&scale| scale != 0.0) else {
        return Ok(None);
    };
    let length = match architecture.temperature {
        Source::StatedLength => keys.bounded("attention.temperature_length", u32::MAX)?,
        _ => original_context(keys, context)?,
    };
    Ok(Some(Temperature {
        scale,
        length: length as f32,
    }))
}
