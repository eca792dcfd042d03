use gguf::{Header, TensorInfo};
use kernels::encoding_for;

use super::Error;
use crate::hyperparameters::Hyperparameters;

/// Checks that the file has the tensors its metadata promise, in these dimensions and in types that can
/// be computed, and none that would change the answer unnoticed.
pub(super) fn check(header: &Header, h: &Hyperparameters) -> Result<(), Error> {
    let (embd, ff, vocab) = (h.n_embd as u64, h.n_ff as u64, h.n_vocab as u64);
    let (heads, kv) = (h.n_head as u64, h.n_head_kv as u64);
    let (dk, dv) = (h.head_dim_k as u64, h.head_dim_v as u64);
    let mut check = Check {
        header,
        known: Vec::new(),
    };
    check.required("token_embd.weight", &[embd, vocab])?;
    check.required("output_norm.weight", &[embd])?;
    check.optional("output.weight", &[embd, vocab])?;
    check.optional("rope_freqs.weight", &[h.rope.dimensions as u64 / 2])?;
    for layer in 0..h.layers {
        let name = |name: &str| format!("blk.{layer}.{name}");
        check.required(&name("attn_norm.weight"), &[embd])?;
        check.required(&name("attn_q.weight"), &[embd, heads * dk])?;
        check.required(&name("attn_k.weight"), &[embd, kv * dk])?;
        check.required(&name("attn_v.weight"), &[embd, kv * dv])?;
        check.required(&name("attn_output.weight"), &[heads * dv, embd])?;
        check.required(&name("ffn_norm.weight"), &[embd])?;
        if let Some(experts) = h.experts {
            let count = experts.count as u64;
            check.required(&name("ffn_gate_inp.weight"), &[embd, count])?;
            check.required(&name("ffn_gate_exps.weight"), &[embd, ff, count])?;
            check.required(&name("ffn_up_exps.weight"), &[embd, ff, count])?;
            check.required(&name("ffn_down_exps.weight"), &[ff, embd, count])?;
        } else {
            check.required(&name("ffn_gate.weight"), &[embd, ff])?;
            check.required(&name("ffn_up.weight"), &[embd, ff])?;
            check.required(&name("ffn_down.weight"), &[ff, embd])?;
        }
    }
    check.finish()
}

struct Check<'a> {
    header: &'a Header,
    known: Vec<&'a str>,
}

impl<'a> Check<'a> {
    fn required(&mut self, name: &str, shape: &[u64]) -> Result<(), Error> {
        if self.optional(name, shape)? {
            Ok(())
        } else {
            Err(Error::MissingTensor(name.to_owned()))
        }
    }

    fn optional(&mut self, name: &str, shape: &[u64]) -> Result<bool, Error> {
        let Some(tensor) = self.header.tensor(name) else {
            return Ok(false);
        };
        if significant(tensor) != shape {
            return Err(Error::Shape {
                name: name.to_owned(),
                expected: shape.to_vec(),
                found: tensor.shape.clone(),
            });
        }
        if encoding_for(tensor.ty).is_none() {
            return Err(Error::UnsupportedType {
                name: name.to_owned(),
                ty: tensor.ty,
            });
        }
        self.known.push(&tensor.name);
        Ok(true)
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

/// A tensor's dimensions without the ones that some writers append.
fn significant(tensor: &TensorInfo) -> &[u64] {
    let len = tensor
        .shape
        .iter()
        .rposition(|&n| n != 1)
        .map_or(1, |at| at + 1);
    tensor.shape.get(..len).unwrap_or(&tensor.shape)
}
