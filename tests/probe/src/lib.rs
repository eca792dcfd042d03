//! Two nodes measure what lies between them: one answers, the other asks and looks at the clock. The same natively and in
//! a browser.

use std::{collections::HashMap, time::Duration};

use bytes::Bytes;
use futures::StreamExt as _;
use network::{Event, Events, Handle, PeerId, SendError};
use protocol::{
    BLOCK_BYTES, ComputeRequest, ComputeResponse, ContentBlock, ContentRequest, ContentResponse,
    Digest, Message, Priority, RequestId,
};
use serde::{Deserialize, Serialize};
use web_time::Instant;

/// Bytes that go to and fro.
pub const MESSAGE: usize = 16 << 10;
/// Bytes of a fragment.
pub const FRAGMENT: usize = 10_000_000;
/// Round trips before measuring begins.
pub const WARM_UP: usize = 10;

/// So many round trips are measured in any case, unless fewer are wanted: the slowest of a few would be chance.
pub const LEAST: usize = 100;

/// How long to measure.
#[derive(Debug, Clone, Copy)]
pub struct Effort {
    /// Round trips.
    pub rounds: usize,
    /// After this time none is begun any more, when [`LEAST`] have been measured.
    pub within: Duration,
}

/// Round trips that are measured, after some that are not.
#[derive(Debug)]
pub struct Rounds {
    effort: Effort,
    cold: usize,
    start: Instant,
    times: Vec<Duration>,
}

impl Rounds {
    /// None yet.
    #[must_use]
    pub fn new(effort: Effort) -> Self {
        Self {
            effort,
            cold: WARM_UP,
            start: Instant::now(),
            times: Vec::new(),
        }
    }

    /// Another one begins, of which the end is to be [told](Self::ended); nothing when that is enough.
    pub fn begun(&mut self) -> Option<Instant> {
        let Effort { rounds, within } = self.effort;
        let now = Instant::now();
        let some = self.times.len();
        let enough = some >= rounds || some >= LEAST && now - self.start >= within;
        (self.cold > 0 || !enough).then_some(now)
    }

    /// The one that began then has ended.
    pub fn ended(&mut self, begun: Instant) {
        let now = Instant::now();
        if self.cold > 0 {
            self.cold -= 1;
            self.start = now;
        } else {
            self.times.push(now - begun);
        }
    }

    /// How long each took.
    #[must_use]
    pub fn times(self) -> Vec<Duration> {
        self.times
    }
}

/// What was measured.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Measured {
    /// Round trips, of [`MESSAGE`] bytes each way.
    pub rounds: Vec<Duration>,
    /// How long [`FRAGMENT`] bytes took.
    pub fragment: Duration,
}

/// The other side has gone, or this one.
#[derive(Debug, thiserror::Error)]
pub enum Lost {
    /// The node has ended.
    #[error("the node has ended")]
    Ended,
    /// The connection was lost.
    #[error("the connection was lost")]
    Disconnected,
    /// The other side cannot be reached.
    #[error("cannot connect: {0}")]
    Unreachable(String),
    /// Something could not be sent.
    #[error("cannot send: {0}")]
    Send(#[from] SendError),
}

/// Answers everything until the one who asked has gone. What else happens is for `heard`.
///
/// # Errors
/// If the node has ended.
pub async fn answer(
    handle: &Handle,
    events: &mut Events,
    mut heard: impl FnMut(Event),
) -> Result<(), Lost> {
    let block = Bytes::from(vec![7; BLOCK_BYTES as usize]);
    let mut asked_by: Option<PeerId> = None;
    loop {
        match events.next().await.ok_or(Lost::Ended)? {
            Event::Message { peer, message } => {
                let reply = match message {
                    Message::ComputeRequest(request) => Message::ComputeResponse(ComputeResponse {
                        id: request.id,
                        result: Ok(request.body),
                    }),
                    Message::ContentRequest(request) => Message::ContentResponse(ContentResponse {
                        id: request.id,
                        result: Ok(ContentBlock {
                            total: FRAGMENT as u64,
                            bytes: block.clone(),
                            proof: Vec::new(),
                        }),
                    }),
                    _ => continue,
                };
                asked_by = Some(peer);
                handle.send(peer, reply)?;
            }
            Event::Disconnected { peer, .. } if asked_by == Some(peer) => return Ok(()),
            event => heard(event),
        }
    }
}

/// What the next answer of a peer answers.
async fn answered(events: &mut Events, by: PeerId) -> Result<RequestId, Lost> {
    loop {
        match events.next().await.ok_or(Lost::Ended)? {
            Event::Message { peer, message } if peer == by => match message {
                Message::ComputeResponse(response) => return Ok(response.id),
                Message::ContentResponse(response) => return Ok(response.id),
                _ => {}
            },
            Event::Disconnected { peer, .. } if peer == by => return Err(Lost::Disconnected),
            _ => {}
        }
    }
}

/// Waits until that peer, or anybody, is connected directly and has said hello.
///
/// # Errors
/// If the node has ended.
pub async fn met(events: &mut Events, wanted: Option<PeerId>) -> Result<PeerId, Lost> {
    let (mut direct, mut greeted) = (None, None);
    loop {
        let is_wanted = |peer: &PeerId| wanted.is_none_or(|wanted| wanted == *peer);
        match events.next().await.ok_or(Lost::Ended)? {
            Event::Connected { peer, path } | Event::PathChanged { peer, path }
                if is_wanted(&peer) =>
            {
                direct = (!path.relayed).then_some(peer);
            }
            Event::Message {
                peer,
                message: Message::Hello(_),
            } if is_wanted(&peer) => greeted = Some(peer),
            Event::DialFailed { reason, .. } => return Err(Lost::Unreachable(reason)),
            _ => {}
        }
        if let (Some(peer), true) = (direct, direct == greeted) {
            return Ok(peer);
        }
    }
}

/// Asks that peer and says how long it took.
///
/// # Errors
/// If the other side goes, or this node ends.
pub async fn ask(
    handle: &Handle,
    events: &mut Events,
    peer: PeerId,
    effort: Effort,
) -> Result<Measured, Lost> {
    let body = Bytes::from(vec![0; MESSAGE]);
    let (mut rounds, mut id) = (Rounds::new(effort), 0);
    while let Some(begun) = rounds.begun() {
        let request = ComputeRequest {
            id: RequestId(id),
            fragment: Digest::default(),
            body: body.clone(),
            priority: Priority::Interactive,
            patience: None,
        };
        id += 1;
        handle.send(peer, Message::ComputeRequest(request))?;
        answered(events, peer).await?;
        rounds.ended(begun);
    }
    // As many blocks at a time as a download asks of one peer.
    let mut window = swarm::Window::default();
    let blocks = FRAGMENT.div_ceil(BLOCK_BYTES as usize);
    let begun = Instant::now();
    let mut on_the_way = HashMap::new();
    let mut asked = 0;
    while asked < blocks || !on_the_way.is_empty() {
        while asked < blocks && on_the_way.len() < window.blocks() {
            let request = ContentRequest {
                id: RequestId(asked as u64),
                content: Digest::default(),
                block: Some(asked as u32),
            };
            handle.send(peer, Message::ContentRequest(request))?;
            on_the_way.insert(asked as u64, Instant::now());
            asked += 1;
        }
        let count = on_the_way.len();
        let RequestId(block) = answered(events, peer).await?;
        if let Some(since) = on_the_way.remove(&block) {
            window.block_came(since.elapsed(), count);
        }
    }
    Ok(Measured {
        fragment: begun.elapsed(),
        rounds: rounds.times(),
    })
}
