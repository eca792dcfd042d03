use std::borrow::Cow;

use crate::{Encoding, Error, f16, quantise};

/// Some rows of activations, one per token, rounded as the weights they will meet ask for.
///
/// Rounding is where information is lost, so it happens once, where the activations come from;
/// what travels ([`Activations::to_bytes`]) is what the kernels read.
#[derive(Clone, Debug, PartialEq)]
pub struct Activations {
    encoding: Encoding,
    width: usize,
    tokens: usize,
    values: Values,
}

/// F32 and F16 differ in what the values were rounded to, Q8_0 and Q8_K in the length of a block.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Values {
    Plain(Vec<f32>),
    Quantised(Quantised),
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Quantised {
    /// One per block.
    pub(crate) scales: Vec<f32>,
    /// −127 to 127.
    pub(crate) quants: Vec<i8>,
    /// Sums of 16 quants each, for the minima and offsets of the weights.
    pub(crate) sums16: Vec<i16>,
    /// Sums of 32 quants each.
    pub(crate) sums32: Vec<i16>,
}

impl Quantised {
    fn new(scales: Vec<f32>, quants: Vec<i8>) -> Self {
        let sum = |quants: &[i8]| quants.iter().map(|&q| i16::from(q)).sum();
        let sums16 = quants.chunks_exact(16).map(sum).collect();
        let sums32 = quants.chunks_exact(32).map(sum).collect();
        Self {
            scales,
            quants,
            sums16,
            sums32,
        }
    }
}

impl Activations {
    /// Rounds rows of `width` values.
    pub fn encode(encoding: Encoding, width: usize, values: &[f32]) -> Result<Self, Error> {
        check_width(encoding, width)?;
        if !values.len().is_multiple_of(width) {
            return Err(Error::Length {
                what: "activations in the last row",
                expected: width,
                found: values.len() % width,
            });
        }
        let rounded = match encoding {
            Encoding::F32 => Values::Plain(values.iter().copied().map(canonical).collect()),
            Encoding::F16 => Values::Plain(
                values
                    .iter()
                    .map(|&v| canonical(f16::to_f32(f16::from_f32(v))))
                    .collect(),
            ),
            Encoding::Q8_0 => Values::Quantised(blocks(values, quantise::q8_0)),
            Encoding::Q8_K => Values::Quantised(blocks(values, quantise::q8_k)),
        };
        Ok(Self {
            encoding,
            width,
            tokens: values.len() / width,
            values: rounded,
        })
    }

