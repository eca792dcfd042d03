use std::{fmt, ops::Range, str::FromStr};

use kernels::f16;

use crate::compute::Arithmetic;

/// How a session keeps the keys and values of its tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CacheKind {
    /// As they are: what exact arithmetic asks for.
    F32,
    /// In half precision, half as large: what llama.cpp does unless told otherwise.
    F16,
    /// In bytes, with a scale for every 32 of them: about a quarter.
    Q8,
}

impl CacheKind {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::F32, Self::F16, Self::Q8];

    /// The kind where none is chosen.
    pub fn for_arithmetic(arithmetic: Arithmetic) -> Self {
        match arithmetic {
            Arithmetic::Reference => Self::F32,
            Arithmetic::Quantised | Arithmetic::Approximate => Self::F16,
        }
    }

    /// Its name in settings.
    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
            Self::Q8 => "q8",
        }
    }

    /// Bytes of a row of so many values.
    pub fn row_bytes(self, width: usize) -> usize {
        match self {
            Self::F32 => 4 * width,
            Self::F16 => 2 * width,
            Self::Q8 => width + 2 * width.div_ceil(GROUP),
        }
    }
}

impl fmt::Display for CacheKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A name is none of a kind of cache.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no kind of cache: f32, f16 and q8 are")]
pub struct UnknownCacheKind(String);

impl FromStr for CacheKind {
    type Err = UnknownCacheKind;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let kind = Self::ALL.into_iter().find(|kind| kind.name() == name);
        kind.ok_or_else(|| UnknownCacheKind(name.to_owned()))
    }
}

/// Values of a row that have one scale.
const GROUP: usize = 32;

/// Rows of one width, rounded as the kind of cache says.
#[derive(Clone, Debug)]
pub(super) struct Rows {
    width: usize,
    values: Values,
}

#[derive(Clone, Debug)]
enum Values {
    F32(Vec<f32>),
    F16(Vec<u16>),
    /// Scales in half precision, each for [`GROUP`] values or what is left of a row.
    Q8 {
        scales: Vec<u16>,
        values: Vec<i8>,
    },
}

impl Rows {
    pub(super) fn new(kind: CacheKind, width: usize) -> Self {
        let values = match kind {
            CacheKind::F32 => Values::F32(Vec::new()),
            CacheKind::F16 => Values::F16(Vec::new()),
            CacheKind::Q8 => Values::Q8 {
                scales: Vec::new(),
                values: Vec::new(),
            },
        };
        Self { width, values }
    }

    pub(super) fn len(&self) -> usize {
        let values = match &self.values {
            Values::F32(values) => values.len(),
            Values::F16(values) => values.len(),
            Values::Q8 { values, .. } => values.len(),
        };
        values / self.width
    }

    /// Values that each row has scales for.
    fn groups(&self) -> usize {
        self.width.div_ceil(GROUP)
    }

    pub(super) fn push(&mut self, row: &[f32]) {
        match &mut self.values {
            Values::F32(values) => values.extend_from_slice(row),
            Values::F16(values) => values.extend(row.iter().map(|&value| f16::from_f32(value))),
            Values::Q8 { scales, values } => {
                for group in row.chunks(GROUP) {
                    let largest = group.iter().fold(0.0, |a: f32, b| a.max(b.abs()));
                    let step = largest / 127.0;
                    let steps = if step == 0.0 { 0.0 } else { 1.0 / step };
                    scales.push(f16::from_f32(step));
                    // At most 127 but for rounding, and the cast keeps to the range.
                    let quant = |&value: &f32| libm::roundf(value * steps) as i8;
                    values.extend(group.iter().map(quant));
                }
            }
        }
    }

    pub(super) fn truncate(&mut self, rows: usize) {
        let (len, groups) = (rows * self.width, rows * self.groups());
        match &mut self.values {
            Values::F32(values) => values.truncate(len),
            Values::F16(values) => values.truncate(len),
            Values::Q8 { scales, values } => {
                scales.truncate(groups);
                values.truncate(len);
            }
        }
    }

    /// Drops the first rows.
    pub(super) fn drop_first(&mut self, rows: usize) {
        let (len, groups) = (rows * self.width, rows * self.groups());
        match &mut self.values {
            Values::F32(values) => _ = values.drain(..len),
            Values::F16(values) => _ = values.drain(..len),
            Values::Q8 { scales, values } => {
                scales.drain(..groups);
                values.drain(..len);
            }
        }
    }

    /// Some rows as floats; `buffer` is room for them.
    pub(super) fn get<'a>(&'a self, rows: Range<usize>, buffer: &'a mut Vec<f32>) -> &'a [f32] {
        let range = rows.start * self.width..rows.end * self.width;
        match &self.values {
            Values::F32(values) => return &values[range],
            Values::F16(values) => {
                buffer.clear();
                buffer.extend(values[range].iter().map(|&half| widen(half)));
            }
            Values::Q8 { scales, values } => {
                buffer.clear();
                let groups = self.groups();
                let scales = scales[rows.start * groups..].chunks_exact(groups);
                for (row, scales) in values[range].chunks_exact(self.width).zip(scales) {
                    for (group, &scale) in row.chunks(GROUP).zip(scales) {
                        let scale = widen(scale);
                        buffer.extend(group.iter().map(|&value| f32::from(value) * scale));
                    }
                }
            }
        }
        buffer
    }
}

/// A half-precision float as it is, without a branch: it is read as a float with a smaller exponent, and the rest
/// of the exponent is multiplied in, which is exact. Infinities and NaN become what no answer survives anyway.
fn widen(half: u16) -> f32 {
    const REST: f32 = f32::from_bits((127 + 112) << 23);
    let magnitude = f32::from_bits(u32::from(half & 0x7fff) << 13) * REST;
    f32::from_bits(magnitude.to_bits() | u32::from(half & 0x8000) << 16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_finite_halves_are_widened_exactly() {
        for half in 0..=u16::MAX {
            if half & 0x7c00 != 0x7c00 {
                assert_eq!(
                    widen(half).to_bits(),
                    f16::to_f32(half).to_bits(),
                    "{half:#x}"
                );
            }
        }
    }

    #[test]
    fn rows_come_back_as_near_as_their_kind_allows() {
        // A width that is no multiple of a group.
        let row = |seed: usize| (0..40).map(move |i| libm::sinf((seed * 40 + i) as f32) * 3.0);
        for (kind, error) in [
            (CacheKind::F32, 0.0),
            (CacheKind::F16, 2e-3),
            (CacheKind::Q8, 2e-2),
        ] {
            let mut rows = Rows::new(kind, 40);
            for seed in 0..6 {
                rows.push(&row(seed).collect::<Vec<_>>());
            }
            rows.push(&[0.0; 40]);
            rows.truncate(6);
            rows.drop_first(2);
            assert_eq!(rows.len(), 4);
            let mut buffer = Vec::new();
            let expected = (3..5).flat_map(row);
            let found = rows.get(1..3, &mut buffer);
            assert_eq!(found.len(), 80);
            for (found, expected) in found.iter().zip(expected) {
                assert!(
                    (found - expected).abs() <= error,
                    "{kind}: {found} {expected}"
                );
            }
        }
    }

    #[test]
    fn kinds_have_names() {
        for kind in CacheKind::ALL {
            assert_eq!(kind.name().parse(), Ok(kind));
        }
        assert!("f64".parse::<CacheKind>().is_err());
    }
}
