//! The server with clients of another make.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::{
    net::SocketAddr,
    num::NonZeroU32,
    time::{Duration, Instant, SystemTime},
};

use proptest::{prelude::*, test_runner::TestRunner};
use tokio::{
    net::UdpSocket,
    time::{sleep, timeout},
};
use turn::{Issuer, Limits, Server};
use turn_client_proto::{
    api::{
        DelayedMessageOrChannelSend, TurnClientApi, TurnConfig, TurnEvent, TurnPollRet, TurnRecvRet,
    },
    stun::agent::Transmit,
    types::{TransportType, TurnCredentials, transmit::DelayedTransmitBuild},
    udp::TurnClientUdp,
};

const UDP: TransportType = TransportType::Udp;

/// Nothing takes so long on one machine.
const PATIENCE: Duration = Duration::from_secs(20);

async fn server(limits: Limits) -> (Server, SocketAddr) {
    let anywhere = "127.0.0.1:0".parse().unwrap();
    let server = Server::bind(anywhere, Issuer::random(), limits)
        .await
        .unwrap();
    tokio::spawn(server.clone().run());
    let url = server.url();
    let address = url.strip_prefix("turn:").unwrap();
    let address = address.strip_suffix("?transport=udp").unwrap();
    let address = address.parse().unwrap();
    (server, address)
}

struct Client {
    socket: UdpSocket,
    turn: TurnClientUdp,
    started: Instant,
}

enum Happened {
    Event(TurnEvent),
    Data(SocketAddr, Vec<u8>),
    /// The server has said something to the client itself.
    Answer,
}

impl Client {
    async fn new(server: SocketAddr, username: &str, password: &str) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let config = TurnConfig::new(TurnCredentials::new(username, password));
        let turn = TurnClientUdp::allocate(socket.local_addr().unwrap(), server, config);
        Self {
            socket,
            turn,
            started: Instant::now(),
        }
    }

    async fn of(server: &Server, address: SocketAddr) -> Self {
        let credentials = server.issue(SystemTime::now());
        Self::new(address, &credentials.username, &credentials.password).await
    }

    fn now(&self) -> turn_client_proto::types::Instant {
        let nanos = self.started.elapsed().as_nanos();
        turn_client_proto::types::Instant::from_nanos(i64::try_from(nanos).unwrap())
    }

    /// Does what there is to do until something has happened that `pick` likes.
    async fn until<T>(&mut self, mut pick: impl FnMut(Happened) -> Option<T>) -> T {
        let work = async {
            let mut datagram = vec![0; 2048];
            loop {
                let wait = match self.turn.poll(self.now()) {
                    TurnPollRet::WaitUntil(at) => at.saturating_duration_since(self.now()),
                    other => panic!("{other:?}"),
                };
                while let Some(it) = self.turn.poll_transmit(self.now()) {
                    self.socket.send_to(&it.data, it.to).await.unwrap();
                }
                while let Some(event) = self.turn.poll_event() {
                    if let Some(picked) = pick(Happened::Event(event)) {
                        return picked;
                    }
                }
                tokio::select! {
                    received = self.socket.recv_from(&mut datagram) => {
                        let (length, from) = received.unwrap();
                        let local = self.socket.local_addr().unwrap();
                        let data = datagram[..length].to_vec();
                        let transmit = Transmit { data, transport: UDP, from, to: local };
                        let happened = match self.turn.recv(transmit, self.now()) {
                            TurnRecvRet::PeerData(data) => {
                                Happened::Data(data.peer, data.data().to_vec())
                            }
                            _ => Happened::Answer,
                        };
                        // What an answer means is told before that there was one.
                        while let Some(event) = self.turn.poll_event() {
                            if let Some(picked) = pick(Happened::Event(event)) {
                                return picked;
                            }
                        }
                        if let Some(picked) = pick(happened) {
                            return picked;
                        }
                    }
                    () = sleep(wait) => {}
                }
            }
        };
        timeout(PATIENCE, work).await.expect("nothing happens")
    }

    /// The address it is given.
    async fn address(&mut self) -> SocketAddr {
        self.until(|happened| match happened {
            Happened::Event(TurnEvent::AllocationCreated(_, address)) => Some(address),
            _ => None,
        })
        .await
    }

    /// Waits until it was asked who it is, and what it answered was not believed.
    async fn is_refused(&mut self) {
        let mut answers = 0;
        self.until(|happened| {
            answers += usize::from(matches!(happened, Happened::Answer));
            (answers >= 2).then_some(())
        })
        .await;
    }

    /// Whether it may send to an address.
    async fn bind(&mut self, to: SocketAddr) -> bool {
        let now = self.now();
        self.turn.bind_channel(UDP, to, now).unwrap();
        self.until(|happened| match happened {
            Happened::Event(TurnEvent::ChannelCreated(..)) => Some(true),
            Happened::Answer => Some(false),
            _ => None,
        })
        .await
    }

    async fn send(&mut self, to: SocketAddr, data: &[u8]) {
        let now = self.now();
        let sent = self.turn.send_to(UDP, to, data, now).unwrap();
        if let Some(it) = sent {
            let built = <DelayedMessageOrChannelSend<_> as DelayedTransmitBuild>::build(it.data);
            self.socket.send_to(&built, it.to).await.unwrap();
        }
    }

    async fn leave(mut self) {
        let now = self.now();
        self.turn.delete(now).unwrap();
        while let Some(it) = self.turn.poll_transmit(now) {
            self.socket.send_to(&it.data, it.to).await.unwrap();
        }
    }

    async fn received(&mut self) -> (SocketAddr, Vec<u8>) {
        self.until(|happened| match happened {
            Happened::Data(from, data) => Some((from, data)),
            _ => None,
        })
        .await
    }
}

