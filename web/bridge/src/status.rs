//! The view-model: plain values, made by the engine, shown by the page.

use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

/// Everything the user interface shows about the network and this tab's part in it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// How far joining has got.
    pub stage: Stage,
    /// Connection to the network.
    pub link: Link,
    /// The model, once its manifest is here.
    pub model: Option<Model>,
    /// How many fragments this tab means to lend.
    pub lend: u32,
    /// What is being downloaded.
    pub downloads: Vec<Download>,
    /// The fragments this tab lends, in the manifest's order.
    pub held: Vec<Held>,
    /// The peers in sight.
    pub peers: Vec<Peer>,
    /// For each fragment of the manifest: how many nodes hold it, at most 255; this tab counts.
    pub coverage: ByteBuf,
    /// Nodes that take part in the model besides this tab, in sight or heard of.
    #[serde(default)]
    pub members: u32,
    /// Fragments that have fewer replicas than are wanted.
    #[serde(default)]
    pub lacking: u32,
    /// Requests of others this tab answered.
    pub answered: u64,
    /// Requests of this tab that others answered.
    pub asked: u64,
    /// Fragments in this browser's storage, whoever lends them.
    pub stored: u32,
    /// Fragments the answer under way waits for because nobody in sight holds them.
    pub waiting: Vec<Missing>,
    /// Devices in sight that finish answers for those who close their page.
    #[serde(default)]
    pub finishers: u32,
    /// What keeps this tab from working as it should.
    pub problem: Option<Problem>,
    /// This device's graphics processor, if one was found.
    pub graphics: Option<Graphics>,
}

/// A graphics processor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Graphics {
    /// What it calls itself; empty where the browser does not say.
    pub name: String,
    /// Whether it computes.
    pub state: GraphicsState,
}

/// Whether a graphics processor computes, or why not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum GraphicsState {
    /// The user does not want it.
    Off,
    /// Nobody has asked for anything it may answer.
    Idle,
    /// It is being compared with the CPU.
    Compared,
    /// It computes what it is quicker at.
    InUse,
    /// The CPU is quicker at everything.
    Slower,
    /// It has failed, and is not asked again.
    Failed(String),
}

/// How far joining has got, in order.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Stage {
    /// Nobody reached yet.
    #[default]
    Connecting,
    /// Fetching the list of fragments.
    Manifest,
    /// Fetching the small parts everyone who asks needs.
    Small,
    /// Fetching the fragments to lend. The chat already works.
    Lent,
    /// Everything is here.
    Ready,
}

/// Connection to the network.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Link {
    /// The browser says there is no network.
    Offline,
    /// Trying to reach somebody.
    #[default]
    Connecting,
    /// At least one peer is connected.
    Connected,
}

/// What the manifest says about the model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Model {
    /// Its name, or else its architecture.
    pub name: String,
    /// Number of layers.
    pub layers: u32,
    /// Size of all fragments.
    pub bytes: u64,
    /// Size of the largest fragment.
    pub fragment_bytes: u64,
}

/// A fragment on its way.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Download {
    /// Its place in the manifest; `None` is the manifest itself.
    pub index: Option<u32>,
    /// Bytes that are here.
    pub have: u64,
    /// Bytes in all, when known.
    pub total: Option<u64>,
}

/// A fragment this tab lends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// Its place in the manifest.
    pub index: u32,
    /// Its size.
    pub bytes: u64,
    /// What it is part of.
    pub place: Place,
}

/// What a fragment is part of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Place {
    /// Turns tokens into vectors.
    Embedding,
    /// Turns vectors into tokens.
    Output,
    /// Norms and routers.
    Small,
    /// Attention of a layer.
    Attention(u32),
    /// Feed-forward of a layer.
    FeedForward(u32),
    /// An expert of a layer.
    Expert(u32, u32),
    /// Something this version does not compute with.
    Other,
}

/// Where a fragment is in the picture of the model, from its beginning to its end.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Row {
    /// Turns tokens into vectors.
    Embedding,
    /// A layer.
    Layer(u32),
    /// Turns vectors into tokens.
    Output,
    /// What belongs to all of them.
    #[default]
    Other,
}

impl Row {
    const EMBEDDING: u16 = u16::MAX;
    const OUTPUT: u16 = u16::MAX - 1;
    const OTHER: u16 = u16::MAX - 2;

    /// Rows as they travel: two bytes each.
    pub fn pack(rows: impl Iterator<Item = Self>) -> ByteBuf {
        let number = |row| match row {
            Self::Embedding => Self::EMBEDDING,
            Self::Layer(layer) => (layer as u16).min(Self::OTHER - 1),
            Self::Output => Self::OUTPUT,
            Self::Other => Self::OTHER,
        };
        let bytes: Vec<u8> = rows.flat_map(|row| number(row).to_le_bytes()).collect();
        ByteBuf::from(bytes)
    }

    /// Rows that [`pack`](Self::pack) has packed.
    pub fn unpack(bytes: &[u8]) -> Vec<Self> {
        let (numbers, _) = bytes.as_chunks::<2>();
        let row = |bytes: &[u8; 2]| match u16::from_le_bytes(*bytes) {
            Self::EMBEDDING => Self::Embedding,
            Self::OUTPUT => Self::Output,
            Self::OTHER => Self::Other,
            layer => Self::Layer(layer.into()),
        };
        numbers.iter().map(row).collect()
    }
}

