//! Peers that do not play by the rules, made from libp2p directly.

use futures::{AsyncWriteExt, StreamExt};
use libp2p::{
    Multiaddr, PeerId, StreamProtocol, Swarm, SwarmBuilder, noise,
    swarm::{SwarmEvent, dial_opts::DialOpts},
    tcp, yamux,
};
use network::Event;
use protocol::{Cancel, Channel, FrameEncoder, Message, RequestId};

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

/// Connects and writes these bytes on a stream of the channel; resolves when the connection has been closed.
async fn say(
    mut stranger: Swarm<libp2p_stream::Behaviour>,
    to: Multiaddr,
    channel: Channel,
    bytes: Vec<u8>,
) {
    let mut control = stranger.behaviour().new_control();
    stranger
        .dial(DialOpts::unknown_peer_id().address(to).build())
        .unwrap();
    loop {
        match stranger.select_next_some().await {
            SwarmEvent::ConnectionEstablished { peer_id, .. } => {
                let (mut control, bytes) = (control.clone(), bytes.clone());
                tokio::spawn(async move {
                    let mut stream = control
                        .open_stream(peer_id, StreamProtocol::new(channel.name()))
                        .await
                        .unwrap();
                    stream.write_all(&bytes).await.unwrap();
                    stream.flush().await.unwrap();
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
    let saying = tokio::spawn(say(stranger, address, channel, bytes));
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
async fn the_others_do_not_notice() {
    let mut node = Node::listening(&[TCP]);
    let address = node.address().await;
    let mut friend = Node::listening(&[]);
    friend.handle.dial(address.clone());
    friend.hello_from(node.peer()).await;
    node.hello_from(friend.peer()).await;
    let saying = tokio::spawn(say(stranger(), address, Channel::Compute, vec![0xff; 100]));
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
