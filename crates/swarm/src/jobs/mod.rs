//! Answers that one node finishes for another, which can go away meanwhile and look later, from wherever it is then.
//!
//! - `serve`: those that are finished here.
//! - `ask`: own ones that are finished elsewhere.
//!
//! Who finishes an answer reads it. So nobody's answers are given away unless the person who asked wants that.

mod ask;
mod serve;

use crate::ContentId;
use protocol::JobId;

pub(crate) use ask::Asked;
pub use ask::JobFailure;
pub(crate) use serve::Jobs;

/// Under which name the network finds whoever finishes an answer, without being told the name that gives it away.
fn key(job: JobId) -> ContentId {
    let mut hasher = blake3::Hasher::new_derive_key("iap2p 2026-11-29 who finishes a job");
    hasher.update(&job.0);
    ContentId(*hasher.finalize().as_bytes())
}
