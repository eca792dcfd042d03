use std::{
    collections::HashSet,
    io::{self, Write},
};

use crate::{
    ErrorKind, Metadata, TensorInfo, TensorType, Value,
    header::{ALIGNMENT_KEY, DEFAULT_ALIGNMENT, check_alignment, check_tensor},
    value::write_string,
};

/// Builds a GGUF file of version 3: metadata and tensors are declared first, then the tensors' bytes are
/// streamed in the order of declaration, so that a model of any size can be written.
#[derive(Clone, Debug)]
pub struct Writer {
    metadata: Metadata,
    alignment: u64,
    tensors: Vec<TensorInfo>,
    names: HashSet<String>,
    data_len: u64,
}

/// Why a file could not be written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// What was declared is not a valid file.
    #[error(transparent)]
    Invalid(#[from] ErrorKind),
    /// `general.alignment` was set after the first tensor was placed.
    #[error("the alignment must be set before the first tensor")]
    LateAlignment,
    /// More bytes were written than the tensors hold.
    #[error("{0} bytes more were written than the tensors hold")]
    TooMuchData(u64),
    /// Fewer bytes were written than the tensors hold.
    #[error("{0} bytes of tensors were not written")]
    MissingData(u64),
    /// The output failed.
    #[error("cannot write: {0}")]
    Io(#[from] io::Error),
}

impl Default for Writer {
    fn default() -> Self {
        Self::new()
    }
}

impl Writer {
    /// A file without metadata and tensors.
    pub fn new() -> Self {
        Self {
            metadata: Metadata::default(),
            alignment: DEFAULT_ALIGNMENT,
            tensors: Vec::new(),
            names: HashSet::new(),
            data_len: 0,
        }
    }

    /// Adds a metadata entry. `general.alignment` takes effect, and must come before the first tensor.
    pub fn metadata(&mut self, key: &str, value: Value) -> Result<&mut Self, WriteError> {
        if self.metadata.get(key).is_some() {
            return Err(ErrorKind::DuplicateKey(key.to_owned()).into());
        }
        if key == ALIGNMENT_KEY {
            if !self.tensors.is_empty() {
                return Err(WriteError::LateAlignment);
            }
            self.alignment = check_alignment(&value)?;
        }
        self.metadata.push(key.to_owned(), value);
        Ok(self)
    }

    /// Declares a tensor; `shape` starts with the length of a row.
    pub fn tensor(
        &mut self,
        name: &str,
        shape: &[u64],
        ty: TensorType,
    ) -> Result<&mut Self, WriteError> {
        if self.names.contains(name) {
            return Err(ErrorKind::DuplicateTensor(name.to_owned()).into());
        }
        if shape.len() > 4 {
            let dimensions = shape.len() as u32;
            return Err(ErrorKind::TooManyDimensions {
                name: name.to_owned(),
                dimensions,
            }
            .into());
        }
        let tensor = TensorInfo {
            name: name.to_owned(),
            shape: shape.to_vec(),
            ty,
            offset: self.data_len,
        };
        check_tensor(&tensor, self.alignment)?;
        self.data_len = tensor
            .checked_byte_len()
            .and_then(|len| {
                tensor
                    .offset
                    .checked_add(len)?
                    .checked_next_multiple_of(self.alignment)
            })
            .ok_or_else(|| ErrorKind::TooLarge(name.to_owned()))?;
        self.names.insert(name.to_owned());
        self.tensors.push(tensor);
        Ok(self)
    }

    /// The tensors declared so far.
    pub fn tensors(&self) -> &[TensorInfo] {
        &self.tensors
    }

    /// Length of the whole file.
    pub fn file_len(&self) -> u64 {
        self.header_bytes().len() as u64 + self.data_len
    }

    /// The header with the padding that follows it.
    pub fn header_bytes(&self) -> Vec<u8> {
        let mut out = b"GGUF".to_vec();
        out.extend_from_slice(&3u32.to_le_bytes());
        out.extend_from_slice(&(self.tensors.len() as u64).to_le_bytes());
        out.extend_from_slice(&(self.metadata.len() as u64).to_le_bytes());
        for (key, value) in self.metadata.iter() {
            write_string(key, &mut out);
            value.write(&mut out);
        }
        for tensor in &self.tensors {
            write_string(&tensor.name, &mut out);
            out.extend_from_slice(&(tensor.shape.len() as u32).to_le_bytes());
            for &n in &tensor.shape {
                out.extend_from_slice(&n.to_le_bytes());
            }
            out.extend_from_slice(&tensor.ty.id().to_le_bytes());
            out.extend_from_slice(&tensor.offset.to_le_bytes());
        }
        out.resize(out.len().next_multiple_of(self.alignment as usize), 0);
        out
    }

    /// Writes the header; the tensors' bytes follow through what is returned.
    pub fn start<W: Write>(self, mut output: W) -> Result<DataWriter<W>, WriteError> {
        output.write_all(&self.header_bytes())?;
        Ok(DataWriter {
            output,
            writer: self,
            current: 0,
            written: 0,
        })
    }
}

/// Takes the bytes of the tensors in the order of their declaration and puts the padding between them.
#[derive(Debug)]
pub struct DataWriter<W> {
    output: W,
    writer: Writer,
    /// The tensor that is being written.
    current: usize,
    /// Bytes of it that were.
    written: u64,
}

impl<W: Write> DataWriter<W> {
    /// Writes the next bytes: of one tensor, a part of one, or several.
    pub fn write(&mut self, mut bytes: &[u8]) -> Result<(), WriteError> {
        loop {
            let Some(tensor) = self.writer.tensors.get(self.current) else {
                let surplus = bytes.len() as u64;
                return if surplus == 0 {
                    Ok(())
                } else {
                    Err(WriteError::TooMuchData(surplus))
                };
            };
            let (len, offset) = (tensor.byte_len(), tensor.offset);
            let now = (len - self.written).min(bytes.len() as u64);
            let (head, tail) = bytes.split_at(now as usize);
            self.output.write_all(head)?;
            self.written += now;
            if self.written < len {
                return Ok(());
            }
            let end = offset + len;
            let padding = end.next_multiple_of(self.writer.alignment) - end;
            io::copy(
                &mut io::Read::take(io::repeat(0), padding),
                &mut self.output,
            )?;
            self.current += 1;
            self.written = 0;
            bytes = tail;
        }
    }

    /// Checks that all tensors were written and hands the output back, flushed.
    pub fn finish(mut self) -> Result<W, WriteError> {
        self.write(&[])?;
        let missing: u64 = self
            .writer
            .tensors
            .iter()
            .skip(self.current)
            .map(TensorInfo::byte_len)
            .sum();
        if missing > 0 {
            return Err(WriteError::MissingData(missing - self.written));
        }
        self.output.flush()?;
        Ok(self.output)
    }
}
