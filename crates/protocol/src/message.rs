use std::{ops::Range, time::Duration};

use bytes::Bytes;

use crate::{Bitmap, Channel};

/// The BLAKE3-256 digest that names a fragment or a manifest.
pub type Digest = [u8; 32];

/// Names a request among those its sender has open on one channel; the response repeats it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RequestId(pub u64);

/// Names a session among those of whoever asks; what is kept for one is of use for it alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionId(pub u64);

/// What a node is there for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum Role {
    /// Asks and answers: a browser tab, or a person's native node.
    #[default]
    Participant,
    /// Asks only; it holds nothing and expects no requests.
    Client,
    /// Answers only.
    Worker,
    /// Entry to the network: relays and introduces, may offer content, computes nothing.
    Bootstrap,
}

/// The first message on the compute stream, from both sides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hello {
    /// Program and version, for people to read; at most 128 bytes of it are sent.
    pub agent: String,
    /// See [`crate::VERSION`].
    pub version: u32,
    /// What the node is there for.
    pub role: Role,
    /// The digest of the manifest it serves. Without one it holds nothing.
    pub model: Option<Digest>,
    /// The fragments it computes on.
    pub computes: Bitmap,
    /// The fragments whose content it offers.
    pub stores: Bitmap,
    /// The layers that it runs for others, if it does.
    pub runs: Option<Runs>,
    /// Whether it finishes answers for those who cannot wait for them; see [`JobRequest`].
    pub finishes: bool,
}

/// Of this version; says nothing else.
impl Default for Hello {
    fn default() -> Self {
        Self {
            agent: String::new(),
            version: crate::VERSION,
            role: Role::default(),
            model: None,
            computes: Bitmap::default(),
            stores: Bitmap::default(),
            runs: None,
            finishes: false,
        }
    }
}

/// Layers that a node runs for others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Runs {
    /// Which.
    pub layers: Range<u32>,
    /// What a token takes through all of them, as the node has measured or expects it.
    pub time: Duration,
}

/// What a node holds now; replaces what it said before, [`Hello`] included.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct HoldingsChanged {
    /// The digest of the manifest it serves.
    pub model: Option<Digest>,
    /// The fragments it computes on.
    pub computes: Bitmap,
    /// The fragments whose content it offers.
    pub stores: Bitmap,
    /// The layers that it runs for others, if it does.
    pub runs: Option<Runs>,
}

/// Work on one fragment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ComputeRequest {
    /// Repeated by the response.
    pub id: RequestId,
    /// The fragment to compute on.
    pub fragment: Digest,
    /// What to do, opaque here.
    pub body: Bytes,
    /// What goes first where much is waiting.
    pub priority: Priority,
    /// How long, from its arrival, the asker waits for an answer, in whole milliseconds (nobody's clock is trusted, so it
    /// is no point in time). What has not been begun by then is not begun any more. Without it: as long as it takes.
    pub patience: Option<Duration>,
}

/// How urgent a request is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub enum Priority {
    /// Somebody is waiting for the next word.
    #[default]
    Interactive,
    /// Nobody is: a measurement, a task that runs over night. Done when nobody waits, though never quite starved.
    Background,
}

impl Priority {
    /// Both, the more urgent first.
    pub const ALL: [Self; 2] = [Self::Interactive, Self::Background];
}

/// The answer to a [`ComputeRequest`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ComputeResponse {
    /// That of the request.
    pub id: RequestId,
    /// The result, opaque here, or why there is none.
    pub result: Result<Bytes, Failure>,
}

/// Why a request was not answered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct Failure {
    /// For programs.
    pub code: ErrorCode,
    /// For people; at most 1,024 bytes of it are sent.
    pub message: String,
}

/// Why a request was not answered, in a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum ErrorCode {
    /// The node does not hold the fragment.
    #[error("fragment not held")]
    NotHeld,
    /// The node has too much to do; another one, or this one later, may answer.
    #[error("busy")]
    Busy,
    /// The request makes no sense for this fragment.
    #[error("invalid request")]
    Invalid,
    /// The node tried and failed.
    #[error("failed")]
    Failed,
    /// The asker's patience was over before it was begun.
    #[error("too late")]
    Expired,
    /// The asker has cancelled it.
    #[error("cancelled")]
    Cancelled,
}

