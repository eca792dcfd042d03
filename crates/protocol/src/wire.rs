//! The protobuf form of [`Message`], and the checks between the two.
//!
//! Field numbers are for ever: a field that is no longer used keeps its number reserved.

use std::time::Duration;

use bytes::Bytes;
use prost::{Enumeration, Oneof};

use crate::{BLOCK_BYTES, Bitmap, Error, MAX_PROOF, RequestId, message as typed};

const MAX_AGENT: usize = 128;
const MAX_FAILURE: usize = 1024;

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Envelope {
    #[prost(oneof = "Kind", tags = "1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12")]
    kind: Option<Kind>,
}

#[derive(Clone, PartialEq, Oneof)]
enum Kind {
    #[prost(message, tag = "1")]
    Hello(Hello),
    #[prost(message, tag = "2")]
    HoldingsChanged(Holdings),
    #[prost(message, tag = "3")]
    ComputeRequest(ComputeRequest),
    #[prost(message, tag = "4")]
    ComputeResponse(ComputeResponse),
    #[prost(message, tag = "5")]
    Cancel(Cancel),
    #[prost(message, tag = "6")]
    ContentRequest(ContentRequest),
    #[prost(message, tag = "7")]
    ContentResponse(ContentResponse),
    #[prost(message, tag = "8")]
    StageRequest(StageRequest),
    #[prost(message, tag = "9")]
    StageResponse(StageResponse),
    #[prost(message, tag = "10")]
    Queued(Queued),
    #[prost(message, tag = "11")]
    JobRequest(JobRequest),
    #[prost(message, tag = "12")]
    JobResponse(JobResponse),
}