impl From<Place> for Row {
    fn from(place: Place) -> Self {
        match place {
            Place::Embedding => Self::Embedding,
            Place::Output => Self::Output,
            Place::Attention(layer) | Place::FeedForward(layer) | Place::Expert(layer, _) => {
                Self::Layer(layer)
            }
            Place::Small | Place::Other => Self::Other,
        }
    }
}

/// A peer in sight.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Peer {
    /// Its id, as text.
    pub id: String,
    /// Through a relay, not directly.
    pub relayed: bool,
    /// What program it is.
    pub agent: String,
    /// Fragments it computes on.
    pub computes: u32,
    /// Fragments it can be fetched from.
    pub stores: u32,
    /// Requests of mine it answered.
    pub answered: u64,
    /// Requests of it I answered.
    pub asked: u64,
    /// Measured round trip, in milliseconds.
    pub round_trip: Option<u32>,
    /// What carries the connection, and what has gone through it; the page knows, not the engine.
    #[serde(default)]
    pub connection: Option<Connection>,
}

/// How a peer is connected.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Connection {
    /// What carries it, as the field writes it: `WebRTC`.
    pub transport: String,
    /// Bytes of messages sent.
    pub sent: u64,
    /// Bytes of messages received.
    pub received: u64,
}

/// How an answer ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Ending {
    /// Why.
    pub reason: EndReason,
    /// Tokens of the answer.
    pub tokens: u32,
    /// Those of them that were said before the page was loaded anew.
    #[serde(default)]
    pub before: u32,
    /// Tokens of the conversation it answers.
    pub prompt_tokens: u32,
    /// Milliseconds from the question to the first token.
    pub first: f64,
    /// Milliseconds from the first token to the last.
    pub rest: f64,
    /// Nodes that computed for it, this tab among them.
    pub devices: u32,
    /// The tokens themselves.
    pub ids: Vec<u32>,
    /// Parts it was computed from, by whoever.
    #[serde(default)]
    pub parts: u64,
    /// Those of them that are approximate.
    #[serde(default)]
    pub approximate: u64,
    /// How often a token was to have an expert's work.
    #[serde(default)]
    pub experts: u64,
    /// How often it did without, because nobody had that expert any more.
    #[serde(default)]
    pub left_out: u64,
    /// Milliseconds that a token was predicted to take; 0 if nothing was.
    #[serde(default)]
    pub predicted: f64,
    /// Another device has finished it.
    #[serde(default)]
    pub elsewhere: bool,
    /// Who worked for it, this tab first, then those who were waited for longest.
    #[serde(default)]
    pub route: Vec<Hop>,
}

/// What somebody did for an answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Hop {
    /// Its id, as text; nothing for this tab.
    pub peer: Option<String>,
    /// The layers that it ran as a whole, from the first to before the last.
    pub layers: Option<(u32, u32)>,
    /// Requests it answered.
    pub requests: u64,
    /// How long it was waited for.
    pub milliseconds: f64,
}

impl Ending {
    /// An answer that never began.
    pub fn failed(problem: Problem) -> Self {
        Self {
            reason: EndReason::Failed(problem),
            tokens: 0,
            before: 0,
            prompt_tokens: 0,
            first: 0.0,
            rest: 0.0,
            devices: 0,
            ids: Vec::new(),
            parts: 0,
            approximate: 0,
            experts: 0,
            left_out: 0,
            predicted: 0.0,
            elsewhere: false,
            route: Vec::new(),
        }
    }
}

/// Why an answer ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum EndReason {
    /// The model said it was done.
    Complete,
    /// The longest answer allowed, or the model's whole context.
    Length,
    /// The user stopped it.
    Stopped,
    /// It could not go on.
    Failed(Problem),
}

/// What can go wrong, in terms the user interface can explain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Problem {
    /// Nobody in sight holds these fragments.
    Missing(Vec<Missing>),
    /// The browser grants no more storage.
    Quota,
    /// IndexedDB does not work here (private window, disk full, blocked).
    Storage(String),
    /// The model asks for something this version does not know.
    Unsupported(String),
    /// The conversation is longer than the model's context.
    TooLong {
        /// Tokens of the conversation.
        tokens: u32,
        /// Tokens the model can look back on.
        context: u32,
    },
    /// The model is not ready for questions yet.
    NotReady,
    /// Everything else, as the code says it.
    Other(String),
}

/// A fragment nobody holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Missing {
    /// Its place in the manifest.
    pub index: u32,
    /// What it is part of.
    pub place: Place,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_arrive_as_they_were_sent() {
        let rows = [
            Row::Embedding,
            Row::Layer(0),
            Row::Layer(60),
            Row::Output,
            Row::Other,
        ];
        assert_eq!(Row::unpack(&Row::pack(rows.into_iter())), rows);
        assert_eq!(Row::from(Place::Expert(3, 9)), Row::Layer(3));
    }
}
