use gguf::{Array, FromValue, Metadata, MetadataError, Value};

use super::Error;

/// Dimensions beyond these are taken for damage or malice: the largest models stay far below, and what is
/// allocated from them stays bounded.
pub(super) const MAX_LAYERS: u32 = 1024;
pub(super) const MAX_WIDTH: u32 = 1 << 20;

/// The metadata of one architecture.
pub(super) struct Keys<'a> {
    pub(super) metadata: &'a Metadata,
    pub(super) prefix: &'static str,
}

impl<'a> Keys<'a> {
    fn name(&self, key: &str) -> String {
        format!("{}.{key}", self.prefix)
    }

    pub(super) fn missing(&self, key: &str) -> Error {
        MetadataError::Missing {
            key: self.name(key),
        }
        .into()
    }

    pub(super) fn optional<T: FromValue<'a>>(&self, key: &str) -> Result<Option<T>, Error> {
        Ok(self.metadata.optional(&self.name(key))?)
    }

    /// A number, or one for each layer if they are all the same.
    fn number(&self, key: &'static str) -> Result<Option<u32>, Error> {
        let all: Vec<i64> = match self.metadata.get(&self.name(key)) {
            Some(Value::Array(Array::U32(all))) => all.iter().map(|&n| n.into()).collect(),
            Some(Value::Array(Array::I32(all))) => all.iter().map(|&n| n.into()).collect(),
            _ => return self.optional::<u32>(key),
        };
        match all.as_slice() {
            [first, rest @ ..] if rest.iter().all(|n| n == first) => u32::try_from(*first)
                .map(Some)
                .map_err(|_| invalid(key, first, "0 or more")),
            _ => Err(invalid(key, "a list", "the same in all layers")),
        }
    }

    pub(super) fn bounded(&self, key: &'static str, limit: u32) -> Result<u32, Error> {
        let value = self.number(key)?.ok_or_else(|| self.missing(key))?;
        if value == 0 || value > limit {
            return Err(invalid(key, value, &format!("from 1 to {limit}")));
        }
        Ok(value)
    }

    pub(super) fn width(&self, key: &'static str) -> Result<usize, Error> {
        Ok(self.bounded(key, MAX_WIDTH)? as usize)
    }

    pub(super) fn optional_width(&self, key: &'static str) -> Result<Option<usize>, Error> {
        match self.metadata.get(&self.name(key)) {
            Some(_) => self.width(key).map(Some),
            None => Ok(None),
        }
    }

    /// A count for which 0 means the same as absence.
    pub(super) fn count(&self, key: &'static str, limit: u32) -> Result<usize, Error> {
        match self.number(key)? {
            None | Some(0) => Ok(0),
            Some(_) => Ok(self.bounded(key, limit)? as usize),
        }
    }

    /// A number of which all calculations make numbers again.
    pub(super) fn finite(&self, key: &'static str) -> Result<Option<f32>, Error> {
        match self.optional::<f32>(key)? {
            Some(value) if value.is_nan() || value.abs() > 1e12 => {
                Err(invalid(key, value, "a number"))
            }
            value => Ok(value),
        }
    }

    pub(super) fn positive(&self, key: &'static str) -> Result<Option<f32>, Error> {
        match self.finite(key)? {
            Some(value) if value < 1e-12 => Err(invalid(key, value, "above 0")),
            value => Ok(value),
        }
    }
}

pub(super) fn invalid(key: &'static str, value: impl ToString, must: &str) -> Error {
    Error::Invalid {
        key,
        value: value.to_string(),
        must: must.to_owned(),
    }
}
