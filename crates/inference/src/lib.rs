//! Transformer inference as a state machine over fragments.

pub mod hyperparameters;
mod rope;
pub mod sampling;
pub mod template;
pub mod tokenizer;
