//! Why one of our own requests has no answer.

use crate::{ContentId, FragmentIndex};
use std::time::Duration;

/// Why a request failed. The words are for the user; a shell may put the fragment's CID beside them.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// Nobody who is connected holds the fragment, and nobody appeared in time.
    #[error("nobody connected holds fragment {} ({content}); waited {} s for somebody to appear", .fragment.0, .waited.as_secs())]
    NobodyHolds {
        /// Which fragment.
        fragment: FragmentIndex,
        /// Its name.
        content: ContentId,
        /// How long the request waited.
        waited: Duration,
    },
    /// Everybody who holds the fragment was asked, and nobody gave a usable answer.
    #[error("no holder of fragment {} ({content}) gave an answer; {tried} asked, the last said: {last}", .fragment.0)]
    NobodyAnswers {
        /// Which fragment.
        fragment: FragmentIndex,
        /// Its name.
        content: ContentId,
        /// How many were asked.
        tried: usize,
        /// What the last of them said or did.
        last: String,
    },
    /// The workers agree that the request itself makes no sense.
    #[error("the request on fragment {} ({content}) was refused as malformed: {reason}", .fragment.0)]
    Malformed {
        /// Which fragment.
        fragment: FragmentIndex,
        /// Its name.
        content: ContentId,
        /// What they said.
        reason: String,
    },
}

impl Failure {
    /// Nobody is left who could answer: whoever asks may go on without, if that is possible. A request that makes no sense
    /// would make none to anybody.
    #[must_use]
    pub fn is_for_want_of_workers(&self) -> bool {
        match self {
            Self::NobodyHolds { .. } | Self::NobodyAnswers { .. } => true,
            Self::Malformed { .. } => false,
        }
    }
}

/// Why a request was not taken at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SubmitError {
    /// The model has no such fragment, or is not known yet.
    #[error("the model has no fragment {}", .0.0)]
    UnknownFragment(FragmentIndex),
    /// As many requests as [`Config::max_requests`](crate::Config::max_requests) are under way.
    #[error("too many requests under way")]
    TooMany,
    /// A request with this id is under way.
    #[error("request {} is under way already", .0.0)]
    Duplicate(crate::RequestId),
}
