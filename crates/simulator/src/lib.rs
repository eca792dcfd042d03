//! Swarms of many nodes in virtual time, which decide by the same code as real ones: that of [`swarm`].
//!
//! An experiment is a function of its options and a seed. It reads no clock and draws no other random number, so the same
//! seed gives the same bytes, on any machine. `cargo xtask lab survival` runs one at full length and writes its table,
//! its plots and the figures behind them into `docs`.
//!
//! ```
//! use simulator::{Growth, Model, Placed, Population, survival};
//! use swarm::Replication;
//!
//! let model = Model::of_fragments("small", "Small", 10, 90);
//! let growth = Growth {
//!     population: Population::OneEach,
//!     at_once: 10,
//!     wanted: Replication::THREE,
//!     places_known: true,
//!     surplus: 0.0,
//! };
//! let swarm = Placed::new(&model, &growth, 1, |_| {});
//! assert!(swarm.holders.iter().all(|holders| holders.len() >= 3));
//! let outcome = survival::after_loss(&model, &swarm, 0.1, &survival::Trial { runs: 10, floor: 0.9 }, 1);
//! assert!(outcome.whole <= outcome.usable);
//! ```

pub mod churn;
mod counts;
pub mod histories;
pub mod latency;
mod model;
mod placed;
mod population;
pub mod repair;
mod report;
mod rounds;
pub mod survival;
pub mod world;

pub use model::{Model, ModelError};
pub use placed::{Growth, Placed};
pub use population::{Device, Member, Population, REGIONS};
pub use report::{Page, ReportError};
