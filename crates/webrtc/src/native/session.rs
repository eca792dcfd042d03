//! What a connection, its streams and the task that moves its packets share.

mod tail;

use std::{
    collections::{HashMap, VecDeque},
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use str0m::{
    Event, IceConnectionState, Input, Output, Rtc, RtcError,
    channel::{ChannelConfig, ChannelId},
    net::{Protocol, Receive, Transmit},
};
use tokio::sync::Notify;

use super::{
    Error,
    channel::{Channel, MAX_UNREAD, may_be_unsent},
};
use crate::core::{StreamError, Tail};

/// How long the channel of a stream that was let go of is kept for the other side to acknowledge its end.
pub const LINGER: Duration = Duration::from_secs(10);

/// The most channels that are kept so. Further ones are closed at once.
const MAX_LEFTOVERS: usize = 1024;

/// Of those that could be closed, so many are kept as long, too. Their numbers are used again once they are closed, and a
/// peer that waits for its own part of that to be confirmed lets go of the new channel without a word (str0m 0.25): most are
/// opened and done with when a connection has just begun.
const KEPT: usize = 16;

/// Channels a peer may open before the first is looked at; further ones are closed.
const MAX_WAITING: usize = 256;

/// Channels at a time: half of the numbers that SCTP has.
const MAX_CHANNELS: usize = 16 << 10;

/// Packets that wait to be sent.
const MAX_OUTBOX: usize = 4096;

/// Label of the channel that exists only so that an offer asks for data channels at all.
pub(super) const INIT: &str = "init";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Closed,
    Lost,
}

impl From<End> for Error {
    fn from(end: End) -> Self {
        match end {
            End::Closed => Self::Closed,
            End::Lost => Self::Lost,
        }
    }
}

/// From where and to where packets travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Way {
    pub(super) source: SocketAddr,
    pub(super) destination: SocketAddr,
}

/// Whether a packet only tries a way, of which there may be many besides the one that was chosen (RFC 7983, section 7).
fn is_check(packet: &[u8]) -> bool {
    packet.first().is_some_and(|first| *first <= 3)
}

pub(super) struct Session {
    state: Mutex<State>,
    /// Tells the task that there may be something to send.
    work: Notify,
}

pub(super) struct State {
    pub(super) rtc: Rtc,
    channels: HashMap<ChannelId, Channel>,
    /// Those whose writers wait.
    full: Vec<ChannelId>,
    /// Opened by the peer and not accepted yet.
    waiting: VecDeque<ChannelId>,
    leftovers: Vec<ChannelId>,
    unread: usize,
    /// Packets that are to be sent.
    outbox: VecDeque<Transmit>,
    /// Datagrams that came.
    pub(super) received: u64,
    pub(super) connected: bool,
    /// The way that was chosen: from where and to where what is said goes.
    pub(super) way: Option<Way>,
    pub(super) end: Option<End>,
    /// Whoever waits for the connection: to stand, to end, or for a channel.
    watchers: Vec<Waker>,
    begun: Instant,
    /// How far the time of `rtc` is ahead: its timers are not always waited for.
    ahead: Duration,
    tail: Tail,
    /// The channel that something was sent on last, and whether that was since the last look.
    tail_of: Option<(ChannelId, bool)>,
}

impl Session {
    pub(super) fn new(rtc: Rtc) -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::new(State {
                rtc,
                channels: HashMap::new(),
                full: Vec::new(),
                waiting: VecDeque::new(),
                leftovers: Vec::new(),
                unread: 0,
                outbox: VecDeque::new(),
                received: 0,
                connected: false,
                way: None,
                end: None,
                watchers: Vec::new(),
                begun: Instant::now(),
                ahead: Duration::ZERO,
                tail: Tail::new(),
                tail_of: None,
            }),
            work: Notify::new(),
        })
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does something with the state, after which there may be packets to send.
    pub(super) fn with<T>(&self, work: impl FnOnce(&mut State) -> T) -> T {
        let done = work(&mut self.lock());
        self.work.notify_one();
        done
    }

    /// Resolves when there may be something to send.
    pub(super) async fn worked(&self) {
        self.work.notified().await;
    }

    /// A channel for a stream.
    pub(super) fn open(&self) -> Result<ChannelId, Error> {
        self.with(|state| {
            if let Some(end) = state.end {
                return Err(end.into());
            }
            if state.channels.len() >= MAX_CHANNELS {
                return Err(Error::Rtc("too many streams".to_owned()));
            }
            Ok(state.create(ChannelConfig::default()))
        })
    }

    /// Resolves once the connection stands.
    pub(super) async fn connected(&self) -> Result<(), Error> {
        std::future::poll_fn(|cx| {
            let mut state = self.lock();
            match (state.connected, state.end) {
                (_, Some(End::Closed)) => Poll::Ready(Err(Error::Closed)),
                (_, Some(End::Lost)) => Poll::Ready(Err(Error::NoPath)),
                (true, None) => Poll::Ready(Ok(())),
                (false, None) => {
                    state.watch(cx);
                    Poll::Pending
                }
            }
        })
        .await
    }

    pub(super) fn poll_end(&self, cx: &mut Context<'_>) -> Poll<End> {
        let mut state = self.lock();
        match state.end {
            Some(end) => Poll::Ready(end),
            None => {
                state.watch(cx);
                Poll::Pending
            }
        }
    }

    pub(super) fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<Result<ChannelId, Error>> {
        let mut state = self.lock();
        match (state.waiting.pop_front(), state.end) {
            (Some(id), _) => Poll::Ready(Ok(id)),
            (None, Some(end)) => Poll::Ready(Err(end.into())),
            (None, None) => {
                state.watch(cx);
                Poll::Pending
            }
        }
    }

    /// Says goodbye; the task sends it.
    pub(super) fn close(&self) {
        self.with(|state| {
            // It fails when it is closed already.
            let _ = state.rtc.close();
            state.ended(End::Closed);
        });
    }

    pub(super) fn lost(&self) {
        self.with(|state| state.ended(End::Lost));
    }
}

