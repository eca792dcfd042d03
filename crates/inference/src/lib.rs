//! Transformer inference as a state machine over fragments.

pub mod compute;
pub mod executor;
pub mod hyperparameters;
pub mod local;
pub mod model;
mod requests;
mod rope;
pub mod sampling;
pub mod session;
pub mod template;
pub mod tokenizer;

pub use executor::Executor;
pub use hyperparameters::Hyperparameters;
pub use local::{Answerer, LocalAnswerer, run_local};
pub use model::{Model, SmallTensors};
pub use requests::{RequestId, ResponseError};
pub use sampling::Sampling;
pub use session::Session;
