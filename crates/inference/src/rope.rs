use crate::hyperparameters::RopeParameters;

/// Rotations that tell queries and keys where in the text they are.
///
/// Neighbouring values form the pairs, as llama.cpp has them in the files of this architecture.
#[derive(Clone, Debug)]
pub(crate) struct Rope {
    /// The angle per position of each pair.
    frequencies: Vec<f64>,
}

impl Rope {
    /// `factors` slow single frequencies down, one for each pair; there are none in most models.
    pub(crate) fn new(parameters: &RopeParameters, factors: Option<&[f32]>) -> Self {
        let pairs = parameters.dimensions / 2;
        let frequency = |pair: usize| {
            let exponent = -2.0 * pair as f64 / parameters.dimensions as f64;
            let factor = factors.and_then(|factors| factors.get(pair));
            libm::pow(f64::from(parameters.base), exponent)
                / f64::from(factor.copied().unwrap_or(1.0))
                / f64::from(parameters.linear_factor)
        };
        Self {
            frequencies: (0..pairs).map(frequency).collect(),
        }
    }

    /// Cosine and sine of each pair's angle at a position.
    ///
    /// In `f64`, because at position 100,000 the angle of an `f32` is off by a hundredth.
    pub(crate) fn at(&self, position: usize) -> Vec<(f32, f32)> {
        let angles = self
            .frequencies
            .iter()
            .map(|frequency| position as f64 * frequency);
        angles
            .map(|angle| (libm::cos(angle) as f32, libm::sin(angle) as f32))
            .collect()
    }
}

/// Turns a head by the rotation of its position; values beyond the rotation's pairs stay as they are.
pub(crate) fn rotate(head: &mut [f32], rotation: &[(f32, f32)]) {
    let (pairs, _) = head.as_chunks_mut::<2>();
    for ([x, y], &(cos, sin)) in pairs.iter_mut().zip(rotation) {
        (*x, *y) = (*x * cos - *y * sin, *x * sin + *y * cos);
    }
}