impl State {
    pub(super) fn create(&mut self, config: ChannelConfig) -> ChannelId {
        let id = self.rtc.direct_api().create_data_channel(config);
        self.channels.insert(id, Channel::new(id));
        // It is announced.
        self.tail_of = Some((id, true));
        id
    }

    pub(super) fn watch(&mut self, cx: &Context<'_>) {
        if !self.watchers.iter().any(|it| it.will_wake(cx.waker())) {
            self.watchers.push(cx.waker().clone());
        }
    }

    fn wake(&mut self) {
        self.watchers.drain(..).for_each(Waker::wake);
    }

    fn ended(&mut self, end: End) {
        self.end.get_or_insert(end);
        self.channels.values_mut().for_each(Channel::closed);
        self.wake();
    }

    /// Does something with a channel, and then what follows from it. `None`: it is gone.
    pub(super) fn channel<T>(
        &mut self,
        id: ChannelId,
        work: impl FnOnce(&mut Channel, &mut Rtc) -> T,
    ) -> Option<T> {
        let channel = self.channels.get_mut(&id)?;
        let done = work(channel, &mut self.rtc);
        channel.pump(&mut self.rtc);
        if std::mem::take(&mut channel.sent) {
            self.tail_of = Some((id, true));
        }
        // Brings the connection's sum up to date.
        let now = channel.stream.unread();
        self.unread = self.unread - std::mem::replace(&mut channel.unread, now) + now;
        Some(done)
    }

    /// Bytes of one stream that may be on their way.
    pub(super) fn may_be_unsent(&self) -> usize {
        may_be_unsent(self.tail.round_trip())
    }

    /// The writer of a stream waits until less than half of that is on its way.
    pub(super) fn full(&mut self, id: ChannelId) {
        if !self.full.contains(&id) {
            self.full.push(id);
        }
    }

    fn wake_writers(&mut self) {
        let half = self.may_be_unsent() / 2;
        for id in std::mem::take(&mut self.full) {
            let woken = self.channel(id, |channel, rtc| {
                let has_room = channel.has_room(rtc, half);
                if has_room {
                    channel.wake();
                }
                has_room
            });
            if woken == Some(false) {
                self.full.push(id);
            }
        }
    }

    /// The application has let go of a stream.
    pub(super) fn abandon(&mut self, id: ChannelId, now: Instant) {
        self.channel(id, |channel, _| {
            channel.stream.abandon();
            channel.deadline = Some(now + LINGER);
        });
        if self.leftovers.len() < MAX_LEFTOVERS {
            self.leftovers.push(id);
        } else {
            self.discard(id);
        }
    }

    fn discard(&mut self, id: ChannelId) {
        if let Some(channel) = self.channels.remove(&id) {
            self.unread -= channel.unread;
            if !channel.is_closed() {
                self.rtc.direct_api().close_data_channel(id);
            }
        }
    }

    pub(super) fn handle(
        &mut self,
        source: SocketAddr,
        destination: SocketAddr,
        data: &[u8],
        now: Instant,
    ) {
        // What is no packet of WebRTC is nothing.
        let Ok(receive) = Receive::new(Protocol::Udp, source, destination, data) else {
            return;
        };
        self.received += 1;
        if !is_check(data) {
            self.tail.heard(now - self.begun);
        }
        if let Err(error) = self
            .rtc
            .handle_input(Input::Receive(now + self.ahead, receive))
        {
            tracing::debug!(%error, "a packet was refused");
        }
        // The encryption layer keeps a few packets only, and throws away the others.
        self.poll_rtc(now);
    }

