//! Transformer inference as a state machine over fragments.

pub mod tokenizer;