    /// The same activations in another encoding: itself, or rounded if they were not rounded yet.
    pub fn to_encoding(&self, encoding: Encoding) -> Result<Cow<'_, Self>, Error> {
        match (&self.values, self.encoding) {
            (_, from) if from == encoding => Ok(Cow::Borrowed(self)),
            (Values::Plain(values), Encoding::F32) => {
                Self::encode(encoding, self.width, values).map(Cow::Owned)
            }
            (_, from) => Err(Error::Recoding { from, to: encoding }),
        }
    }

    /// What the activations were rounded to.
    #[must_use]
    pub fn encoding(&self) -> Encoding {
        self.encoding
    }

    /// Values per token.
    #[must_use]
    pub fn width(&self) -> usize {
        self.width
    }

    /// Number of rows.
    #[must_use]
    pub fn tokens(&self) -> usize {
        self.tokens
    }

    pub(crate) fn values(&self) -> &Values {
        &self.values
    }

    /// The values after rounding.
    #[must_use]
    pub fn decode(&self) -> Vec<f32> {
        match &self.values {
            Values::Plain(values) => values.clone(),
            Values::Quantised(q) => q
                .quants
                .chunks_exact(self.encoding.block_len())
                .zip(&q.scales)
                .flat_map(|(block, &scale)| {
                    block.iter().map(move |&q| canonical(scale * f32::from(q)))
                })
                .collect(),
        }
    }

    /// Bytes that this many activations travel as; `None` if the width is not a whole number of
    /// blocks or the size is beyond what this machine can address.
    #[must_use]
    pub fn byte_len(encoding: Encoding, width: usize, tokens: usize) -> Option<usize> {
        check_width(encoding, width).ok()?;
        (width / encoding.block_len())
            .checked_mul(encoding.block_bytes())?
            .checked_mul(tokens)
    }

    /// The activations as they travel, row after row, little-endian: F32 and F16 as they are,
    /// Q8_0 as blocks of a half-precision scale and 32 bytes, Q8_K as blocks of a
    /// single-precision scale and 256 bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let blocks = self.width / self.encoding.block_len() * self.tokens;
        let mut bytes = Vec::with_capacity(blocks * self.encoding.block_bytes());
        match &self.values {
            Values::Plain(values) => {
                for value in values {
                    match self.encoding {
                        Encoding::F16 => bytes.extend(f16::from_f32(*value).to_le_bytes()),
                        _ => bytes.extend(value.to_le_bytes()),
                    }
                }
            }
            Values::Quantised(q) => {
                for (block, scale) in q
                    .quants
                    .chunks_exact(self.encoding.block_len())
                    .zip(&q.scales)
                {
                    match self.encoding {
                        Encoding::Q8_0 => bytes.extend(f16::from_f32(*scale).to_le_bytes()),
                        _ => bytes.extend(scale.to_le_bytes()),
                    }
                    bytes.extend(block.iter().map(|&q| q as u8));
                }
            }
        }
        bytes
    }

    /// Reads what [`Activations::to_bytes`] wrote. The bytes may come from anyone: their number
    /// must be exactly right, and the sums the kernels need are computed here, not believed.
    pub fn from_bytes(
        encoding: Encoding,
        width: usize,
        tokens: usize,
        bytes: &[u8],
    ) -> Result<Self, Error> {
        check_width(encoding, width)?;
        let expected =
            Self::byte_len(encoding, width, tokens).ok_or(Error::Overflow("activations"))?;
        if bytes.len() != expected {
            return Err(Error::Length {
                what: "bytes of activations",
                expected,
                found: bytes.len(),
            });
        }
        let values = match encoding {
            Encoding::F32 => Values::Plain(
                bytes
                    .as_chunks::<4>()
                    .0
                    .iter()
                    .map(|&b| canonical(f32::from_le_bytes(b)))
                    .collect(),
            ),
            Encoding::F16 => {
                Values::Plain(bytes.as_chunks::<2>().0.iter().map(|&b| half(b)).collect())
            }
            Encoding::Q8_0 => read_blocks::<2, 34>(bytes, half)?,
            Encoding::Q8_K => read_blocks::<4, 260>(bytes, |b| canonical(f32::from_le_bytes(b)))?,
        };
        Ok(Self {
            encoding,
            width,
            tokens,
            values,
        })
    }
}

fn check_width(encoding: Encoding, width: usize) -> Result<(), Error> {
    let block = encoding.block_len();
    if width == 0 || !width.is_multiple_of(block) {
        return Err(Error::Width { width, block });
    }
    Ok(())
}

fn half(bytes: [u8; 2]) -> f32 {
    canonical(f16::to_f32(u16::from_le_bytes(bytes)))
}

/// NaN in the one form everybody agrees on.
pub(crate) fn canonical(value: f32) -> f32 {
    if value.is_nan() { f32::NAN } else { value }
}

fn blocks<const N: usize>(
    values: &[f32],
    quantise: impl Fn(&[f32; N], &mut [i8]) -> f32,
) -> Quantised {
    let mut quants = vec![0; values.len()];
    let (blocks, _) = values.as_chunks::<N>();
    let scales = blocks
        .iter()
        .zip(quants.chunks_exact_mut(N))
        .map(|(values, quants)| canonical(quantise(values, quants)))
        .collect();
    Quantised::new(scales, quants)
}

fn read_blocks<const SCALE: usize, const BLOCK: usize>(
    bytes: &[u8],
    scale: impl Fn([u8; SCALE]) -> f32,
) -> Result<Values, Error> {
    let (blocks, _) = bytes.as_chunks::<BLOCK>();
    let mut scales = Vec::with_capacity(blocks.len());
    let mut quants = Vec::with_capacity(blocks.len() * (BLOCK - SCALE));
    for (index, block) in blocks.iter().enumerate() {
        if let Some((head, body)) = block.split_first_chunk::<SCALE>() {
            if let Some(at) = body.iter().position(|&b| b == 0x80) {
                return Err(Error::Quant(index * BLOCK + SCALE + at));
            }
            scales.push(scale(*head));
            quants.extend(body.iter().map(|&b| b as i8));
        }
    }
    Ok(Values::Quantised(Quantised::new(scales, quants)))
}
