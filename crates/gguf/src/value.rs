use std::fmt;

use crate::{Error, ErrorKind, Strings, source::Source};

/// How deep arrays may be nested. Nobody nests them at all; the format allows it.
const MAX_NESTING: u32 = 4;

/// Numeric arrays are read in pieces of this many bytes, so that a false length allocates no more than that.
const PIECE_BYTES: usize = 64 << 10;

macro_rules! values {
    ($($(#[$doc:meta])* $variant:ident($ty:ty, $array:ty) = $id:literal, $name:literal, $min:literal;)*) => {
        /// A metadata value.
        #[derive(Clone, Debug, PartialEq)]
        #[allow(missing_docs, reason = "the names say it")]
        pub enum Value { $($variant($ty)),* }

        /// A metadata array: all entries have one type.
        #[derive(Clone, Debug, PartialEq)]
        #[allow(missing_docs, reason = "the names say it")]
        pub enum Array { $($variant($array)),* }

        /// The type of a metadata value.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[allow(missing_docs, reason = "the names say it")]
        pub enum ValueType { $($variant),* }

        impl ValueType {
            /// The type with this number.
            pub fn from_id(id: u32) -> Option<Self> {
                match id { $($id => Some(Self::$variant),)* _ => None }
            }

            /// The type's number in files.
            pub fn id(self) -> u32 {
                match self { $(Self::$variant => $id),* }
            }

            /// The fewest bytes a value of this type takes.
            fn min_bytes(self) -> u64 {
                match self { $(Self::$variant => $min),* }
            }
        }

        impl fmt::Display for ValueType {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match self { $(Self::$variant => $name),* })
            }
        }

        impl Value {
            /// Its type.
            pub fn value_type(&self) -> ValueType {
                match self { $(Self::$variant(_) => ValueType::$variant),* }
            }
        }

        impl Array {
            /// The type of its entries.
            pub fn entry_type(&self) -> ValueType {
                match self { $(Self::$variant(_) => ValueType::$variant),* }
            }

            /// Number of entries.
            pub fn len(&self) -> usize {
                match self { $(Self::$variant(entries) => entries.len()),* }
            }

            /// Whether there are no entries.
            pub fn is_empty(&self) -> bool {
                self.len() == 0
            }
        }
    };
}

values! {
    U8(u8, Vec<u8>) = 0, "u8", 1;
    I8(i8, Vec<i8>) = 1, "i8", 1;
    U16(u16, Vec<u16>) = 2, "u16", 2;
    I16(i16, Vec<i16>) = 3, "i16", 2;
    U32(u32, Vec<u32>) = 4, "u32", 4;
    I32(i32, Vec<i32>) = 5, "i32", 4;
    F32(f32, Vec<f32>) = 6, "f32", 4;
    Bool(bool, Vec<bool>) = 7, "bool", 1;
    String(String, Strings) = 8, "string", 8;
    Array(Array, Vec<Array>) = 9, "array", 12;
    U64(u64, Vec<u64>) = 10, "u64", 8;
    I64(i64, Vec<i64>) = 11, "i64", 8;
    F64(f64, Vec<f64>) = 12, "f64", 8;
}

/// Calls `$body!(variant, type)` for the numeric type of `$ty`; the rest of the arms follow.
macro_rules! numeric {
    ($ty:expr, $numeric:ident, { $($rest:tt)* }) => {
        match $ty {
            ValueType::U8 => $numeric!(U8, u8),
            ValueType::I8 => $numeric!(I8, i8),
            ValueType::U16 => $numeric!(U16, u16),
            ValueType::I16 => $numeric!(I16, i16),
            ValueType::U32 => $numeric!(U32, u32),
            ValueType::I32 => $numeric!(I32, i32),
            ValueType::F32 => $numeric!(F32, f32),
            ValueType::U64 => $numeric!(U64, u64),
            ValueType::I64 => $numeric!(I64, i64),
            ValueType::F64 => $numeric!(F64, f64),
            $($rest)*
        }
    };
}

