//! Headers of the messages. Bytes in bulk are never in a header: they are the message's body.

use std::{collections::BTreeSet, net::IpAddr};

use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use crate::status::{self, Ending, Status};

/// A worker's sign of life. What is sent to a worker before it is lost.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Ready;

/// To a compute worker: answer whoever is at the other end of the port that comes along.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Serve;

/// Who said what in a conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Speaker {
    /// Whoever set the conversation up.
    System,
    /// The person at the keyboard.
    User,
    /// The model.
    Assistant,
}

/// One contribution to a conversation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Turn {
    /// Who says it.
    pub speaker: Speaker,
    /// The text.
    pub text: String,
}

/// How the next token is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Drawing {
    /// 0 takes the likeliest token every time.
    pub temperature: f32,
    /// The longest answer, in tokens.
    pub max_tokens: u32,
    /// Same seed, same answer.
    pub seed: u64,
    /// Only the fewest likeliest tokens that reach this probability together are considered; 1 for all.
    pub top_p: f32,
    /// Only so many of the likeliest are considered; 0 for all.
    pub top_k: u32,
    /// Only tokens at least this fraction as likely as the likeliest are considered.
    pub min_p: f32,
    /// Tokens said lately are this many times less likely; 1 for no penalty.
    pub repetition_penalty: f32,
}

impl Default for Drawing {
    fn default() -> Self {
        Self {
            temperature: 0.0,
            max_tokens: 256,
            seed: 0,
            top_p: 1.0,
            top_k: 0,
            min_p: 0.0,
            repetition_penalty: 1.0,
        }
    }
}

/// When the graphics processor computes, for those who allow approximate answers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum UseGraphics {
    /// Never.
    #[default]
    Never,
    /// Where it has been quicker than the CPU.
    WhereQuicker,
    /// Wherever it can. For developers: no button leads here.
    Always,
}

/// What the engine needs to join a swarm.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Join {
    /// This tab's peer id, as bytes.
    pub peer: ByteBuf,
    /// Id of the model, as text.
    pub model: String,
    /// How many fragments to lend.
    pub lend: u32,
    /// How many bytes of fragments to give others a second at most.
    pub upload: Option<u32>,
    /// When to use the graphics processor.
    pub graphics: UseGraphics,
}

/// From the page to the engine.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum ToEngine {
    /// There is one more compute worker, at the other end of the port that comes along.
    Worker,
    /// Have at most so many compute workers work from now on.
    Workers(u32),
    /// Join the swarm. Comes once.
    Join(Join),
    /// Lend another number of fragments from now on.
    Lend(u32),
    /// Give others at most so many bytes of fragments a second from now on.
    Upload(Option<u32>),
    /// When to use the graphics processor from now on.
    Graphics(UseGraphics),
    /// Answer the last turn of this conversation. One answer at a time.
    Ask {
        /// Comes back with every piece of the answer.
        answer: u32,
        /// The whole conversation; the last turn is the question.
        turns: Vec<Turn>,
        /// The tokens of the answer that were said before the page was loaded anew: it goes on behind them.
        said: Vec<u32>,
        /// How to draw tokens.
        drawing: Drawing,
        /// Whether others may compute on graphics processors, whose answers are not exact.
        approximate: bool,
    },
    /// Have another device finish the answer being made, as a job of this name. It can read the conversation.
    GiveAway {
        /// From the question.
        answer: u32,
        /// A secret: whoever knows it may have the answer.
        job: [u8; 16],
    },
    /// Look how far an answer is that another device finishes, until it is over.
    LookFor {
        /// Comes back with what is said.
        answer: u32,
        /// From [`GiveAway`](Self::GiveAway).
        job: [u8; 16],
        /// The tokens that were said before.
        said: Vec<u32>,
    },
    /// End the answer being made, wherever that is.
    Stop,
    /// The network says something. A message's bytes are the body.
    Network(FromNetwork),
    /// The browser went online or offline.
    Online(bool),
    /// Delete every stored fragment that no tab lends.
    Tidy,
}

