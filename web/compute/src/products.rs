//! Products of one request, on the device whose turn it is.

use std::{cell::RefCell, rc::Rc, time::Duration};

use fragments::{Fragment, FragmentId};
use gpu::{
    Gpu, Matrix,
    contest::{Batch, Turn},
};
use inference::compute::{Cpu, Error, Exactness, Multiplier, Product, Weights};
use kernels::Activations;
use web_time::Instant;

use super::{
    graphics::{Graphics, Kind},
    memory,
};

/// Rows in which results of both devices are compared whenever both compute. All of them would take too long.
const CHECKED: usize = 64;

/// Fragments, and their matrices on the graphics processor.
pub(crate) type Memory = memory::Memory<Fragment<Vec<u8>>, Matrix>;

/// Multiplies for a request about a fragment.
pub(crate) struct Products<'a> {
    pub(crate) graphics: &'a Graphics,
    pub(crate) gpu: Rc<Gpu>,
    pub(crate) memory: &'a RefCell<Memory>,
    pub(crate) fragment: FragmentId,
}

impl Multiplier for Products<'_> {
    async fn multiply(&self, weights: &Weights<'_>, input: &Activations) -> Result<Product, Error> {
        let ty = weights.slice.ty;
        let kind = (weights.slice.role, ty, Batch::of(input.tokens()));
        let turn = match Gpu::supports(ty) {
            true => self.graphics.turn(kind),
            false => Turn::Cpu,
        };
        match turn {
            Turn::Cpu => {}
            Turn::Both => return self.race(kind, weights, input).await,
            Turn::Gpu => match self.on_gpu(weights, input).await {
                Ok((values, _)) => {
                    return Ok(Product {
                        values,
                        exactness: Exactness::Approximate,
                    });
                }
                Err(error) => self.graphics.failed(&error),
            },
        }
        Cpu::default().product(weights, input)
    }
}

impl Products<'_> {
    /// Has both compute, and gives the CPU's result, which is exact.
    async fn race(
        &self,
        kind: Kind,
        weights: &Weights<'_>,
        input: &Activations,
    ) -> Result<Product, Error> {
        let started = Instant::now();
        let product = Cpu::default().product(weights, input)?;
        let cpu = started.elapsed();
        let checked = self.on_gpu(weights, input).await.and_then(|(values, gpu)| {
            let (ty, results) = (weights.slice.ty, [&values[..], &product.values]);
            gpu::agree(ty, weights.bytes, weights.rows, input, results, CHECKED)?;
            Ok(gpu)
        });
        let gpu = match checked {
            Ok(gpu) => gpu,
            Err(error) => {
                self.graphics.failed(&error);
                Duration::MAX
            }
        };
        self.graphics.contest().borrow_mut().timed(kind, cpu, gpu);
        Ok(product)
    }

    /// The graphics processor's product, and how long it took with the weights in its memory.
    async fn on_gpu(
        &self,
        weights: &Weights<'_>,
        input: &Activations,
    ) -> Result<(Vec<f32>, Duration), gpu::Error> {
        let place = (weights.start, weights.rows);
        let known = self.memory.borrow().matrix(&self.fragment, place);
        let matrix = match known {
            Some(matrix) => matrix,
            None => {
                let matrix = self
                    .gpu
                    .upload(weights.slice.ty, weights.bytes, weights.rows);
                let matrix = Rc::new(matrix.await?);
                let bytes = matrix.bytes();
                self.memory
                    .borrow_mut()
                    .keep_matrix(&self.fragment, place, bytes, matrix.clone());
                matrix
            }
        };
        let started = Instant::now();
        let values = self.gpu.multiply(&matrix, input).await?;
        Ok((values, started.elapsed()))
    }
}
