//! Peers that do not play by the rules, made from libp2p directly.

use std::collections::HashSet;

use futures::{AsyncWriteExt, StreamExt};
use libp2p::{
    Multiaddr, PeerId, StreamProtocol, Swarm, SwarmBuilder, noise,
    swarm::{SwarmEvent, dial_opts::DialOpts},
    tcp, yamux,
};
use network::Event;
use protocol::{Cancel, Channel, ContentRequest, FrameEncoder, Message, RequestId};

use crate::node::{Node, TCP, request};

fn stranger() -> Swarm<libp2p_stream::Behaviour> {
    SwarmBuilder::with_new_identity()
        .with_tokio()
        .with_tcp(
            tcp::Config::default(),
            noise::Config::new,
            yamux::Config::default,
        )
        .unwrap()
        .with_behaviour(|_| libp2p_stream::Behaviour::new())
        .unwrap()
        .build()
}

/// Connects and writes these bytes on streams of the channel, which stay open; resolves when the connection has been closed.
async fn say(
    mut stranger: Swarm<libp2p_stream::Behaviour>,
    to: Multiaddr,
    channel: Channel,
    each: Vec<Vec<u8>>,
) {
    let mut control = stranger.behaviour().new_control();
    stranger
        .dial(DialOpts::unknown_peer_id().address(to).build())
        .unwrap();
    loop {
        match stranger.select_next_some().await {
            SwarmEvent::ConnectionEstablished { peer_id, .. } => {
                let (mut control, each) = (control.clone(), each.clone());
                tokio::spawn(async move {
                    let mut open = Vec::new();
                    for bytes in each {
                        let name = StreamProtocol::new(channel.name());
                        let mut stream = control.open_stream(peer_id, name).await.unwrap();
                        stream.write_all(&bytes).await.unwrap();
                        stream.flush().await.unwrap();
                        open.push(stream);
                    }
                    std::future::pending::<()>().await;
                });
            }
            SwarmEvent::ConnectionClosed { .. } => break,
            _ => {}
        }
    }
    let _ = &mut control;
}

async fn is_thrown_out(channel: Channel, bytes: Vec<u8>) {
    let mut node = Node::listening(&[TCP]);
    let address = node.address().await;
    let stranger = stranger();
    let id = *stranger.local_peer_id();
    let saying = tokio::spawn(say(stranger, address, channel, vec![bytes]));
    let culprit: PeerId = node
        .wait(|event| match event {
            Event::Violation { peer, .. } => Some(peer),
            Event::Message { message, .. } => panic!("{} taken for a message", message.kind()),
            _ => None,
        })
        .await;
    assert_eq!(culprit, id);
    node.gone(id).await;
    tokio::time::timeout(crate::node::PATIENCE, saying)
        .await
        .unwrap()
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn who_sends_garbage_is_disconnected() {
    is_thrown_out(
        Channel::Compute,
        b"GET / HTTP/1.1\r\nHost: example.org\r\n\r\n".repeat(10),
    )
    .await;
    is_thrown_out(Channel::Content, vec![0xff; 100]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_say_hello_first_is_disconnected() {
    let mut wire = Vec::new();
    FrameEncoder::new(Channel::Compute)
        .encode(&Message::Cancel(Cancel { id: RequestId(1) }), &mut wire)
        .unwrap();
    is_thrown_out(Channel::Compute, wire).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn all_streams_for_content_are_read_at_the_same_time() {
    let mut node = Node::listening(&[TCP]);
    let address = node.address().await;
    let ask = |id| {
        let request = ContentRequest {
            id: RequestId(id),
            content: [2; 32],
            block: Some(0),
        };
        let mut wire = Vec::new();
        FrameEncoder::new(Channel::Content)
            .encode(&Message::ContentRequest(request), &mut wire)
            .unwrap();
        wire
    };
    let streams = Channel::Content.streams() as u64;
    let asker = stranger();
    let id = *asker.local_peer_id();
    let asking = tokio::spawn(say(
        asker,
        address,
        Channel::Content,
        (0..streams).map(ask).collect(),
    ));
    let mut asked = HashSet::new();
    while asked.len() < 4 {
        match node.message_from(id).await {
            Message::ContentRequest(request) => assert!(asked.insert(request.id.0)),
            other => panic!("{}", other.kind()),
        }
    }
    asking.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_others_do_not_notice() {
    let mut node = Node::listening(&[TCP]);
    let address = node.address().await;
    let mut friend = Node::listening(&[]);
    friend.handle.dial(address.clone());
    friend.hello_from(node.peer()).await;
    node.hello_from(friend.peer()).await;
    let saying = tokio::spawn(say(
        stranger(),
        address,
        Channel::Compute,
        vec![vec![0xff; 100]],
    ));
    node.wait(|event| matches!(event, Event::Violation { .. }).then_some(()))
        .await;
    friend.handle.send(node.peer(), request(1, 10)).unwrap();
    assert_eq!(node.message_from(friend.peer()).await, request(1, 10));
    saying.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_banned_does_not_come_back() {
    let mut node = Node::listening(&[TCP]);
    let address = node.address().await;
    let mut bad = Node::listening(&[]);
    bad.handle.dial(address.clone());
    bad.hello_from(node.peer()).await;
    node.hello_from(bad.peer()).await;
    node.handle.ban(bad.peer());
    node.gone(bad.peer()).await;
    bad.gone(node.peer()).await;
    bad.handle.dial(address);
    // The encryption is agreed upon before anyone knows who calls; then the door closes.
    let turned_away = bad.wait(|event| match event {
        Event::DialFailed { .. } | Event::Disconnected { .. } => Some(()),
        Event::Message { .. } => panic!("talked to"),
        _ => None,
    });
    turned_away.await;
}
