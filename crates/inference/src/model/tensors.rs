use architecture::{Presence, Tensor};
use gguf::{Header, TensorInfo};
use kernels::encoding_for;

use super::Error;
use crate::hyperparameters::Hyperparameters;

/// Checks that the file has the tensors its metadata promise, in these dimensions and in types that can
/// be computed, and none that would change the answer unnoticed.
pub(super) fn check(header: &Header, h: &Hyperparameters) -> Result<(), Error> {
    let mut check = Check {
        header,
        h,
        known: Vec::new(),
    };
    for tensor in h.architecture.model.iter().copied().flatten() {
        check.tensor(tensor.name.to_owned(), tensor)?;
    }
    for layer in 0..h.layers {
        for tensor in h.tensors(layer) {
            check.tensor(format!("blk.{layer}.{}", tensor.name), tensor)?;
        }
    }
    check.finish()
}

struct Check<'a> {
    header: &'a Header,
    h: &'a Hyperparameters,
    known: Vec<&'a str>,
}

impl Check<'_> {
    fn tensor(&mut self, name: String, expected: &Tensor) -> Result<(), Error> {
        let Some(tensor) = self.header.tensor(&name) else {
            return match expected.presence {
                Presence::Optional => Ok(()),
                _ => Err(Error::MissingTensor(name)),
            };
        };
        let shape: Option<Vec<u64>> = expected.shape.iter().map(|&dim| self.h.dim(dim)).collect();
        // A model that has a tensor has its dimensions.
        let shape = shape.unwrap_or_default();
        if significant(&tensor.shape) != significant(&shape) {
            return Err(Error::Shape {
                name,
                expected: shape,
                found: tensor.shape.clone(),
            });
        }
        if encoding_for(tensor.ty).is_none() {
            let ty = tensor.ty;
            return Err(Error::UnsupportedType { name, ty });
        }
        self.known.push(&tensor.name);
        Ok(())
    }

    fn finish(mut self) -> Result<(), Error> {
        self.known.sort_unstable();
        let known = |tensor: &&TensorInfo| {
            let name = tensor.name.as_str();
            // Tables that old files carry and nobody reads: they follow from the metadata.
            name.ends_with("attn_rot_embd.weight") || self.known.binary_search(&name).is_ok()
        };
        match self.header.tensors.iter().find(|tensor| !known(tensor)) {
            Some(tensor) => Err(Error::UnsupportedTensor(tensor.name.clone())),
            None => Ok(()),
        }
    }
}

/// Dimensions without the ones at the end, which some writers append and others leave out.
fn significant(shape: &[u64]) -> &[u64] {
    let len = shape.iter().rposition(|&n| n != 1).map_or(1, |at| at + 1);
    shape.get(..len).unwrap_or(shape)
}
