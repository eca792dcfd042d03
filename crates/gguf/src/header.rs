use std::{collections::HashSet, io::Read};

use crate::{
    Error, ErrorKind, Metadata, TensorInfo, TensorType, Value,
    source::{Slice, Source, Stream},
};

/// The longest header that is read, an order of magnitude above the largest in use (vocabularies make it
/// long). It bounds what a false file can make a reader allocate.
pub const MAX_HEADER_BYTES: u64 = 128 << 20;

/// The alignment where the metadata names none: the format's own default.
pub(crate) const DEFAULT_ALIGNMENT: u64 = 32;

pub(crate) const ALIGNMENT_KEY: &str = "general.alignment";

/// Bytes of the shortest entries, to check counts before anything is allocated.
const MIN_METADATA_BYTES: u64 = 8 + 4 + 1;
const MIN_TENSOR_BYTES: u64 = 8 + 4 + 4 + 8;

/// Everything before the tensors' bytes.
///
/// A header that was read is well formed: names are unique, tensors are aligned, do not overlap, and lie
/// inside the file where its length was given.
#[derive(Clone, Debug, PartialEq)]
pub struct Header {
    /// Version of the format, 2 or 3.
    pub version: u32,
    /// Tensors start at multiples of this.
    pub alignment: u64,
    /// Hyperparameters, vocabulary and descriptions.
    pub metadata: Metadata,
    /// The tensors in the file's order, which need not be the order of their bytes.
    pub tensors: Vec<TensorInfo>,
    /// Where the tensors' bytes start, from the start of the file. In a file without tensors the end of
    /// the header, if the file ends before the next multiple of the alignment.
    pub data_offset: u64,
}

impl Header {
    /// Reads the header at the start of `bytes`, which may be the whole file or only the header with the
    /// padding that follows it. Tensors are checked against `file_len` where it is given.
    pub fn parse(bytes: &[u8], file_len: Option<u64>) -> Result<Self, Error> {
        Self::read_from(&mut Slice::new(bytes), file_len)
    }

    /// Reads the header from the start of a file. Returns its bytes too, including the padding up to
    /// [`data_offset`](Self::data_offset). Reads ahead: seek before reading tensors from the same reader.
    pub fn read(reader: &mut impl Read, file_len: Option<u64>) -> Result<(Self, Vec<u8>), Error> {
        let mut stream = Stream::new(reader, file_len);
        let header = Self::read_from(&mut stream, file_len)?;
        let mut raw = stream.into_raw();
        raw.truncate(header.data_offset as usize);
        raw.shrink_to_fit();
        Ok((header, raw))
    }

    /// The tensor with this name.
    pub fn tensor(&self, name: &str) -> Option<&TensorInfo> {
        self.tensors.iter().find(|tensor| tensor.name == name)
    }

    fn read_from(source: &mut impl Source, file_len: Option<u64>) -> Result<Self, Error> {
        if &source.array()? != b"GGUF" {
            return Err(ErrorKind::NotGguf.at(0));
        }
        let version = source.u32()?;
        match version {
            2 | 3 => {}
            _ if matches!(version.swap_bytes(), 1..=3) => return Err(ErrorKind::BigEndian.at(4)),
            _ => return Err(ErrorKind::UnsupportedVersion(version).at(4)),
        }
        let tensor_count = source.count(MIN_TENSOR_BYTES)?;
        let metadata_count = source.count(MIN_METADATA_BYTES)?;
        let (metadata, alignment) = read_metadata(source, metadata_count)?;

        let mut tensors = Vec::new();
        let mut offsets = Vec::new();
        for _ in 0..tensor_count {
            offsets.push(source.position());
            tensors.push(read_tensor(source, alignment)?);
        }

        let end = source.position();
        let mut data_offset = end.next_multiple_of(alignment);
        if tensors.is_empty() {
            let available = source.remaining().min(data_offset - end);
            // With nothing to align, files may end here. What was announced as available may not be.
            data_offset = match file_len {
                Some(file_len) => data_offset.min(file_len),
                None => end + skip_available(source, available),
            };
        }
        source.take((data_offset - source.position()) as usize)?;
        check_tensors(&tensors, &offsets, data_offset, file_len)?;
        Ok(Self {
            version,
            alignment,
            metadata,
            tensors,
            data_offset,
        })
    }
}

/// Skips up to `len` bytes and returns how many there were.
fn skip_available(source: &mut impl Source, len: u64) -> u64 {
    (0..len).take_while(|_| source.take(1).is_ok()).count() as u64
}

