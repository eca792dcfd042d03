//! Two sessions with a link between them that is late and loses packets, in a time of their own.

use super::{super::negotiation::config, *};
use crate::core::PROBES;
use str0m::Candidate;

const DELAY: Duration = Duration::from_millis(20);

/// Two sides of a connection, and what lies between them, in a time of their own.
struct World {
    sides: [Arc<Session>; 2],
    now: Instant,
    delay: Duration,
    /// When it arrives, and at which side.
    way: VecDeque<(Instant, usize, Transmit)>,
    /// Packets that are no checks.
    said: usize,
    /// Those of the first side that are as long as can be, and which of them are lost.
    long: usize,
    lost: Vec<usize>,
}

/// Packets with less are not full.
const LONG: usize = 1000;

impl World {
    fn connected(delay: Duration) -> Self {
        let now = Instant::now();
        let [mut one, mut other] = [1_u16, 2].map(|port| {
            let mut rtc = config().build(now);
            let address = SocketAddr::from(([10, 0, 0, 1], port));
            rtc.add_local_candidate(Candidate::host(address, "udp").unwrap());
            rtc
        });
        let mut change = one.sdp_api();
        change.add_channel(INIT.to_owned());
        let (offer, pending) = change.apply().unwrap();
        let answer = other.sdp_api().accept_offer(offer).unwrap();
        one.sdp_api().accept_answer(pending, answer).unwrap();
        let mut world = Self {
            sides: [one, other].map(Session::new),
            now,
            delay,
            way: VecDeque::new(),
            said: 0,
            long: 0,
            lost: Vec::new(),
        };
        world.run_until(|it| it.sides.iter().all(|side| side.lock().connected));
        world
    }

    /// What both say now is on its way; says when one of them has something to do again.
    fn poll(&mut self) -> Instant {
        let mut next = self.now + Duration::from_secs(1);
        for (number, side) in self.sides.iter().enumerate() {
            let mut packets = Vec::new();
            let due = side.lock().poll(self.now, &mut packets, usize::MAX);
            next = next.min(due);
            let at = self.now + self.delay;
            let said = |packet: &&Transmit| !is_check(&packet.contents);
            self.said += packets.iter().filter(said).count();
            for packet in packets {
                let is_long = number == 0 && packet.contents.len() >= LONG;
                self.long += usize::from(is_long);
                if !is_long || !self.lost.contains(&(self.long - 1)) {
                    self.way.push_back((at, 1 - number, packet));
                }
            }
        }
        next
    }

    fn run_until(&mut self, done: impl Fn(&Self) -> bool) {
        let end = self.now + Duration::from_secs(60);
        let mut polls = 0;
        while !done(self) {
            polls += 1;
            assert!(polls < 100_000, "there is always something to do");
            let next = self.poll();
            let arrives = self.way.front().map_or(next, |(at, ..)| *at);
            self.now = next.min(arrives).max(self.now + Duration::from_micros(10));
            assert!(self.now < end, "it does not happen");
            while self.way.front().is_some_and(|(at, ..)| *at <= self.now) {
                let (_, to, packet) = self.way.pop_front().unwrap();
                let (from, at) = (packet.source, packet.destination);
                self.sides[to]
                    .lock()
                    .handle(from, at, &packet.contents, self.now);
            }
        }
    }

    fn write(&self, side: usize, id: ChannelId, len: usize) {
        let written = self.sides[side].lock().channel(id, |channel, rtc| {
            let mut frame = Vec::new();
            let written = channel.stream.write(&vec![7; len], &mut frame).unwrap();
            channel.send(frame, rtc);
            written
        });
        assert_eq!(written, Some(len));
    }

    /// Waits until so much has come to a side, and reads it. Says how long it took.
    fn read(&mut self, side: usize, id: ChannelId, len: usize) -> Duration {
        let begun = self.now;
        self.run_until(|it| {
            let mut state = it.sides[side].lock();
            state.channel(id, |channel, _| channel.stream.unread()) >= Some(len)
        });
        let mut state = self.sides[side].lock();
        let read = state.channel(id, |channel, _| channel.stream.read(&mut vec![0; len]));
        assert_eq!(read, Some(Ok(Some(len))));
        self.now - begun
    }
}

/// A stream of the first side, and the same at the other, over which some messages have gone.
fn used(delay: Duration) -> (World, ChannelId, ChannelId) {
    let mut world = World::connected(delay);
    let id = world.sides[0].open().unwrap();
    world.run_until(|it| !it.sides[1].lock().waiting.is_empty());
    let other = world.sides[1].lock().waiting.pop_front().unwrap();
    for _ in 0..20 {
        world.write(0, id, 3000);
        world.read(1, other, 3000);
        world.write(1, other, 3000);
        world.read(0, id, 3000);
    }
    (world, id, other)
}

#[test]
fn a_lost_tail_is_sent_again_soon() {
    for lost in 1..=3 {
        let (mut world, id, other) = used(DELAY);
        world.way.clear();
        world.write(0, id, 12_000);
        world.poll();
        let sent = world.way.len();
        assert!(sent > lost, "{sent} packets");
        world.way.truncate(sent - lost);
        let time = world.read(1, other, 12_000);
        assert!(time > 3 * DELAY, "nothing was lost: {time:?}");
        // By its timer alone it would be more than a second.
        assert!(time < 25 * DELAY, "the last {lost}: {time:?}");
    }
}

#[test]
fn where_nothing_is_lost_nothing_is_sent_again() {
    for delay in [1, 20, 150].map(Duration::from_millis) {
        let (mut world, id, other) = used(delay);
        for len in [100, 1000, 3000, 8000, 16_000].repeat(4) {
            world.write(0, id, len);
            world.read(1, other, len);
            world.write(1, other, len);
            world.read(0, id, len);
            // Until it is acknowledged, too; a single packet is after 200 ms.
            let until = world.now + 2 * delay + Duration::from_millis(250);
            world.run_until(|it| it.now >= until);
        }
        let ahead = world.sides.each_ref().map(|side| side.lock().ahead);
        assert_eq!(ahead, [Duration::ZERO; 2], "{delay:?}");
    }
}

#[test]
fn what_is_lost_twice_is_sent_again_soon() {
    let (mut world, id, other) = used(DELAY);
    world.long = 0;
    world.write(0, id, 12_000);
    world.poll();
    let sent = world.long;
    // The same again, with one of them lost, and what is sent instead of it, too.
    world.read(1, other, 12_000);
    (world.long, world.lost) = (0, vec![2, sent]);
    world.write(0, id, 12_000);
    let time = world.read(1, other, 12_000);
    assert!(world.long > sent + 1, "it was not sent a third time");
    assert!(time > 5 * DELAY, "nothing was lost twice: {time:?}");
    assert!(time < 25 * DELAY, "{time:?}");
}

#[test]
fn what_arrives_is_followed_by_probes_once_at_most() {
    let (mut world, id, other) = used(DELAY);
    world.write(0, id, 12_000);
    world.read(1, other, 12_000);
    let said = world.said;
    let until = world.now + Duration::from_secs(1);
    world.run_until(|it| it.now >= until);
    // An acknowledgement of a single packet may take 200 ms, so that it looks lost; each probe may be acknowledged, too.
    let most = 2 * PROBES + 4;
    let said = world.said - said;
    assert!(said <= most, "{said} packets");
}
