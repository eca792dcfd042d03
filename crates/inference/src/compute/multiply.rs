//! Who multiplies: the one thing about an answer that devices do differently.

use std::{
    pin::pin,
    task::{Context, Poll, Waker},
};

use fragments::StoredSlice;
use kernels::{Activations, Isa, matmul_with};

use super::{Error, Exactness, answer::zeros};

/// A slice of a tensor, or some rows of it; its sizes are checked.
#[derive(Clone, Copy, Debug)]
pub struct Weights<'a> {
    /// What the fragment says about the whole slice.
    pub slice: &'a StoredSlice,
    /// Where the rows begin in the fragment's payload. With their number it names them.
    pub start: usize,
    /// The rows, packed.
    pub bytes: &'a [u8],
    /// How many.
    pub rows: usize,
    /// Weights in each.
    pub columns: usize,
}

/// What a multiplication gave.
#[derive(Clone, Debug, PartialEq)]
pub struct Product {
    /// One row for each token, with one value for each row of weights.
    pub values: Vec<f32>,
    /// Whether they are the bits that every CPU gives.
    pub exactness: Exactness,
}

/// A device that multiplies weights with activations.
///
/// It may take its time: a graphics processor answers later. What is computed with the products, and in which order, is
/// written once, in [`answer_by`](super::answer_by), for all of them.
pub trait Multiplier {
    /// `y[token, row] = Σ weights[row, column] · input[token, column]`. The input is as wide as the weights, and in the
    /// encoding that they are met in.
    fn multiply(
        &self,
        weights: &Weights<'_>,
        input: &Activations,
    ) -> impl Future<Output = Result<Product, Error>>;
}

/// The CPU, with some set of instructions: the bits are the same with all of them.
#[derive(Clone, Copy, Debug)]
pub struct Cpu(Isa);

impl Cpu {
    /// With chosen instructions.
    pub fn with(isa: Isa) -> Self {
        Self(isa)
    }

    /// A product, at once.
    pub fn product(self, weights: &Weights<'_>, input: &Activations) -> Result<Product, Error> {
        let mut values = zeros(input.tokens(), weights.rows)?;
        let ty = weights.slice.ty;
        matmul_with(self.0, ty, weights.bytes, weights.rows, input, &mut values)?;
        Ok(Product {
            values,
            exactness: Exactness::Exact,
        })
    }
}

impl Default for Cpu {
    /// With the best instructions there are.
    fn default() -> Self {
        Self(Isa::best())
    }
}

impl Multiplier for Cpu {
    async fn multiply(&self, weights: &Weights<'_>, input: &Activations) -> Result<Product, Error> {
        self.product(weights, input)
    }
}

/// The result of work that waits for nothing but [`Cpu`].
pub(super) fn immediate<T>(work: impl Future<Output = T>) -> T {
    match pin!(work).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(result) => result,
        Poll::Pending => unreachable!("the CPU never lets anybody wait"),
    }
}
