use std::sync::Arc;

use kernels::{Activations, Encoding, math};

use crate::compute::Arithmetic;

/// Normed rows, one after the other.
pub(crate) fn norm_rows(
    rows: &[f32],
    weight: &[f32],
    eps: f32,
) -> Result<Vec<f32>, kernels::Error> {
    let mut normed = Vec::with_capacity(rows.len());
    for row in rows.chunks_exact(weight.len()) {
        normed.extend(math::rms_norm(row, weight, eps)?);
    }
    Ok(normed)
}

/// The same activations in the encodings that different parts want, each made once.
pub(crate) struct Inputs {
    arithmetic: Arithmetic,
    values: Vec<f32>,
    made: Vec<Arc<Activations>>,
}

impl Inputs {
    pub(crate) fn new(arithmetic: Arithmetic, values: Vec<f32>) -> Self {
        Self {
            arithmetic,
            values,
            made: Vec::new(),
        }
    }

    /// The activations as they are.
    pub(crate) fn into_values(self) -> Vec<f32> {
        self.values
    }

    pub(crate) fn get(
        &mut self,
        encoding: Encoding,
        width: usize,
    ) -> Result<Arc<Activations>, kernels::Error> {
        let encoding = match self.arithmetic {
            Arithmetic::Quantised | Arithmetic::Approximate => encoding,
            Arithmetic::Reference => Encoding::F32,
        };
        if let Some(made) = self.made.iter().find(|made| made.encoding() == encoding) {
            return Ok(made.clone());
        }
        let made = Arc::new(Activations::encode(encoding, width, &self.values)?);
        self.made.push(made.clone());
        Ok(made)
    }
}
