//! GGUF model files: a reader that trusts nothing, a writer, and the sizes of quantised blocks.
//!
//! A GGUF file is a header (metadata as typed key–value pairs, then a list of tensors) followed by the
//! tensors' bytes. This crate understands the header and says where each tensor lies. It never opens a
//! file itself, never loads tensor data and never interprets weights: the first keeps it usable in the
//! browser, the others keep its memory proportional to the header, whatever the model's size.
//!
//! Files come from strangers, so every length is checked against the bytes that can still follow before
//! anything is allocated, and every error says at which byte it was found.
//!
//! ```
//! use gguf::{Header, TensorType, Value, Writer};
//!
//! let mut writer = Writer::new();
//! writer.metadata("general.architecture", Value::String("llama".into()))?;
//! writer.tensor("output_norm.weight", &[4], TensorType::F32)?;
//! let mut file = Vec::new();
//! let mut data = writer.start(&mut file)?;
//! data.write(&[0; 16])?;
//! data.finish()?;
//!
//! let header = Header::parse(&file, Some(file.len() as u64))?;
//! assert_eq!(header.metadata.str("general.architecture")?, "llama");
//! assert_eq!(header.tensor("output_norm.weight").unwrap().byte_len(), 16);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod error;
#[cfg(feature = "generate")]
pub mod generate;
mod header;
mod metadata;
mod source;
mod split;
mod strings;
mod tensor;
mod tensor_type;
mod value;
mod writer;

pub use error::{Error, ErrorKind};
pub use header::{Header, MAX_HEADER_BYTES};
pub use metadata::{FromValue, Metadata, MetadataError};
pub use split::{MAX_SPLIT_FILES, SplitError, SplitName};
pub use strings::Strings;
pub use tensor::TensorInfo;
pub use tensor_type::TensorType;
pub use value::{Array, Value, ValueType};
pub use writer::{DataWriter, WriteError, Writer};