    /// Does what the time asks for, puts up to `max` packets that are to be sent now into `out`, and says when to call
    /// again at the latest.
    pub(super) fn poll(&mut self, now: Instant, out: &mut Vec<Transmit>, max: usize) -> Instant {
        self.wake_writers();
        let mut next = self.pass_time(now);
        if self.close_leftovers(now) {
            next = self.poll_rtc(now);
        }
        let doubt = self.look_at_tail(now);
        next = doubt.map_or(next, |doubt| next.min(doubt));
        out.extend(self.outbox.drain(..max.min(self.outbox.len())));
        if !self.outbox.is_empty() {
            return now;
        }
        let lingering = self
            .leftovers
            .iter()
            .filter_map(|id| self.channels.get(id)?.deadline);
        lingering.min().map_or(next, |deadline| next.min(deadline))
    }

    fn pass_time(&mut self, now: Instant) -> Instant {
        let theirs = now + self.ahead;
        if let Err(error) = self.rtc.handle_input(Input::Timeout(theirs)) {
            self.failed(&error);
        }
        self.poll_rtc(now)
    }

    fn poll_rtc(&mut self, now: Instant) -> Instant {
        // A peer that makes us say more than the network takes has to wait for it.
        while self.outbox.len() < MAX_OUTBOX {
            match self.rtc.poll_output() {
                // At once if it was before anything could be.
                Ok(Output::Timeout(at)) => return at.checked_sub(self.ahead).unwrap_or(now),
                Ok(Output::Transmit(packet)) => {
                    if !is_check(&packet.contents) {
                        self.way = Some(Way {
                            source: packet.source,
                            destination: packet.destination,
                        });
                    }
                    self.outbox.push_back(packet);
                }
                Ok(Output::Event(event)) => self.event(event),
                Err(error) => {
                    self.failed(&error);
                    return now + LINGER;
                }
            }
        }
        now
    }

    fn failed(&mut self, error: &RtcError) {
        tracing::debug!(%error, "WebRTC failed");
        // What was about to be sent when the other side said goodbye cannot be any more.
        let closed = self.connected && matches!(error, RtcError::Dtls(_));
        self.ended(if closed { End::Closed } else { End::Lost });
    }

    /// Says whether any was closed.
    fn close_leftovers(&mut self, now: Instant) -> bool {
        let (mut done, mut kept) = (Vec::new(), Vec::new());
        let mut spare = self.leftovers.len().saturating_sub(KEPT);
        for id in std::mem::take(&mut self.leftovers) {
            let Some(channel) = self.channels.get(&id) else {
                continue;
            };
            let late = channel.deadline.is_some_and(|deadline| deadline <= now);
            if late || spare > 0 && channel.is_finished(&mut self.rtc) {
                done.push(id);
                spare = spare.saturating_sub(1);
            } else {
                kept.push(id);
            }
        }
        self.leftovers = kept;
        let any = !done.is_empty();
        done.into_iter().for_each(|id| self.discard(id));
        any
    }

    fn event(&mut self, event: Event) {
        match event {
            Event::Connected => {
                self.connected = true;
                self.wake();
            }
            Event::IceConnectionStateChange(IceConnectionState::Disconnected) => {
                self.ended(End::Lost);
            }
            Event::ChannelOpen(id, label) => self.channel_open(id, &label),
            // The peer chooses between bytes and text, and there is no text in this protocol.
            Event::ChannelData(data) if data.binary => self.channel_data(data.id, &data.data),
            Event::ChannelClose(id) => {
                self.channel(id, |channel, _| channel.closed());
            }
            Event::Closed => self.ended(End::Closed),
            _ => {}
        }
    }

    fn channel_open(&mut self, id: ChannelId, label: &str) {
        let known = self.channels.contains_key(&id);
        if !known {
            if label == INIT
                || self.waiting.len() >= MAX_WAITING
                || self.channels.len() >= MAX_CHANNELS
            {
                if label != INIT {
                    self.rtc.direct_api().close_data_channel(id);
                }
                return;
            }
            self.channels.insert(id, Channel::new(id));
            self.waiting.push_back(id);
            // That it is known now was said.
            self.tail_of = Some((id, true));
            self.wake();
        }
        self.channel(id, |channel, rtc| {
            channel.opened(rtc);
            channel.wake();
        });
    }

    fn channel_data(&mut self, id: ChannelId, data: &[u8]) {
        self.channel(id, |channel, _| {
            if let Err(error) = channel.stream.handle_input(data) {
                tracing::debug!(%error, "a stream was reset");
            }
            channel.wake();
        });
        if self.unread > MAX_UNREAD {
            self.channel(id, |channel, _| channel.stream.fail(StreamError::Overflow));
        }
    }
}

#[cfg(test)]
mod tests;