/// Tokens that are to go through layers which the node [runs](Runs), and which it remembers for their session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StageRequest {
    /// Repeated by the response. Of the same numbers as those of compute requests.
    pub id: RequestId,
    /// Whose tokens these are.
    pub session: SessionId,
    /// Which tokens and layers, opaque here.
    pub body: Bytes,
}

/// The answer to a [`StageRequest`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StageResponse {
    /// That of the request.
    pub id: RequestId,
    /// The result, opaque here, or why there is none.
    pub result: Result<Bytes, Failure>,
}

/// Names an answer that somebody finishes for somebody else. It is drawn at random and told nobody but who finishes it:
/// whoever knows it may have the answer.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct JobId(pub [u8; 16]);

/// Only its beginning, since it is a secret.
impl std::fmt::Debug for JobId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "job {:02x}{:02x}…", self.0[0], self.0[1])
    }
}

/// Has a node finish an answer, so that whoever asks can go away meanwhile and look later.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobRequest {
    /// Repeated by the response. Of the same numbers as those of compute requests.
    pub id: RequestId,
    /// Which answer.
    pub job: JobId,
    /// What to do.
    pub order: JobOrder,
}

/// What to do about an answer that somebody finishes for somebody else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JobOrder {
    /// Finish it; what is to be answered and what has been said is opaque here. If it is there already, only look.
    Begin(Bytes),
    /// Say how far it is.
    Look,
    /// Nobody wants it any more.
    Drop,
}

/// The answer to a [`JobRequest`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobResponse {
    /// That of the request.
    pub id: RequestId,
    /// How far it is, opaque here, or why nothing can be said.
    pub result: Result<Bytes, Failure>,
}

/// A [`ComputeRequest`], a [`StageRequest`] or a [`JobRequest`] has to wait behind others' before it is begun. Said once, and only where it is
/// worth saying; the answer, or a refusal, comes all the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Queued {
    /// That of the request.
    pub id: RequestId,
    /// How many are to be done before it.
    pub before: u32,
    /// How long that will take, about, in whole milliseconds.
    pub wait: Duration,
}

/// The asker of a [`ComputeRequest`] or a [`StageRequest`] does not need the answer any more. It may come nevertheless.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cancel {
    /// That of the request.
    pub id: RequestId,
}

/// Asks for one block of a fragment or a manifest: [`crate::BLOCK_BYTES`] bytes, fewer only at its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContentRequest {
    /// Repeated by the response.
    pub id: RequestId,
    /// What to read from.
    pub content: Digest,
    /// Which block, counted from 0; without one the last, which is how somebody who does not know the length of the
    /// content learns it.
    pub block: Option<u32>,
}

/// The answer to a [`ContentRequest`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContentResponse {
    /// That of the request.
    pub id: RequestId,
    /// The block asked for, or why there is none.
    pub result: Result<ContentBlock, Failure>,
}

/// One block of content, and what it takes to check it against the content's digest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContentBlock {
    /// Length of the whole content.
    pub total: u64,
    /// 1 to [`crate::BLOCK_BYTES`] bytes.
    pub bytes: Bytes,
    /// The BLAKE3 chaining values of the subtrees beside the way from the block up to the root, lowest first; at most
    /// [`crate::MAX_PROOF`].
    pub proof: Vec<Digest>,
}

/// Everything that can be said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// See [`Hello`].
    Hello(Hello),
    /// See [`HoldingsChanged`].
    HoldingsChanged(HoldingsChanged),
    /// See [`ComputeRequest`].
    ComputeRequest(ComputeRequest),
    /// See [`ComputeResponse`].
    ComputeResponse(ComputeResponse),
    /// See [`StageRequest`].
    StageRequest(StageRequest),
    /// See [`StageResponse`].
    StageResponse(StageResponse),
    /// See [`JobRequest`].
    JobRequest(JobRequest),
    /// See [`JobResponse`].
    JobResponse(JobResponse),
    /// See [`Queued`].
    Queued(Queued),
    /// See [`Cancel`].
    Cancel(Cancel),
    /// See [`ContentRequest`].
    ContentRequest(ContentRequest),
    /// See [`ContentResponse`].
    ContentResponse(ContentResponse),
}

