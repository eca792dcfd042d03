//! Models that were split into several files: `model-00001-of-00003.gguf` and so on.
//!
//! Each of them is a GGUF file with tensors of its own. The first has the model's metadata; what says that they
//! belong together is `split.count` and `split.no` in every one, the names only say where the others are.

use std::collections::HashSet;

use crate::{Header, MetadataError, TensorInfo};

/// The most files a model may be split into. Those in use are split into at most a few dozen.
pub const MAX_SPLIT_FILES: usize = 512;

const COUNT_KEY: &str = "split.count";
const NUMBER_KEY: &str = "split.no";
const TENSORS_KEY: &str = "split.tensors.count";

/// Files do not make one model.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SplitError {
    /// What a file says about the others is not a number.
    #[error(transparent)]
    Metadata(#[from] MetadataError),
    /// More files than any model has.
    #[error("the model is split into {0} files, at most {MAX_SPLIT_FILES} are supported")]
    TooMany(u64),
    /// There are fewer or more files than the model was split into.
    #[error("the model is split into {expected} files, here are {found}")]
    Count {
        /// How many there must be.
        expected: usize,
        /// How many there are.
        found: usize,
    },
    /// A file stands where another belongs.
    #[error("file {place} of the split model says that it is file {found}")]
    Order {
        /// Its place, counted from 1.
        place: usize,
        /// What it says, counted from 1.
        found: u64,
    },
    /// Tensors are missing, or there are too many.
    #[error("the split model must have {expected} tensors, its files have {found}")]
    Tensors {
        /// What the first file says.
        expected: u64,
        /// What there is.
        found: usize,
    },
    /// Two files have a tensor of the same name.
    #[error("the tensor {0:?} is in two files of the split model")]
    DuplicateTensor(String),
    /// The files together are longer than numbers go.
    #[error("the files of the split model are impossibly long")]
    TooLong,
}

impl Header {
    /// Into how many files the model was split, as this one says; 1 for a model in one file.
    pub fn split_count(&self) -> Result<usize, SplitError> {
        match self.metadata.optional::<u64>(COUNT_KEY)? {
            None | Some(0 | 1) => Ok(1),
            Some(count) if count <= MAX_SPLIT_FILES as u64 => Ok(count as usize),
            Some(count) => Err(SplitError::TooMany(count)),
        }
    }

    /// The header of one imaginary file made of all files of a split model, given their headers and lengths:
    /// all headers one after the other, then what follows them in each file. A single file is as it was.
    ///
    /// Tensors of the result need not be aligned.
    pub fn merge(files: Vec<(Self, u64)>) -> Result<Self, SplitError> {
        let found = files.len();
        let mut files = files.into_iter();
        let Some((mut merged, first_len)) = files.next() else {
            let expected = 1;
            return Err(SplitError::Count { expected, found });
        };
        let expected = merged.split_count()?;
        if expected != found {
            return Err(SplitError::Count { expected, found });
        }
        if expected == 1 {
            return Ok(merged);
        }
        merged.check_place(0)?;
        let body = |header: &Self, len: u64| len.checked_sub(header.data_offset);
        let mut data = body(&merged, first_len).ok_or(SplitError::TooLong)?;
        for (place, (header, len)) in (1..).zip(files) {
            header.check_place(place)?;
            let count = header.split_count()?;
            if count != expected {
                let (expected, found) = (count, expected);
                return Err(SplitError::Count { expected, found });
            }
            for tensor in header.tensors.iter() {
                let offset = tensor.offset.checked_add(data).ok_or(SplitError::TooLong)?;
                merged.tensors.push(TensorInfo {
                    offset,
                    ..tensor.clone()
                });
            }
            let sum = |a: u64, b: Option<u64>| a.checked_add(b?);
            data = sum(data, body(&header, len)).ok_or(SplitError::TooLong)?;
            merged.data_offset += header.data_offset;
        }
        if data.checked_add(merged.data_offset).is_none() {
            return Err(SplitError::TooLong);
        }
        merged.check_tensors()?;
        Ok(merged)
    }

    fn check_place(&self, place: usize) -> Result<(), SplitError> {
        let found = self.metadata.require::<u64>(NUMBER_KEY)?;
        if found == place as u64 {
            return Ok(());
        }
        let (place, found) = (place + 1, found.saturating_add(1));
        Err(SplitError::Order { place, found })
    }

    fn check_tensors(&self) -> Result<(), SplitError> {
        let found = self.tensors.len();
        match self.metadata.optional::<u64>(TENSORS_KEY)? {
            Some(expected) if expected != found as u64 => {
                return Err(SplitError::Tensors { expected, found });
            }
            _ => {}
        }
        let mut names = HashSet::with_capacity(found);
        match self
            .tensors
            .iter()
            .find(|tensor| !names.insert(&tensor.name))
        {
            Some(twice) => Err(SplitError::DuplicateTensor(twice.name.clone())),
            None => Ok(()),
        }
    }
}

/// The name of one file of a split model, without its folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SplitName {
    /// What all the files' names begin with.
    pub prefix: String,
    /// How many files there are.
    pub count: usize,
}

impl SplitName {
    /// Reads `prefix-00001-of-00003.gguf`; none if the name is not of this kind.
    pub fn parse(name: &str) -> Option<Self> {
        let rest = name.strip_suffix(".gguf")?;
        let (rest, count) = rest.rsplit_once("-of-")?;
        let (prefix, number) = rest.rsplit_once('-')?;
        let digits = |text: &str| {
            let all = text.len() == 5 && text.bytes().all(|byte| byte.is_ascii_digit());
            all.then(|| text.parse::<usize>().ok()).flatten()
        };
        let (number, count) = (digits(number)?, digits(count)?);
        let prefix = prefix.to_owned();
        ((1..=count).contains(&number) && count <= MAX_SPLIT_FILES)
            .then_some(Self { prefix, count })
    }

    /// The names of all the files, in order.
    pub fn files(&self) -> impl ExactSizeIterator<Item = String> {
        let Self { prefix, count } = self;
        (0..*count).map(move |index| format!("{prefix}-{:05}-of-{count:05}.gguf", index + 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_split_files_say_where_the_others_are() {
        let name = SplitName::parse("a-b-00002-of-00003.gguf");
        let files: Vec<_> = name.iter().flat_map(SplitName::files).collect();
        assert_eq!(
            files,
            [
                "a-b-00001-of-00003.gguf",
                "a-b-00002-of-00003.gguf",
                "a-b-00003-of-00003.gguf"
            ]
        );
        for other in [
            "a.gguf",
            "a-00004-of-00003.gguf",
            "a-00000-of-00003.gguf",
            "a-1-of-3.gguf",
            "a-00001-of-99999.gguf",
            "a-00001-of-00003.bin",
        ] {
            assert_eq!(SplitName::parse(other), None, "{other}");
        }
    }
}
