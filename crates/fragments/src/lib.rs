//! Cuts a GGUF model into fragments: small files, each named by its content, each holding slices of tensors
//! that are used together, so that one request to one fragment does as much work as it can.
//!
//! - [`Plan`] says what goes where. It is a pure function of the GGUF header, the file's length and the
//!   fragment size, so everybody who cuts the same file gets the same fragments.
//! - [`Manifest`] is what identifies a model: the original header, and the fragments' digests in the plan's
//!   order. The plan is recomputed from it, never read from it.
//! - [`Fragment`] reads one fragment file, which describes itself.
//! - [`cut`], [`verify`](fn@verify) and [`join`](fn@join) stream: their memory is a few fragments, whatever the model's
//!   size. Every byte of the model is in the manifest or in exactly one fragment, so joining gives back the
//!   identical file.
//!
//! FORMAT.md beside this crate describes the bytes.
//!
//! This crate never computes with weights and knows of no network. Except for the feature `fs`, it opens no
//! files and compiles for the browser.
//!
//! ```
//! # use gguf::{TensorType, Value, Writer};
//! # let mut writer = Writer::new();
//! # writer.tensor("token_embd.weight", &[64, 32], TensorType::F32)?;
//! # let mut file = Vec::new();
//! # let mut data = writer.start(&mut file)?;
//! # data.write(&[7; 64 * 32 * 4])?;
//! # data.finish()?;
//! use fragments::{Fragment, PartKind};
//!
//! let (manifest, fragments) = fragments::cut_in_memory(&file, 4096)?;
//! for (id, bytes) in fragments {
//!     let fragment = Fragment::open_verified(bytes, &id)?;
//!     assert!(matches!(fragment.parts()[0].kind, PartKind::Embedding { .. }));
//! }
//! println!("{} has {} fragments", manifest.id(), manifest.plan().fragments.len());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod assemble;
mod bands;
#[cfg(all(feature = "fs", not(target_arch = "wasm32")))]
mod beside;
mod cut;
mod description;
#[cfg(all(feature = "fs", not(target_arch = "wasm32")))]
mod files;
#[cfg(all(feature = "fs", not(target_arch = "wasm32")))]
mod folder;
mod fragment;
mod id;
mod join;
mod manifest;
mod memory;
mod model_files;
mod part;
mod plan;
mod progress;
mod runs;
mod size;
mod store;
mod summary;
mod trailing;
mod verify;

pub use architecture::Role;
pub use assemble::SourceError;
pub use cut::{CutError, cut};
#[cfg(all(feature = "fs", not(target_arch = "wasm32")))]
pub use folder::{
    FolderError, MANIFEST_FILE, cut_to_folder, join_folder, model_paths, name_web_seeds,
    open_model, read_manifest, verify_folder,
};
pub use fragment::{Fragment, FragmentError, StoredPart, StoredSlice};
pub use id::{FragmentId, IdError, ModelId};
pub use join::{JoinError, join};
pub use manifest::{MAX_MANIFEST_BYTES, Manifest, ManifestError};
pub use memory::{Fragments, cut_files_in_memory, cut_in_memory};
pub use model_files::ModelFiles;
pub use part::{Class, PartKind};
pub use plan::{
    DEFAULT_FRAGMENT_SIZE, FragmentPlan, MAX_FRAGMENT_SIZE, MAX_FRAGMENTS, MAX_SLICES, Part, Plan,
    PlanError, Slice, TILE,
};
pub use progress::{Progress, Stage};
#[cfg(all(feature = "fs", not(target_arch = "wasm32")))]
pub use store::FolderStore;
pub use store::{MemoryStore, Store, StoreError, Stored};
pub use summary::{
    FragmentSummary, Kind, KindSummary, LayerSummary, Summary, TensorTypeSummary,
    fragment_summaries,
};
pub use verify::{Bad, Missing, Report, verify};
