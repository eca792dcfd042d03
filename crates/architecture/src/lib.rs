//! What the supported model architectures consist of, as data.
//!
//! Transformers differ in little: which tensors a layer has, how positions turn queries and keys, how experts
//! are chosen, where widths stand in the metadata. Whoever cuts a model and whoever computes it must agree
//! on all of that, so it is written down once, here, and both read it:
//!
//! - [`locate`] knows the tensors' names: what each is ([`Role`]) and where it belongs ([`Home`]). They
//!   mean the same in all architectures, so a plan follows from names and shapes alone.
//! - [`Architecture`] says which of them an architecture has, in which dimensions ([`Dim`]), and what is
//!   computed with them.
//!
//! This crate reads no file and computes nothing. A new architecture that is made of the same pieces is one
//! more entry of [`ARCHITECTURES`].
//!
//! ```
//! use architecture::{Architecture, Home, Role};
//!
//! let (layer, tensor) = architecture::locate("blk.7.attn_k_b.weight").unwrap();
//! assert_eq!((layer, tensor.role, tensor.home), (Some(7), Role::KeyUp, Home::Attention));
//! assert!(Architecture::named("qwen3").is_some_and(|it| it.has("attn_q_norm.weight")));
//! assert!(Architecture::named("mamba").is_none());
//! ```

mod catalogue;
mod list;
mod role;
mod tensor;

pub use catalogue::{Group, Home, Known, locate};
pub use list::{
    ARCHITECTURES, Architecture, Attention, Choice, ExpertWidth, LogMultiplier, Pairs, Temperature,
};
pub use role::Role;
pub use tensor::{Dim, Presence, Tensor};
