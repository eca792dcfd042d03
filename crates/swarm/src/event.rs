//! What goes into a node and what comes out of it.

use crate::{
    ContentId, DownloadId, FragmentIndex, JobFailure, PeerId, Queue, RequestId, Ticket, Worker,
};
use bytes::Bytes;
use protocol::{ContentBlock, ErrorCode, Failure, Heartbeat, Hello, JobId, Message, SessionId};
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

/// What happened in the world, told by the shell with [`Node::handle_event`](crate::Node::handle_event).
#[derive(Debug, Clone)]
pub enum Event {
    /// A connection to a peer can carry messages. Telling it again for a known peer updates `relayed`.
    Connected {
        /// Who.
        peer: PeerId,
        /// Whether a third node passes the bytes on.
        relayed: bool,
    },
    /// The last connection to a peer is gone.
    Disconnected {
        /// Who.
        peer: PeerId,
    },
    /// A peer sent a well-formed message. The first is its [`Message::Hello`].
    Message {
        /// Who.
        peer: PeerId,
        /// What.
        message: Message,
    },
    /// A node that need not be connected has published what it holds; that it was this node is certain.
    Heartbeat {
        /// Who.
        peer: PeerId,
        /// What.
        heartbeat: Heartbeat,
    },
    /// The world sees this node by this address.
    Observed {
        /// The address.
        ip: IpAddr,
        /// Others can dial it there.
        dialled: bool,
    },
    /// The network measured the way to a peer and back.
    RoundTrip {
        /// To whom.
        peer: PeerId,
        /// How long it took.
        time: Duration,
    },
    /// A peer broke the rules of the wire; it is banned.
    Violation {
        /// Who.
        peer: PeerId,
        /// How, in words for a log.
        reason: String,
    },
    /// [`Action::Compute`] is done.
    Computed {
        /// Which one.
        ticket: Ticket,
        /// The encoded answer, or why there is none.
        result: Result<Bytes, ComputeError>,
    },
    /// [`Action::RunStage`] is done.
    StageRun {
        /// Which one.
        ticket: Ticket,
        /// The encoded answer, or why there is none.
        result: Result<Bytes, ComputeError>,
    },
    /// How far [`Action::RunJob`] is.
    JobTold {
        /// Which one.
        job: JobId,
        /// Encoded, as it is given to whoever looks.
        progress: Bytes,
        /// Whether that is all, also because it was [stopped](Action::StopJob).
        over: bool,
    },
    /// [`Action::ReadContent`] is done.
    ContentRead {
        /// Which one.
        ticket: Ticket,
        /// The block asked for, made by [`Content::block`](crate::Content::block); none when it is not stored here, or
        /// has no such block.
        result: Option<ContentBlock>,
    },
    /// The content of [`Action::Complete`] was looked at.
    Verified {
        /// Which download.
        download: DownloadId,
        /// Whether it is what its name says. If not, the download starts afresh: the beginning that the shell had was
        /// wrong, or was damaged where it is kept.
        good: bool,
    },
    /// [`Action::FetchWeb`] has ended.
    WebFetched {
        /// Which download.
        download: DownloadId,
        /// The whole content is there, and is what its name says: the download is done. If not, how many bytes the
        /// shell has now: none, if what came does not go with what was here or is not what its name says. Another server
        /// is tried after a while, unless somebody in the network has it by then.
        result: Result<(), u64>,
    },
}

/// Why a computation has no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ComputeError {
    /// The fragment is not here (any more) or is damaged.
    NotHeld,
    /// The request makes no sense for this fragment.
    BadRequest(String),
    /// Something else, in words for a log.
    Internal(String),
}

impl From<ComputeError> for Failure {
    fn from(error: ComputeError) -> Self {
        let (code, message) = match error {
            ComputeError::NotHeld => (ErrorCode::NotHeld, String::new()),
            ComputeError::BadRequest(message) => (ErrorCode::Invalid, message),
            ComputeError::Internal(message) => (ErrorCode::Failed, message),
        };
        Self { code, message }
    }
}

