use std::collections::HashMap;

use architecture::{Home, Presence, Role, locate};
use fragments::{Fragment, PartKind, StoredSlice};
use gguf::{Header, TensorType};
use kernels::{Activations, Encoding, encoding_for, matmul, reference};

use super::Error;
use crate::{compute::Arithmetic, hyperparameters::Hyperparameters};

/// Norms, routers and what is added: what an executor needs at hand, because it is used between requests.
#[derive(Debug)]
pub struct SmallTensors {
    pub(crate) output_norm: Vec<f32>,
    pub(crate) rope_factors: Option<Vec<f32>>,
    pub(crate) layers: Vec<SmallLayer>,
}

/// A layer's small tensors by their roles, as single-precision values.
#[derive(Debug, Default)]
pub(crate) struct SmallLayer {
    vectors: Vec<(Role, Vec<f32>)>,
    pub(crate) router: Option<Router>,
}

impl SmallLayer {
    /// What is kept for a role, if the model has it.
    pub(crate) fn optional(&self, role: Role) -> Option<&[f32]> {
        let found = self.vectors.iter().find(|(other, _)| *other == role);
        found.map(|(_, values)| values.as_slice())
    }

    /// The norm of this role. Which ones there are was checked when the tensors were read.
    pub(crate) fn norm(&self, role: Role) -> &[f32] {
        self.optional(role).unwrap_or(&[])
    }
}

/// Scores the experts for a token.
#[derive(Debug)]
pub(crate) struct Router {
    ty: TensorType,
    weights: Vec<u8>,
    experts: usize,
}

impl SmallTensors {
    pub(super) fn read<'a, B: AsRef<[u8]> + 'a>(
        header: &Header,
        h: &Hyperparameters,
        fragments: impl IntoIterator<Item = &'a Fragment<B>>,
    ) -> Result<Self, Error> {
        let mut tensors = Tensors::default();
        for fragment in fragments {
            for part in fragment.parts() {
                if let PartKind::Small { .. } = part.kind {
                    for slice in &part.slices {
                        tensors.add(slice, fragment.slice_bytes(slice));
                    }
                }
            }
        }
        let mut layers = Vec::with_capacity(h.layers as usize);
        for number in 0..h.layers {
            let mut layer = SmallLayer::default();
            for tensor in h.tensors(number) {
                let name = format!("blk.{number}.{}", tensor.name);
                let role = match locate(&name) {
                    Some((_, known)) if known.home == Home::Small => known.role,
                    _ => continue,
                };
                if tensor.presence == Presence::Optional && header.tensor(&name).is_none() {
                    continue;
                }
                match (role, h.experts) {
                    (Role::Router, Some(experts)) => {
                        let (ty, weights) = tensors.take(&name)?;
                        let experts = experts.count;
                        layer.router = Some(Router {
                            ty,
                            weights,
                            experts,
                        });
                    }
                    _ => {
                        let len = tensor
                            .shape
                            .first()
                            .and_then(|&dim| h.dim(dim))
                            .unwrap_or(0);
                        let values = tensors.vector(&name, len as usize)?;
                        layer.vectors.push((role, values));
                    }
                }
            }
            layers.push(layer);
        }
        let factors = "rope_freqs.weight";
        Ok(Self {
            output_norm: tensors.vector("output_norm.weight", h.n_embd)?,
            rope_factors: match header.tensor(factors) {
                Some(_) => Some(tensors.vector(factors, h.rope.dimensions / 2)?),
                None => None,
            },
            layers,
        })
    }
}

impl Router {
    /// The experts' scores, for each row of `hidden`.
    pub(crate) fn scores(
        &self,
        hidden: &[f32],
        width: usize,
        arithmetic: Arithmetic,
    ) -> Result<Vec<f32>, kernels::Error> {
        let (ty, rows, tokens) = (self.ty, self.experts, hidden.len() / width.max(1));
        let mut scores = vec![0.0; tokens * rows];
        match arithmetic {
            Arithmetic::Quantised | Arithmetic::Approximate => {
                let encoding = encoding_for(ty).unwrap_or(Encoding::F32);
                let x = Activations::encode(encoding, width, hidden)?;
                matmul(ty, &self.weights, rows, &x, &mut scores)?;
            }
            Arithmetic::Reference => {
                reference::matmul(ty, &self.weights, rows, width, hidden, tokens, &mut scores)?;
            }
        }
        Ok(scores)
    }
}

/// Tensors put together from their slices.
#[derive(Default)]
struct Tensors {
    named: HashMap<String, (TensorType, Vec<u8>)>,
}

impl Tensors {
    /// Slices of small tensors are whole rows, and come in order.
    fn add(&mut self, slice: &StoredSlice, bytes: &[u8]) {
        let start = (slice.ty, Vec::new());
        let (_, tensor) = self.named.entry(slice.tensor.clone()).or_insert(start);
        tensor.extend_from_slice(bytes);
    }

    fn take(&mut self, name: &str) -> Result<(TensorType, Vec<u8>), Error> {
        let tensor = self.named.remove(name);
        tensor.ok_or_else(|| Error::MissingSmallTensor(name.to_owned()))
    }

    fn vector(&mut self, name: &str, len: usize) -> Result<Vec<f32>, Error> {
        let (ty, bytes) = self.take(name)?;
        let mut values = vec![0.0; len];
        reference::dequantise(ty, &bytes, &mut values)?;
        Ok(values)
    }
}
