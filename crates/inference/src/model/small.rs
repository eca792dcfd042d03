use std::collections::HashMap;

use fragments::{Fragment, PartKind, StoredSlice};
use gguf::TensorType;
use kernels::{Activations, Encoding, encoding_for, matmul, reference};

use super::Error;
use crate::{compute::Arithmetic, hyperparameters::Hyperparameters};

/// Norms and routers: what an executor needs at hand, because it is used between requests.
#[derive(Debug)]
pub struct SmallTensors {
    pub(crate) output_norm: Vec<f32>,
    pub(crate) rope_factors: Option<Vec<f32>>,
    pub(crate) layers: Vec<SmallLayer>,
}

#[derive(Debug)]
pub(crate) struct SmallLayer {
    pub(crate) attention_norm: Vec<f32>,
    pub(crate) feed_forward_norm: Vec<f32>,
    pub(crate) router: Option<Router>,
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
        for layer in 0..h.layers {
            let name = |name: &str| format!("blk.{layer}.{name}.weight");
            let router = match h.experts {
                None => None,
                Some(experts) => {
                    let (ty, weights) = tensors.take(&name("ffn_gate_inp"))?;
                    let experts = experts.count;
                    Some(Router {
                        ty,
                        weights,
                        experts,
                    })
                }
            };
            layers.push(SmallLayer {
                attention_norm: tensors.vector(&name("attn_norm"), h.n_embd)?,
                feed_forward_norm: tensors.vector(&name("ffn_norm"), h.n_embd)?,
                router,
            });
        }
        let factors = "rope_freqs.weight";
        Ok(Self {
            output_norm: tensors.vector("output_norm.weight", h.n_embd)?,
            rope_factors: match tensors.named.contains_key(factors) {
                true => Some(tensors.vector(factors, h.rope.dimensions / 2)?),
                false => None,
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
            Arithmetic::Quantised => {
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