impl Value {
    pub(crate) fn read(source: &mut impl Source) -> Result<Self, Error> {
        let ty = read_type(source)?;
        macro_rules! read {
            ($variant:ident, $ty:ty) => {
                Value::$variant(<$ty>::from_le_bytes(source.array()?))
            };
        }
        Ok(numeric!(ty, read, {
            ValueType::Bool => Value::Bool(read_bool(source)?),
            ValueType::String => Value::String(source.string()?.to_owned()),
            ValueType::Array => Value::Array(Array::read(source, 1)?),
        }))
    }

    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.value_type().id().to_le_bytes());
        match self {
            Self::U8(v) => out.push(*v),
            Self::I8(v) => out.extend_from_slice(&v.to_le_bytes()),
            Self::U16(v) => out.extend_from_slice(&v.to_le_bytes()),
            Self::I16(v) => out.extend_from_slice(&v.to_le_bytes()),
            Self::U32(v) => out.extend_from_slice(&v.to_le_bytes()),
            Self::I32(v) => out.extend_from_slice(&v.to_le_bytes()),
            Self::F32(v) => out.extend_from_slice(&v.to_le_bytes()),
            Self::U64(v) => out.extend_from_slice(&v.to_le_bytes()),
            Self::I64(v) => out.extend_from_slice(&v.to_le_bytes()),
            Self::F64(v) => out.extend_from_slice(&v.to_le_bytes()),
            Self::Bool(v) => out.push(u8::from(*v)),
            Self::String(v) => write_string(v, out),
            Self::Array(v) => v.write(out),
        }
    }
}

impl Array {
    fn read(source: &mut impl Source, depth: u32) -> Result<Self, Error> {
        let start = source.position();
        if depth > MAX_NESTING {
            return Err(ErrorKind::NestedTooDeep { limit: MAX_NESTING }.at(start));
        }
        let ty = read_type(source)?;
        let count = source.count(ty.min_bytes())?;
        macro_rules! read {
            ($variant:ident, $ty:ty) => {{
                const SIZE: usize = size_of::<$ty>();
                let mut values: Vec<$ty> = Vec::new();
                let mut left = count;
                while left > 0 {
                    let piece = left.min(PIECE_BYTES / SIZE);
                    let bytes = source.take(piece * SIZE)?;
                    let (entries, _) = bytes.as_chunks::<SIZE>();
                    values.extend(entries.iter().map(|&entry| <$ty>::from_le_bytes(entry)));
                    left -= piece;
                }
                Array::$variant(values)
            }};
        }
        Ok(numeric!(ty, read, {
            ValueType::Bool => {
                let mut values = Vec::new();
                for _ in 0..count {
                    values.push(read_bool(source)?);
                }
                Array::Bool(values)
            }
            ValueType::String => {
                let mut values = Strings::new();
                for _ in 0..count {
                    values.push(source.string()?);
                }
                values.shrink();
                Array::String(values)
            }
            ValueType::Array => {
                let mut values = Vec::new();
                for _ in 0..count {
                    values.push(Array::read(source, depth + 1)?);
                }
                Array::Array(values)
            }
        }))
    }

    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.entry_type().id().to_le_bytes());
        out.extend_from_slice(&(self.len() as u64).to_le_bytes());
        macro_rules! write {
            ($values:expr) => {
                $values
                    .iter()
                    .for_each(|value| out.extend_from_slice(&value.to_le_bytes()))
            };
        }
        match self {
            Self::U8(v) => out.extend_from_slice(v),
            Self::I8(v) => write!(v),
            Self::U16(v) => write!(v),
            Self::I16(v) => write!(v),
            Self::U32(v) => write!(v),
            Self::I32(v) => write!(v),
            Self::F32(v) => write!(v),
            Self::U64(v) => write!(v),
            Self::I64(v) => write!(v),
            Self::F64(v) => write!(v),
            Self::Bool(v) => out.extend(v.iter().map(|&value| u8::from(value))),
            Self::String(v) => v.iter().for_each(|value| write_string(value, out)),
            Self::Array(v) => v.iter().for_each(|value| value.write(out)),
        }
    }
}

fn read_type(source: &mut impl Source) -> Result<ValueType, Error> {
    let offset = source.position();
    let id = source.u32()?;
    ValueType::from_id(id).ok_or_else(|| ErrorKind::UnknownValueType(id).at(offset))
}

fn read_bool(source: &mut impl Source) -> Result<bool, Error> {
    let offset = source.position();
    match source.array::<1>()? {
        [0] => Ok(false),
        [1] => Ok(true),
        [other] => Err(ErrorKind::InvalidBool(other).at(offset)),
    }
}

pub(crate) fn write_string(text: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(&(text.len() as u64).to_le_bytes());
    out.extend_from_slice(text.as_bytes());
}
