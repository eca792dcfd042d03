//! How long it takes until all is held as often as wanted again, after many nodes have gone at once.

mod pages;
mod run;
pub mod study;