/// What the shell has to do, taken with [`Node::poll_action`](crate::Node::poll_action).
#[derive(Debug, Clone)]
pub enum Action {
    /// Send a message. Messages to one peer must arrive in this order; when that cannot be, disconnect the peer.
    Send {
        /// To whom.
        peer: PeerId,
        /// What.
        message: Message,
    },
    /// From now on this is what every new peer is told first. Those connected already are told the change by an
    /// [`Action::Send`] that follows.
    Introduce {
        /// Who we are and what we hold.
        hello: Hello,
    },
    /// Close the connections to a peer.
    Disconnect {
        /// Whose.
        peer: PeerId,
    },
    /// Close the connections to a peer and accept no new ones.
    Ban {
        /// Whose.
        peer: PeerId,
        /// Why, in words for a log.
        reason: String,
    },
    /// Ask the network who provides `key` (a model or a fragment) and connect to them.
    FindPeers {
        /// The content looked for.
        key: ContentId,
    },
    /// Tell the network that we provide `key` (a model or a fragment).
    Announce {
        /// The content provided.
        key: ContentId,
    },
    /// Tell the network no longer that we provide `key`.
    Withdraw {
        /// The content provided.
        key: ContentId,
    },
    /// From now on take part in spreading the heartbeats of these shards of a model, and of no others.
    Watch {
        /// The model.
        model: ContentId,
        /// Its shards.
        shards: BTreeSet<u32>,
    },
    /// Spread this, signed, among all who watch its shard.
    Publish {
        /// What this node says.
        heartbeat: Heartbeat,
    },
    /// A fragment has too few replicas, and it is for this node to fetch it and to compute on it: end it with
    /// [`Node::add_holding`](crate::Node::add_holding) or [`Node::not_taken`](crate::Node::not_taken).
    TakeUp {
        /// Which.
        fragment: FragmentIndex,
    },
    /// A fragment is not to be held any more, because what was taken up takes its place and enough others have it. It is
    /// given to nobody and computed on no more already.
    LetGo {
        /// Which.
        fragment: FragmentIndex,
    },
    /// Compute on a fragment held here, for ourselves or for a peer, and tell [`Event::Computed`].
    Compute {
        /// To be named when done.
        ticket: Ticket,
        /// On which fragment.
        fragment: FragmentIndex,
        /// The encoded request.
        body: Bytes,
    },
    /// This node should run layers for others: get what is small of them, and say so with
    /// [`Node::set_able`](crate::Node::set_able).
    PrepareStages,
    /// Take a peer's tokens through layers that are run here, and tell [`Event::StageRun`]. If there are some of the same
    /// session on their way, nobody waits for those any more.
    RunStage {
        /// To be named when done.
        ticket: Ticket,
        /// Whose tokens.
        peer: PeerId,
        /// Of which of the peer's sessions.
        session: SessionId,
        /// The encoded request.
        body: Bytes,
    },
    /// Nobody waits for the tokens of this session any more that are on their way here.
    StopStage {
        /// Whose session.
        peer: PeerId,
        /// Which of the peer's sessions.
        session: SessionId,
    },
    /// Own tokens came through layers that a peer runs. If the answer makes no sense, tell
    /// [`Node::reject_stage`](crate::Node::reject_stage).
    StageAnswer {
        /// Which ones.
        request: RequestId,
        /// Who ran them.
        peer: PeerId,
        /// The encoded answer, which comes from a stranger.
        body: Bytes,
    },
    /// Own tokens will not come through layers that a peer was to run: ask others, as [`Node::route`](crate::Node::route)
    /// says.
    StageLost {
        /// Which ones.
        request: RequestId,
        /// Who was to run them.
        peer: PeerId,
        /// Why, in words for a log.
        reason: String,
    },
    /// Finish an answer for somebody else, and tell [`Event::JobTold`] as it grows and when it is over. The order comes from
    /// a stranger.
    RunJob {
        /// To be named when something is told of it.
        job: JobId,
        /// What to answer, encoded.
        body: Bytes,
    },
    /// Nobody wants this answer any more. That it is over is told all the same.
    StopJob {
        /// Which one.
        job: JobId,
    },
    /// What came of an [order](crate::Node::order_job) about an own answer that is finished elsewhere.
    JobAnswer {
        /// Which order.
        request: RequestId,
        /// How far the answer is, encoded by a stranger, or why that is not known.
        result: Result<Bytes, JobFailure>,
    },
    /// An own request, for a fragment, for layers or about an answer that is finished elsewhere, waits behind others'. Its answer comes later.
    Queued {
        /// Which one.
        request: RequestId,
        /// Behind what.
        queue: Queue,
    },
    /// One of our own requests is answered. Judge the answer with [`Node::accept`](crate::Node::accept) or [`Node::reject`](crate::Node::reject).
    Answer {
        /// Which one.
        request: RequestId,
        /// Who answered.
        by: Worker,
        /// The encoded answer, which comes from a stranger.
        body: Bytes,
    },
    /// One of our own requests will not be answered.
    Failed {
        /// Which one.
        request: RequestId,
        /// Why.
        failure: crate::Failure,
    },
    /// Read stored content for a peer and tell [`Event::ContentRead`].
    ReadContent {
        /// To be named when done.
        ticket: Ticket,
        /// Which content.
        content: ContentId,
        /// Which block of it; the last one without a number.
        block: Option<u32>,
    },
    /// Append verified bytes to a download. They come in order and without gaps, beginning with the first block that
    /// the shell did not say it had whole.
    Write {
        /// Which download.
        download: DownloadId,
        /// Where they belong. What the shell has from there on is void; 0 again when the download starts afresh.
        offset: u64,
        /// The bytes.
        bytes: Bytes,
    },
    /// All bytes of a download are written: hash the whole, because only what came from peers was checked, and tell
    /// [`Event::Verified`].
    Complete {
        /// Which download.
        download: DownloadId,
    },
    /// Nobody in the network has a fragment: fetch what the shell does not have of it from a web server, check the whole,
    /// and tell [`Event::WebFetched`].
    FetchWeb {
        /// Which download.
        download: DownloadId,
        /// Of what.
        content: ContentId,
        /// From which server, of those that [`Node::set_web_seeds`](crate::Node::set_web_seeds) counted.
        seed: usize,
    },
}
