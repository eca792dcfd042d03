use crate::{Array, Strings, Value, ValueType};

/// The key–value pairs of a file, in its order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Metadata {
    entries: Vec<(String, Value)>,
}

/// A metadata value is not there or not what it has to be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MetadataError {
    /// No entry has this key.
    #[error("the model's metadata lacks {key:?}")]
    Missing {
        /// The key.
        key: String,
    },
    /// The value is of another type, or a number that does not fit.
    #[error("the model's metadata {key:?} is {found}, not {wanted}")]
    WrongType {
        /// The key.
        key: String,
        /// The type that was asked for.
        wanted: &'static str,
        /// The type in the file.
        found: ValueType,
    },
}

/// What a metadata value can be read as.
///
/// Integers are read from any integer type that holds their value, because writers of files differ in
/// what they choose; nothing else is converted, except `f64` from `f32`.
pub trait FromValue<'a>: Sized {
    /// Words for error messages.
    const WANTED: &'static str;

    /// The value as this type.
    fn from_value(value: &'a Value) -> Option<Self>;
}

macro_rules! from_integer {
    ($($ty:ty, $wanted:literal;)*) => {$(
        impl FromValue<'_> for $ty {
            const WANTED: &'static str = $wanted;

            fn from_value(value: &Value) -> Option<Self> {
                match *value {
                    Value::U8(v) => v.try_into().ok(),
                    Value::I8(v) => v.try_into().ok(),
                    Value::U16(v) => v.try_into().ok(),
                    Value::I16(v) => v.try_into().ok(),
                    Value::U32(v) => v.try_into().ok(),
                    Value::I32(v) => v.try_into().ok(),
                    Value::U64(v) => v.try_into().ok(),
                    Value::I64(v) => v.try_into().ok(),
                    _ => None,
                }
            }
        }
    )*};
}

from_integer! {
    u32, "an unsigned 32-bit integer";
    u64, "an unsigned 64-bit integer";
    i64, "a 64-bit integer";
}

macro_rules! from_variant {
    ($($ty:ty, $wanted:literal, $pattern:pat => $result:expr;)*) => {$(
        impl<'a> FromValue<'a> for $ty {
            const WANTED: &'static str = $wanted;

            fn from_value(value: &'a Value) -> Option<Self> {
                match value { $pattern => Some($result), _ => None }
            }
        }
    )*};
}

from_variant! {
    f32, "a 32-bit float", Value::F32(v) => *v;
    bool, "a boolean", Value::Bool(v) => *v;
    &'a str, "a text", Value::String(v) => v;
    &'a Array, "an array", Value::Array(v) => v;
    &'a Strings, "an array of texts", Value::Array(Array::String(v)) => v;
    &'a [f32], "an array of 32-bit floats", Value::Array(Array::F32(v)) => v;
    &'a [i32], "an array of 32-bit integers", Value::Array(Array::I32(v)) => v;
    &'a [u32], "an array of unsigned 32-bit integers", Value::Array(Array::U32(v)) => v;
    &'a [bool], "an array of booleans", Value::Array(Array::Bool(v)) => v;
}

impl FromValue<'_> for f64 {
    const WANTED: &'static str = "a float";

    fn from_value(value: &Value) -> Option<Self> {
        match *value {
            Value::F32(v) => Some(f64::from(v)),
            Value::F64(v) => Some(v),
            _ => None,
        }
    }
}

impl Metadata {
    pub(crate) fn from_entries(entries: Vec<(String, Value)>) -> Self {
        Self { entries }
    }

    pub(crate) fn push(&mut self, key: String, value: Value) {
        self.entries.push((key, value));
    }

    /// The value with this key.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.entries
            .iter()
            .find(|(name, _)| name == key)
            .map(|(_, value)| value)
    }

    /// All entries in the file's order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &Value)> {
        self.entries
            .iter()
            .map(|(key, value)| (key.as_str(), value))
    }

    /// Number of entries.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are no entries.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The value with this key as `T`, where there is one; an error if it is of another type.
    pub fn optional<'a, T: FromValue<'a>>(&'a self, key: &str) -> Result<Option<T>, MetadataError> {
        let Some(value) = self.get(key) else {
            return Ok(None);
        };
        let wrong = || MetadataError::WrongType {
            key: key.to_owned(),
            wanted: T::WANTED,
            found: value.value_type(),
        };
        T::from_value(value).map(Some).ok_or_else(wrong)
    }

    /// The value with this key as `T`.
    pub fn require<'a, T: FromValue<'a>>(&'a self, key: &str) -> Result<T, MetadataError> {
        self.optional(key)?.ok_or_else(|| MetadataError::Missing {
            key: key.to_owned(),
        })
    }

    /// An unsigned integer.
    pub fn u32(&self, key: &str) -> Result<u32, MetadataError> {
        self.require(key)
    }

    /// An unsigned integer.
    pub fn u64(&self, key: &str) -> Result<u64, MetadataError> {
        self.require(key)
    }

    /// A float.
    pub fn f32(&self, key: &str) -> Result<f32, MetadataError> {
        self.require(key)
    }

    /// A boolean.
    pub fn bool(&self, key: &str) -> Result<bool, MetadataError> {
        self.require(key)
    }

    /// A text.
    pub fn str(&self, key: &str) -> Result<&str, MetadataError> {
        self.require(key)
    }

    /// An array of texts.
    pub fn strings(&self, key: &str) -> Result<&Strings, MetadataError> {
        self.require(key)
    }

    /// An array of floats.
    pub fn f32s(&self, key: &str) -> Result<&[f32], MetadataError> {
        self.require(key)
    }

    /// An array of integers.
    pub fn i32s(&self, key: &str) -> Result<&[i32], MetadataError> {
        self.require(key)
    }
}
