//! Transformer inference as a state machine over fragments.
//!
//! A model is too big for the machine that wants an answer, so whoever computes here only says what has to
//! be computed. A [`Session`] turns a prompt into requests about fragments and their answers into text; an
//! [`Answerer`], or a network of them, does the products. One process that holds everything and a thousand
//! that hold one fragment each run the same session, and it says the same, bit for bit:
//!
//! - [`tokenizer`] and [`template`]: text to tokens and back, as the model's file says.
//! - [`compute`]: the pure function of a fragment and a request that workers answer with.
//! - [`executor`]: tokens through a range of layers, with their keys and values.
//! - [`session`]: embedding, executor, output head and [`sampling`] in turn.
//! - [`stage`]: layers that somebody else runs.
//! - [`job`]: answers that somebody finishes for somebody else.
//! - [`thinking`]: a model's thoughts told apart from its answer.
//! - [`stop`]: texts at which an answer ends.
//! - [`traffic`]: what a token costs a network, by a model's header alone.
//! - [`local`]: answers from fragments in this process.
//!
//! This crate never waits, reads no clock, knows no network and starts no threads. Randomness is a seed.
//! What comes from strangers (manifests, requests, answers) is checked before it is used, and refused by
//! name.
//!
//! ```
//! use std::sync::Arc;
//!
//! use fragments::Fragment;
//! use inference::{LocalAnswerer, Model, Session, run_local};
//! use inference::{session::{Config, Event, Generation}, template::{Message, Role}};
//!
//! # let file = std::fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/../demo-model/demo.gguf"))?;
//! // Cut a model in memory and keep all fragments here.
//! let (manifest, fragments) = fragments::cut_in_memory(&file, 1 << 20)?;
//! let mut answerer = LocalAnswerer::new();
//! for (id, bytes) in fragments {
//!     answerer.insert(id, Fragment::open_verified(bytes, &id)?);
//! }
//! let model = Arc::new(Model::new(manifest)?);
//! let small = model.small_fragments().iter().filter_map(|&index| model.manifest().fragment_id(index));
//! let small = model.small_tensors(small.filter_map(|id| answerer.get(&id)))?;
//!
//! // Ask. Over a network, `run_local` is replaced by a loop that sends requests to others.
//! let question = Message { role: Role::User, content: "Qu'est-ce qu'un fragment ?".into() };
//! let mut session = Session::new(model.clone(), Arc::new(small), Config::default())?;
//! session.begin(&model.encode_chat(&[question], None)?, Generation::default())?;
//! let mut answer = String::new();
//! run_local(&mut session, &answerer, |event| {
//!     if let Event::Token { text, .. } = event {
//!         answer.push_str(&text);
//!     }
//! })?;
//! assert!(answer.starts_with("Un fragment est"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod compute;
pub mod executor;
pub mod hyperparameters;
pub mod job;
pub mod local;
pub mod model;
mod parallel;
mod requests;
mod rope;
pub mod sampling;
pub mod session;
pub mod stage;
pub mod stop;
pub mod template;
pub mod thinking;
pub mod tokenizer;
pub mod traffic;
mod wire;

pub use executor::Executor;
pub use hyperparameters::Hyperparameters;
pub use local::{Answerer, LocalAnswerer, run_local};
pub use model::{Model, SmallTensors};
pub use requests::{Parts, RequestId, ResponseError};
pub use sampling::Sampling;
pub use session::Session;