/// What the network reports, relayed by the page.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum FromNetwork {
    /// A peer is connected, or reached another way from now on.
    Connected {
        /// Its id.
        peer: ByteBuf,
        /// Its id as text.
        name: String,
        /// Through a relay, not directly.
        relayed: bool,
    },
    /// A peer is gone.
    Disconnected {
        /// Its id.
        peer: ByteBuf,
    },
    /// A peer sent a message (the body).
    Message {
        /// Its id.
        peer: ByteBuf,
        /// On which of the protocol's channels.
        channel: Channel,
    },
    /// A node, connected or not, has said what it holds (the body).
    Heartbeat {
        /// Its id.
        peer: ByteBuf,
    },
    /// Others see this node by this address.
    Observed {
        /// The address.
        ip: IpAddr,
        /// They can dial it there.
        dialled: bool,
    },
    /// The way to a peer and back was measured.
    RoundTrip {
        /// Its id.
        peer: ByteBuf,
        /// How long it took.
        milliseconds: f64,
    },
    /// A peer broke the protocol.
    Violation {
        /// Its id.
        peer: ByteBuf,
        /// How.
        reason: String,
    },
}

/// The protocol's channels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Channel {
    /// Requests and answers.
    Compute,
    /// Fragments.
    Content,
}

/// What the engine wants of the network.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum ToNetwork {
    /// There is room for more of what the network says.
    Taken {
        /// The [weight](crate::flow::weight) of what was dealt with since the last time.
        weight: u32,
    },
    /// Send a message (the body).
    Send {
        /// To whom.
        peer: ByteBuf,
        /// On which of the protocol's channels.
        channel: Channel,
    },
    /// Tell every new peer this first (the body).
    Introduce,
    /// Hang up.
    Disconnect {
        /// On whom.
        peer: ByteBuf,
    },
    /// Hang up and never speak again.
    Ban {
        /// With whom.
        peer: ByteBuf,
        /// Why, for the console.
        reason: String,
    },
    /// Look for those who provide this, and connect.
    Find {
        /// Digest of a model or fragment.
        key: ByteBuf,
    },
    /// Spread the heartbeats of these shards of a model, and no others.
    Watch {
        /// The model's digest.
        model: ByteBuf,
        /// The shards.
        shards: BTreeSet<u32>,
    },
    /// Spread this heartbeat (the body).
    Publish,
    /// Make known that this node provides it.
    Announce {
        /// Digest of a model or fragment.
        key: ByteBuf,
    },
}

/// From the engine to the page.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum FromEngine {
    /// Something for the network.
    Network(ToNetwork),
    /// Everything the user interface shows, whenever it changed, a few times a second at most.
    Status(Box<Status>),
    /// Where in the picture of the model its fragments are, once that is known: [`Row`](crate::status::Row)s, packed.
    Rows(ByteBuf),
    /// The question is being read.
    Reading {
        /// From the question.
        answer: u32,
        /// Tokens read.
        read: u32,
        /// Tokens in all.
        total: u32,
    },
    /// Others' requests are before those of the answer.
    Queued {
        /// From the question.
        answer: u32,
        /// How many.
        before: u32,
        /// How long they take, about, in seconds.
        seconds: f64,
    },
    /// The answer grows.
    Text {
        /// From the question.
        answer: u32,
        /// One more token.
        token: u32,
        /// The text that is complete with it; often none.
        piece: String,
        /// It belongs to what the model thinks before it answers.
        thought: bool,
    },
    /// Another device finishes the answer, and has come so far.
    Elsewhere {
        /// From the question.
        answer: u32,
        /// What it has said, without what was said before.
        tokens: Vec<u32>,
        /// The text of that.
        text: String,
        /// What the model thought before it.
        thoughts: String,
    },
    /// No other device finishes the answer.
    NotElsewhere {
        /// From the question.
        answer: u32,
    },
    /// The answer is over.
    End {
        /// From the question.
        answer: u32,
        /// How and why.
        ending: Ending,
    },
}

/// From the engine to a compute worker.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum ToCompute {
    /// Compute on a fragment; the request is the body.
    Compute {
        /// Comes back with the answer.
        ticket: u64,
        /// The fragment's digest.
        fragment: ByteBuf,
    },
    /// This fragment will not be asked for any more: free its memory.
    Release {
        /// The fragment's digest.
        fragment: ByteBuf,
    },
    /// When to use the graphics processor. Only one worker is ever told anything but never.
    Graphics(UseGraphics),
}

/// From a compute worker to the engine.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum FromCompute {
    /// The result is the body.
    Computed {
        /// From the request.
        ticket: u64,
    },
    /// The request could not be answered.
    Failed {
        /// From the request.
        ticket: u64,
        /// What is the matter.
        fault: Fault,
        /// The same in words, for the log and for the peer that asked.
        reason: String,
    },
    /// There is a graphics processor, and how it does.
    Graphics(status::Graphics),
}

/// Why a compute worker has no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Fault {
    /// The stored fragment is gone, or no longer what its name says.
    Lost,
    /// The request makes no sense for this fragment.
    Request,
    /// The browser's storage does not work.
    Storage,
}
