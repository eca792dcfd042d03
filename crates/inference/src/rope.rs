use std::f64::consts::TAU;

use architecture::Pairs;

use crate::hyperparameters::{RopeParameters, Yarn};

/// Rotations that tell queries and keys where in the text they are.
#[derive(Clone, Debug)]
pub(crate) struct Rope {
    /// The angle per position of each pair.
    frequencies: Vec<f64>,
    /// What turned values are multiplied by.
    magnitude: f64,
}

impl Rope {
    /// `factors` slow single frequencies down, one for each pair; there are none in most models.
    pub(crate) fn new(parameters: &RopeParameters, factors: Option<&[f32]>) -> Self {
        let pairs = parameters.dimensions / 2;
        let frequency = |pair: usize| {
            let exponent = -2.0 * pair as f64 / parameters.dimensions as f64;
            let factor = factors.and_then(|factors| factors.get(pair));
            let frequency = libm::pow(f64::from(parameters.base), exponent)
                / f64::from(factor.copied().unwrap_or(1.0));
            let divided = frequency / f64::from(parameters.factor);
            match &parameters.yarn {
                None => divided,
                Some(yarn) => {
                    let kept = kept(yarn, parameters, pair);
                    divided * (1.0 - kept) + frequency * kept
                }
            }
        };
        Self {
            frequencies: (0..pairs).map(frequency).collect(),
            magnitude: f64::from(parameters.magnitude),
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
        let scaled = |value: f64| (value * self.magnitude) as f32;
        angles
            .map(|angle| (scaled(libm::cos(angle)), scaled(libm::sin(angle))))
            .collect()
    }
}

/// How much of a pair's frequency YaRN leaves undivided, from 0 to 1: all of it where the pair turns more
/// than `beta_fast` times in the original context, nothing where it turns less than `beta_slow` times, and
/// in between along a line over the pairs. As in llama.cpp the ends of the line are whole pairs.
fn kept(yarn: &Yarn, parameters: &RopeParameters, pair: usize) -> f64 {
    let dimensions = parameters.dimensions as f64;
    let ln_base = libm::log(f64::from(parameters.base));
    // The pair that turns so often: base^(-2·pair/dimensions) · context = 2π · turns.
    let turning = |turns: f32| {
        let ratio = f64::from(yarn.original_context) / (f64::from(turns) * TAU);
        dimensions * libm::log(ratio) / (2.0 * ln_base)
    };
    let first = turning(yarn.beta_fast).floor().max(0.0);
    let last = turning(yarn.beta_slow).ceil().min(dimensions - 1.0);
    let along = (pair as f64 - first) / (last - first).max(0.001);
    1.0 - along.clamp(0.0, 1.0)
}

/// Turns a head by the rotation of its position; values beyond the rotation's pairs stay as they are.
pub(crate) fn rotate(head: &mut [f32], rotation: &[(f32, f32)], pairs: Pairs) {
    let turn = |x: &mut f32, y: &mut f32, &(cos, sin): &(f32, f32)| {
        (*x, *y) = (*x * cos - *y * sin, *x * sin + *y * cos);
    };
    match pairs {
        Pairs::Neighbours => {
            let (pairs, _) = head.as_chunks_mut::<2>();
            for ([x, y], rotation) in pairs.iter_mut().zip(rotation) {
                turn(x, y, rotation);
            }
        }
        Pairs::Halves => {
            let Some((first, second)) = head.split_at_mut_checked(rotation.len()) else {
                return;
            };
            for ((x, y), rotation) in first.iter_mut().zip(second).zip(rotation) {
                turn(x, y, rotation);
            }
        }
    }
}