#[tokio::test]
async fn two_clients_talk_through_it() {
    let (server, address) = server(Limits::default()).await;
    let (mut a, mut b) = (
        Client::of(&server, address).await,
        Client::of(&server, address).await,
    );
    let (at_a, at_b) = (a.address().await, b.address().await);
    assert_eq!(server.traffic().clients, 2);
    assert!(a.bind(at_b).await);
    // The other one has no channel yet, and hears it nevertheless.
    a.send(at_b, b"hello").await;
    let mut datagram = [0; 100];
    let heard = timeout(PATIENCE, b.socket.recv(&mut datagram));
    let length = heard.await.unwrap().unwrap();
    assert_eq!(datagram[..2], [0x00, 0x17], "a data indication");
    assert!(datagram[..length].windows(5).any(|it| it == b"hello"));
    assert!(b.bind(at_a).await);
    let long = vec![7; 1200];
    b.send(at_a, &long).await;
    assert_eq!(a.received().await, (at_b, long));
    a.send(at_b, b"and again").await;
    assert_eq!(b.received().await, (at_a, b"and again".to_vec()));
    assert!(server.traffic().relayed > 1200);
    a.leave().await;
    let gone = async {
        while server.traffic().clients > 1 {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, gone).await.expect("its place is free");
}

#[tokio::test]
async fn it_is_closed_to_everybody_else() {
    let (server, address) = server(Limits::default()).await;
    let mut stranger = Client::new(address, "99999999999", "guessed").await;
    stranger.is_refused().await;
    assert_eq!(server.traffic().clients, 0);
    // A client reaches clients, and nothing else that the server could reach.
    let mut client = Client::of(&server, address).await;
    let own = client.address().await;
    let outside = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    assert!(!client.bind(outside.local_addr().unwrap()).await);
    assert!(!client.bind("192.0.2.1:53".parse().unwrap()).await);
    assert!(!client.bind(own).await);
    assert_eq!(server.traffic().relayed, 0);
}

#[tokio::test]
async fn one_household_does_not_take_every_place() {
    let limits = Limits {
        clients_per_address: 2,
        ..Limits::default()
    };
    let (server, address) = server(limits).await;
    let (mut a, mut b, mut c) = (
        Client::of(&server, address).await,
        Client::of(&server, address).await,
        Client::of(&server, address).await,
    );
    a.address().await;
    b.address().await;
    c.is_refused().await;
    assert_eq!(server.traffic().clients, 2);
    assert!(server.traffic().refused > 0);
}

#[tokio::test]
async fn what_is_too_fast_is_lost() {
    let limits = Limits {
        client_bytes_per_second: NonZeroU32::new(1000).unwrap(),
        ..Limits::default()
    };
    let (server, address) = server(limits).await;
    let (mut a, mut b) = (
        Client::of(&server, address).await,
        Client::of(&server, address).await,
    );
    a.address().await;
    let at_b = b.address().await;
    assert!(a.bind(at_b).await);
    for _ in 0..20 {
        a.send(at_b, &[0; 1000]).await;
    }
    let lost = async {
        while server.traffic().dropped == 0 {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, lost).await.expect("it is not limited");
    assert!(server.traffic().relayed < 20_000);
}

/// Bytes, many of which look like a message at first, and some to the end.
fn datagrams() -> impl Strategy<Value = Vec<u8>> {
    let kind = prop_oneof![
        prop::sample::select(vec![
            0x06_u16, 0x08, 0x09, 0x0c, 0x0d, 0x12, 0x13, 0x14, 0x15, 0x16, 0x17, 0x19, 0x1c, 0x1d,
            0x20, 0x22, 0x8002, 0x8028,
        ]),
        any::<u16>(),
    ];
    let value = prop::collection::vec(any::<u8>(), 0..40);
    // A length that is not that of the value, and whether there is padding.
    let attribute = (
        kind,
        prop::option::weighted(0.1, any::<u16>()),
        value,
        prop::bool::weighted(0.9),
    );
    let message = (
        prop::sample::select(vec![1_u16, 3, 4, 6, 8, 9, 0x16, 0x17]),
        prop::option::weighted(0.1, any::<u16>()),
        prop::collection::vec(attribute, 0..8),
    );
    let message = message.prop_map(|(method, length, attributes)| {
        let mut body = Vec::new();
        for (kind, length, value, padded) in attributes {
            body.extend(kind.to_be_bytes());
            body.extend(length.unwrap_or(value.len() as u16).to_be_bytes());
            body.extend(value);
            if padded {
                body.resize(body.len().next_multiple_of(4), 0);
            }
        }
        let length = length.unwrap_or(body.len() as u16);
        let head = [method.to_be_bytes(), length.to_be_bytes()].concat();
        [&head[..], &0x2112_a442_u32.to_be_bytes(), &[9; 12], &body].concat()
    });
    prop_oneof![
        1 => prop::collection::vec(any::<u8>(), 0..200),
        6 => message,
    ]
}

#[test]
fn no_datagram_stops_it() {
    let many = NonZeroU32::MAX;
    let limits = Limits {
        requests_per_second: many,
        strangers_per_second: many,
        ..Limits::default()
    };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (server, address) = runtime.block_on(server(limits));
    let stranger = runtime.block_on(UdpSocket::bind("127.0.0.1:0")).unwrap();
    let settings = ProptestConfig {
        cases: 10_000,
        ..ProptestConfig::default()
    };
    TestRunner::new(settings)
        .run(&datagrams(), |datagram| {
            runtime
                .block_on(stranger.send_to(&datagram, address))
                .unwrap();
            Ok(())
        })
        .unwrap();
    runtime.block_on(async {
        let mut client = Client::of(&server, address).await;
        client.address().await;
    });
}