#[derive(Clone, PartialEq, prost::Message)]
struct Hello {
    #[prost(string, tag = "1")]
    agent: String,
    #[prost(uint32, tag = "2")]
    version: u32,
    #[prost(enumeration = "Role", tag = "3")]
    role: i32,
    #[prost(message, optional, tag = "4")]
    holdings: Option<Holdings>,
    #[prost(bool, tag = "5")]
    finishes: bool,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Holdings {
    #[prost(bytes = "bytes", optional, tag = "1")]
    model: Option<Bytes>,
    #[prost(uint32, tag = "2")]
    fragments: u32,
    #[prost(bytes = "bytes", tag = "3")]
    computes: Bytes,
    #[prost(bytes = "bytes", tag = "4")]
    stores: Bytes,
    #[prost(message, optional, tag = "5")]
    runs: Option<Runs>,
}

#[derive(Clone, Copy, PartialEq, prost::Message)]
struct Runs {
    #[prost(uint32, tag = "1")]
    first: u32,
    /// The first that does not belong to it.
    #[prost(uint32, tag = "2")]
    end: u32,
    #[prost(uint32, tag = "3")]
    time_us: u32,
}

#[derive(Clone, PartialEq, prost::Message)]
struct StageRequest {
    #[prost(uint64, tag = "1")]
    id: u64,
    #[prost(fixed64, tag = "2")]
    session: u64,
    #[prost(bytes = "bytes", tag = "3")]
    body: Bytes,
}

#[derive(Clone, PartialEq, prost::Message)]
struct StageResponse {
    #[prost(uint64, tag = "1")]
    id: u64,
    #[prost(bytes = "bytes", tag = "2")]
    body: Bytes,
    /// When present, `body` means nothing.
    #[prost(message, optional, tag = "3")]
    failure: Option<Failure>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct ComputeRequest {
    #[prost(uint64, tag = "1")]
    id: u64,
    #[prost(bytes = "bytes", tag = "2")]
    fragment: Bytes,
    #[prost(bytes = "bytes", tag = "3")]
    body: Bytes,
    #[prost(enumeration = "Priority", tag = "4")]
    priority: i32,
    #[prost(uint32, optional, tag = "5")]
    patience_ms: Option<u32>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct ComputeResponse {
    #[prost(uint64, tag = "1")]
    id: u64,
    #[prost(bytes = "bytes", tag = "2")]
    body: Bytes,
    /// When present, `body` means nothing.
    #[prost(message, optional, tag = "3")]
    failure: Option<Failure>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Failure {
    #[prost(enumeration = "Code", tag = "1")]
    code: i32,
    #[prost(string, tag = "2")]
    message: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct JobRequest {
    #[prost(uint64, tag = "1")]
    id: u64,
    #[prost(bytes = "bytes", tag = "2")]
    job: Bytes,
    #[prost(enumeration = "Order", tag = "3")]
    order: i32,
    /// Of one that is to begin.
    #[prost(bytes = "bytes", tag = "4")]
    body: Bytes,
}

#[derive(Clone, PartialEq, prost::Message)]
struct JobResponse {
    #[prost(uint64, tag = "1")]
    id: u64,
    #[prost(bytes = "bytes", tag = "2")]
    body: Bytes,
    /// When present, `body` means nothing.
    #[prost(message, optional, tag = "3")]
    failure: Option<Failure>,
}

#[derive(Clone, Copy, PartialEq, prost::Message)]
struct Queued {
    #[prost(uint64, tag = "1")]
    id: u64,
    #[prost(uint32, tag = "2")]
    before: u32,
    #[prost(uint32, tag = "3")]
    wait_ms: u32,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Cancel {
    #[prost(uint64, tag = "1")]
    id: u64,
}

#[derive(Clone, PartialEq, prost::Message)]
struct ContentRequest {
    #[prost(uint64, tag = "1")]
    id: u64,
    #[prost(bytes = "bytes", tag = "2")]
    content: Bytes,
    /// Absent: the last one.
    #[prost(uint32, optional, tag = "5")]
    block: Option<u32>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct ContentResponse {
    #[prost(uint64, tag = "1")]
    id: u64,
    #[prost(uint64, tag = "2")]
    total: u64,
    #[prost(bytes = "bytes", tag = "4")]
    bytes: Bytes,
    /// Digests, one after the other.
    #[prost(bytes = "bytes", tag = "6")]
    proof: Bytes,
    /// When present, the fields above mean nothing.
    #[prost(message, optional, tag = "5")]
    failure: Option<Failure>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Enumeration)]
#[repr(i32)]
enum Role {
    Participant = 0,
    Client = 1,
    Worker = 2,
    Bootstrap = 3,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Enumeration)]
#[repr(i32)]
enum Code {
    Failed = 0,
    NotHeld = 1,
    Busy = 2,
    Invalid = 3,
    Cancelled = 4,
    Expired = 5,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Enumeration)]
#[repr(i32)]
enum Priority {
    Interactive = 0,
    Background = 1,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Enumeration)]
#[repr(i32)]
enum Order {
    Look = 0,
    Begin = 1,
    Drop = 2,
}

// ---- to the wire -------------------------------------------------------------------------------------------------

impl From<&typed::Message> for Envelope {
    fn from(message: &typed::Message) -> Self {
        let kind = match message {
            typed::Message::Hello(m) => Kind::Hello(Hello {
                agent: shortened(&m.agent, MAX_AGENT),
                version: m.version,
                role: role_to_wire(m.role) as i32,
                holdings: Some(holdings_to_wire(
                    m.model.as_ref(),
                    &m.computes,
                    &m.stores,
                    m.runs.as_ref(),
                )),
                finishes: m.finishes,
            }),
            typed::Message::HoldingsChanged(m) => Kind::HoldingsChanged(holdings_to_wire(
                m.model.as_ref(),
                &m.computes,
                &m.stores,
                m.runs.as_ref(),
            )),
            typed::Message::StageRequest(m) => Kind::StageRequest(StageRequest {
                id: m.id.0,
                session: m.session.0,
                body: m.body.clone(),
            }),
            typed::Message::StageResponse(m) => Kind::StageResponse(StageResponse {
                id: m.id.0,
                body: m.result.clone().unwrap_or_default(),
                failure: m.result.as_ref().err().map(failure_to_wire),
            }),
            typed::Message::ComputeRequest(m) => Kind::ComputeRequest(ComputeRequest {
                id: m.id.0,
                fragment: Bytes::copy_from_slice(&m.fragment),
                body: m.body.clone(),
                priority: match m.priority {
                    typed::Priority::Interactive => Priority::Interactive,
                    typed::Priority::Background => Priority::Background,
                } as i32,
                patience_ms: m
                    .patience
                    .map(|time| u32::try_from(time.as_millis()).unwrap_or(u32::MAX)),
            }),
            typed::Message::ComputeResponse(m) => Kind::ComputeResponse(ComputeResponse {
                id: m.id.0,
                body: m.result.clone().unwrap_or_default(),
                failure: m.result.as_ref().err().map(failure_to_wire),
            }),
            typed::Message::JobRequest(m) => Kind::JobRequest(JobRequest {
                id: m.id.0,
                job: Bytes::copy_from_slice(&m.job.0),
                order: match m.order {
                    typed::JobOrder::Begin(_) => Order::Begin,
                    typed::JobOrder::Look => Order::Look,
                    typed::JobOrder::Drop => Order::Drop,
                } as i32,
                body: match &m.order {
                    typed::JobOrder::Begin(body) => body.clone(),
                    typed::JobOrder::Look | typed::JobOrder::Drop => Bytes::new(),
                },
            }),
            typed::Message::JobResponse(m) => Kind::JobResponse(JobResponse {
                id: m.id.0,
                body: m.result.clone().unwrap_or_default(),
                failure: m.result.as_ref().err().map(failure_to_wire),
            }),
            typed::Message::Queued(m) => Kind::Queued(Queued {
                id: m.id.0,
                before: m.before,
                wait_ms: u32::try_from(m.wait.as_millis()).unwrap_or(u32::MAX),
            }),
            typed::Message::Cancel(m) => Kind::Cancel(Cancel { id: m.id.0 }),
            typed::Message::ContentRequest(m) => Kind::ContentRequest(ContentRequest {
                id: m.id.0,
                content: Bytes::copy_from_slice(&m.content),
                block: m.block,
            }),
            typed::Message::ContentResponse(m) => Kind::ContentResponse(match &m.result {
                Ok(block) => ContentResponse {
                    id: m.id.0,
                    total: block.total,
                    bytes: block.bytes.clone(),
                    proof: block.proof.concat().into(),
                    failure: None,
                },
                Err(failure) => ContentResponse {
                    id: m.id.0,
                    failure: Some(failure_to_wire(failure)),
                    ..Default::default()
                },
            }),
        };
        Self { kind: Some(kind) }
    }
}

fn holdings_to_wire(
    model: Option<&typed::Digest>,
    computes: &Bitmap,
    stores: &Bitmap,
    runs: Option<&typed::Runs>,
) -> Holdings {
    Holdings {
        runs: runs.map(|typed::Runs { layers, time }| Runs {
            first: layers.start,
            end: layers.end,
            time_us: u32::try_from(time.as_micros()).unwrap_or(u32::MAX),
        }),
        model: model.map(|digest| Bytes::copy_from_slice(digest)),
        fragments: computes.len().max(stores.len()),
        computes: computes.to_bytes().into(),
        stores: stores.to_bytes().into(),
    }
}

fn failure_to_wire(failure: &typed::Failure) -> Failure {
    let code = match failure.code {
        typed::ErrorCode::NotHeld => Code::NotHeld,
        typed::ErrorCode::Busy => Code::Busy,
        typed::ErrorCode::Invalid => Code::Invalid,
        typed::ErrorCode::Failed => Code::Failed,
        typed::ErrorCode::Cancelled => Code::Cancelled,
        typed::ErrorCode::Expired => Code::Expired,
    };
    Failure {
        code: code as i32,
        message: shortened(&failure.message, MAX_FAILURE),
    }
}

fn role_to_wire(role: typed::Role) -> Role {
    match role {
        typed::Role::Participant => Role::Participant,
        typed::Role::Client => Role::Client,
        typed::Role::Worker => Role::Worker,
        typed::Role::Bootstrap => Role::Bootstrap,
    }
}

fn shortened(text: &str, max: usize) -> String {
    text[..text.floor_char_boundary(max)].to_owned()
}

// ---- from the wire -----------------------------------------------------------------------------------------------

impl TryFrom<Envelope> for typed::Message {
    type Error = Error;

    fn try_from(envelope: Envelope) -> Result<Self, Error> {
        Ok(
            match envelope.kind.ok_or(Error::Impossible("of no known kind"))? {
                Kind::Hello(m) => Self::Hello(hello(m)?),
                Kind::HoldingsChanged(m) => Self::HoldingsChanged(holdings(m)?),
                Kind::ComputeRequest(m) => Self::ComputeRequest(typed::ComputeRequest {
                    id: RequestId(m.id),
                    fragment: digest(&m.fragment)?,
                    body: m.body,
                    priority: match Priority::try_from(m.priority) {
                        Ok(Priority::Interactive) => typed::Priority::Interactive,
                        // What the future adds is not more urgent than a person who waits.
                        Err(_) | Ok(Priority::Background) => typed::Priority::Background,
                    },
                    patience: m.patience_ms.map(|time| Duration::from_millis(time.into())),
                }),
                Kind::ComputeResponse(m) => Self::ComputeResponse(typed::ComputeResponse {
                    id: RequestId(m.id),
                    result: match m.failure {
                        None => Ok(m.body),
                        Some(reason) => Err(failure(reason)?),
                    },
                }),
                Kind::StageRequest(m) => Self::StageRequest(typed::StageRequest {
                    id: RequestId(m.id),
                    session: typed::SessionId(m.session),
                    body: m.body,
                }),
                Kind::StageResponse(m) => Self::StageResponse(typed::StageResponse {
                    id: RequestId(m.id),
                    result: match m.failure {
                        None => Ok(m.body),
                        Some(reason) => Err(failure(reason)?),
                    },
                }),
                Kind::JobRequest(m) => Self::JobRequest(typed::JobRequest {
                    id: RequestId(m.id),
                    job: job(&m.job)?,
                    order: match Order::try_from(m.order) {
                        Ok(Order::Begin) => typed::JobOrder::Begin(m.body),
                        Ok(Order::Look) => typed::JobOrder::Look,
                        Ok(Order::Drop) => typed::JobOrder::Drop,
                        Err(_) => return Err(Error::Impossible("an unknown order")),
                    },
                }),
                Kind::JobResponse(m) => Self::JobResponse(typed::JobResponse {
                    id: RequestId(m.id),
                    result: match m.failure {
                        None => Ok(m.body),
                        Some(reason) => Err(failure(reason)?),
                    },
                }),
                Kind::Queued(m) => Self::Queued(typed::Queued {
                    id: RequestId(m.id),
                    before: m.before,
                    wait: Duration::from_millis(m.wait_ms.into()),
                }),
                Kind::Cancel(m) => Self::Cancel(typed::Cancel {
                    id: RequestId(m.id),
                }),
                Kind::ContentRequest(m) => Self::ContentRequest(typed::ContentRequest {
                    id: RequestId(m.id),
                    content: digest(&m.content)?,
                    block: m.block,
                }),
                Kind::ContentResponse(m) => Self::ContentResponse(typed::ContentResponse {
                    id: RequestId(m.id),
                    result: match m.failure {
                        None => Ok(block(m.total, m.bytes, &m.proof)?),
                        Some(reason) => Err(failure(reason)?),
                    },
                }),
            },
        )
    }
}

fn hello(m: Hello) -> Result<typed::Hello, Error> {
    if m.agent.len() > MAX_AGENT {
        return Err(Error::Impossible("the name of the program is too long"));
    }
    let held = holdings(m.holdings.unwrap_or_default())?;
    Ok(typed::Hello {
        agent: m.agent,
        version: m.version,
        role: match Role::try_from(m.role) {
            // A role of the future is one that this version has no use for.
            Err(_) | Ok(Role::Participant) => typed::Role::Participant,
            Ok(Role::Client) => typed::Role::Client,
            Ok(Role::Worker) => typed::Role::Worker,
            Ok(Role::Bootstrap) => typed::Role::Bootstrap,
        },
        model: held.model,
        computes: held.computes,
        stores: held.stores,
        runs: held.runs,
        finishes: m.finishes,
    })
}

fn holdings(m: Holdings) -> Result<typed::HoldingsChanged, Error> {
    Ok(typed::HoldingsChanged {
        model: m.model.as_ref().map(digest).transpose()?,
        computes: bitmap(m.fragments, &m.computes)?,
        stores: bitmap(m.fragments, &m.stores)?,
        runs: m.runs.map(runs).transpose()?,
    })
}

fn runs(m: Runs) -> Result<typed::Runs, Error> {
    let layers = m.first..m.end;
    if layers.is_empty() {
        return Err(Error::Impossible("an empty range of layers"));
    }
    Ok(typed::Runs {
        layers,
        time: Duration::from_micros(m.time_us.into()),
    })
}

/// An absent bitmap says the same as one of zeros.
fn bitmap(len: u32, bytes: &Bytes) -> Result<Bitmap, Error> {
    Bitmap::from_bytes(len, bytes).ok_or(Error::Impossible("a bitmap of the wrong length"))
}

pub(crate) fn digest(bytes: &Bytes) -> Result<typed::Digest, Error> {
    bytes[..]
        .try_into()
        .map_err(|_| Error::Impossible("a digest that is not 32 bytes long"))
}

fn job(bytes: &Bytes) -> Result<typed::JobId, Error> {
    let id = bytes[..].try_into();
    id.map(typed::JobId)
        .map_err(|_| Error::Impossible("a name of a job that is not 16 bytes long"))
}

fn failure(m: Failure) -> Result<typed::Failure, Error> {
    if m.message.len() > MAX_FAILURE {
        return Err(Error::Impossible("the reason of a failure is too long"));
    }
    let code = match Code::try_from(m.code) {
        // A reason of the future is a failure all the same.
        Err(_) | Ok(Code::Failed) => typed::ErrorCode::Failed,
        Ok(Code::NotHeld) => typed::ErrorCode::NotHeld,
        Ok(Code::Busy) => typed::ErrorCode::Busy,
        Ok(Code::Invalid) => typed::ErrorCode::Invalid,
        Ok(Code::Cancelled) => typed::ErrorCode::Cancelled,
        Ok(Code::Expired) => typed::ErrorCode::Expired,
    };
    Ok(typed::Failure {
        code,
        message: m.message,
    })
}

fn block(total: u64, bytes: Bytes, proof: &[u8]) -> Result<typed::ContentBlock, Error> {
    let longest = total.min(BLOCK_BYTES.into());
    if bytes.is_empty() || bytes.len() as u64 > longest {
        return Err(Error::Impossible("a block of content of the wrong length"));
    }
    let (proof, rest) = proof.as_chunks();
    if !rest.is_empty() || proof.len() > MAX_PROOF {
        return Err(Error::Impossible("a proof of the wrong length"));
    }
    Ok(typed::ContentBlock {
        total,
        bytes,
        proof: proof.to_vec(),
    })
}