fn read_metadata(source: &mut impl Source, count: usize) -> Result<(Metadata, u64), Error> {
    let mut entries: Vec<(String, Value)> = Vec::new();
    let mut keys = HashSet::new();
    let mut alignment = DEFAULT_ALIGNMENT;
    for _ in 0..count {
        let offset = source.position();
        let key = source.string()?.to_owned();
        if !keys.insert(key.clone()) {
            return Err(ErrorKind::DuplicateKey(key).at(offset));
        }
        let offset = source.position();
        let value = Value::read(source)?;
        if key == ALIGNMENT_KEY {
            alignment = check_alignment(&value).map_err(|kind| kind.at(offset))?;
        }
        entries.push((key, value));
    }
    Ok((Metadata::from_entries(entries), alignment))
}

pub(crate) fn check_alignment(value: &Value) -> Result<u64, ErrorKind> {
    let Value::U32(alignment) = *value else {
        return Err(ErrorKind::AlignmentType(value.value_type()));
    };
    // The format asks for multiples of 8, its best known reader for powers of two: either will do.
    if alignment != 0 && (alignment.is_multiple_of(8) || alignment.is_power_of_two()) {
        Ok(u64::from(alignment))
    } else {
        Err(ErrorKind::InvalidAlignment(u64::from(alignment)))
    }
}

fn read_tensor(source: &mut impl Source, alignment: u64) -> Result<TensorInfo, Error> {
    let start = source.position();
    let name = source.string()?.to_owned();
    let dimensions = source.u32()?;
    if dimensions > 4 {
        return Err(ErrorKind::TooManyDimensions { name, dimensions }.at(start));
    }
    let shape = (0..dimensions)
        .map(|_| source.u64())
        .collect::<Result<Vec<_>, _>>()?;
    let id = source.u32()?;
    let offset = source.u64()?;
    let Some(ty) = TensorType::from_id(id) else {
        return Err(ErrorKind::UnknownTensorType { name, id }.at(start));
    };
    let tensor = TensorInfo {
        name,
        shape,
        ty,
        offset,
    };
    check_tensor(&tensor, alignment).map_err(|kind| kind.at(start))?;
    Ok(tensor)
}

pub(crate) fn check_tensor(tensor: &TensorInfo, alignment: u64) -> Result<(), ErrorKind> {
    let name = || tensor.name.clone();
    let (row_len, block_len) = (tensor.row_len(), tensor.ty.block_len());
    if !row_len.is_multiple_of(block_len as u64) {
        return Err(ErrorKind::PartialBlock {
            name: name(),
            row_len,
            block_len,
        });
    }
    if tensor.checked_byte_len().is_none() {
        return Err(ErrorKind::TooLarge(name()));
    }
    if !tensor.offset.is_multiple_of(alignment) {
        return Err(ErrorKind::Misaligned {
            name: name(),
            position: tensor.offset,
            alignment,
        });
    }
    Ok(())
}

/// Checks what concerns several tensors or the file; `offsets` are where their entries are in the header.
fn check_tensors(
    tensors: &[TensorInfo],
    offsets: &[u64],
    data_offset: u64,
    file_len: Option<u64>,
) -> Result<(), Error> {
    let mut names = HashSet::new();
    let mut by_position = Vec::with_capacity(tensors.len());
    for (tensor, &offset) in tensors.iter().zip(offsets) {
        if !names.insert(tensor.name.as_str()) {
            return Err(ErrorKind::DuplicateTensor(tensor.name.clone()).at(offset));
        }
        let end = tensor
            .checked_byte_len()
            .and_then(|len| tensor.offset.checked_add(len)?.checked_add(data_offset))
            .ok_or_else(|| ErrorKind::TooLarge(tensor.name.clone()).at(offset))?;
        if let Some(file_len) = file_len.filter(|&file_len| end > file_len) {
            let name = tensor.name.clone();
            return Err(ErrorKind::BeyondEnd {
                name,
                end,
                file_len,
            }
            .at(offset));
        }
        if tensor.byte_len() > 0 {
            by_position.push((tensor.offset + data_offset, end, tensor, offset));
        }
    }
    by_position.sort_by_key(|&(start, ..)| start);
    for pair in by_position.windows(2) {
        let [(_, end, first, _), (start, _, second, offset)] = pair else {
            continue;
        };
        if start < end {
            let (first, second) = (first.name.clone(), second.name.clone());
            return Err(ErrorKind::Overlap { first, second }.at(*offset));
        }
    }
    Ok(())
}