impl Message {
    /// The channel this message travels on.
    #[must_use]
    pub fn channel(&self) -> Channel {
        match self {
            Self::Hello(_)
            | Self::HoldingsChanged(_)
            | Self::ComputeRequest(_)
            | Self::ComputeResponse(_)
            | Self::StageRequest(_)
            | Self::StageResponse(_)
            | Self::JobRequest(_)
            | Self::JobResponse(_)
            | Self::Queued(_)
            | Self::Cancel(_) => Channel::Compute,
            Self::ContentRequest(_) | Self::ContentResponse(_) => Channel::Content,
        }
    }

    /// What kind of message this is, for logs and errors.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Hello(_) => "hello",
            Self::HoldingsChanged(_) => "holdings-changed",
            Self::ComputeRequest(_) => "compute-request",
            Self::ComputeResponse(_) => "compute-response",
            Self::StageRequest(_) => "stage-request",
            Self::StageResponse(_) => "stage-response",
            Self::JobRequest(_) => "job-request",
            Self::JobResponse(_) => "job-response",
            Self::Queued(_) => "queued",
            Self::Cancel(_) => "cancel",
            Self::ContentRequest(_) => "content-request",
            Self::ContentResponse(_) => "content-response",
        }
    }

    /// What of this message is a part of the frame it was decoded from, which lives as long.
    pub(crate) fn body_mut(&mut self) -> Option<&mut Bytes> {
        match self {
            Self::ComputeRequest(ComputeRequest { body, .. })
            | Self::StageRequest(StageRequest { body, .. })
            | Self::JobRequest(JobRequest {
                order: JobOrder::Begin(body),
                ..
            })
            | Self::ComputeResponse(ComputeResponse {
                result: Ok(body), ..
            })
            | Self::StageResponse(StageResponse {
                result: Ok(body), ..
            })
            | Self::JobResponse(JobResponse {
                result: Ok(body), ..
            })
            | Self::ContentResponse(ContentResponse {
                result: Ok(ContentBlock { bytes: body, .. }),
                ..
            }) => Some(body),
            _ => None,
        }
    }

    /// About how many bytes this message takes, on the wire and at most in memory; for bounding queues.
    #[must_use]
    pub fn size(&self) -> usize {
        const FIXED: usize = 64;
        FIXED
            + match self {
                Self::Hello(hello) => {
                    hello.agent.len() + hello.computes.wire_len() + hello.stores.wire_len()
                }
                Self::HoldingsChanged(holdings) => {
                    holdings.computes.wire_len() + holdings.stores.wire_len()
                }
                Self::ComputeRequest(request) => request.body.len(),
                Self::StageRequest(request) => request.body.len(),
                Self::JobRequest(request) => match &request.order {
                    JobOrder::Begin(body) => body.len(),
                    JobOrder::Look | JobOrder::Drop => 0,
                },
                Self::ComputeResponse(ComputeResponse {
                    result: Ok(body), ..
                })
                | Self::StageResponse(StageResponse {
                    result: Ok(body), ..
                })
                | Self::JobResponse(JobResponse {
                    result: Ok(body), ..
                }) => body.len(),
                Self::ContentResponse(ContentResponse {
                    result: Ok(block), ..
                }) => block.bytes.len() + block.proof.len() * size_of::<Digest>(),
                Self::ComputeResponse(ComputeResponse {
                    result: Err(failure),
                    ..
                })
                | Self::StageResponse(StageResponse {
                    result: Err(failure),
                    ..
                })
                | Self::JobResponse(JobResponse {
                    result: Err(failure),
                    ..
                })
                | Self::ContentResponse(ContentResponse {
                    result: Err(failure),
                    ..
                }) => failure.message.len(),
                Self::Queued(_) | Self::Cancel(_) | Self::ContentRequest(_) => 0,
            }
    }
}
