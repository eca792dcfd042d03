//! Histories made up at random, in which whole nodes have to keep their promises.
//!
//! Nodes come and go, lie, fall silent, lose messages and are cut into two halves for a while, and all the time they ask
//! each other and fetch from each other. Every message takes its own time, so that what was sent first need not arrive first.
//! Two nodes that hold everything between them stay honest and are never away for longer than a node is patient; so
//! nothing may fail. What is checked:
//!
//! - every request is answered, once, with the right answer, and every download ends with the right bytes;
//! - nobody who has always been honest is banned by such a node;
//! - when all is quiet, everybody knows of everybody what they hold, and nothing is left in anybody's books;
//! - at no time does a node hold more than it may: requests of its own, of others, and under way at one peer.
//!
//! A history follows from its seed. One that breaks a promise is named, and happens again with the same seed.

mod pages;
mod play;
pub mod study;

pub use play::{Broken, Played, play};
