//! A private swarm: only those who know its secret get in.

use network::{Config, Event, Reserve, Secret};

use crate::node::{Node, TCP, WEBRTC, WEBSOCKET, config};

fn start(secret: Option<&Secret>, listen: &[&str]) -> Node {
    Node::start(Config {
        secret: secret.cloned(),
        listen: listen.iter().map(|it| it.parse().unwrap()).collect(),
        ..config()
    })
}

async fn is_refused(node: &mut Node) {
    node.wait(|event| match event {
        Event::DialFailed { .. } => Some(()),
        Event::Connected { peer, .. } => panic!("connected with {peer}"),
        _ => None,
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_does_not_know_the_secret_fails_in_the_handshake() {
    let secret = Secret::generate();
    for kind in [TCP, WEBSOCKET, WEBRTC] {
        let mut member = start(Some(&secret), &[kind]);
        let address = member.address().await;
        for wrong in [None, Some(Secret::generate())] {
            let mut stranger = start(wrong.as_ref(), &[]);
            stranger.handle.dial(address.clone());
            is_refused(&mut stranger).await;
        }
        let mut other = start(Some(&secret), &[]);
        other.handle.dial(address);
        let hello = member.hello_from(other.peer()).await;
        assert_eq!(hello.agent, "test");
        other.hello_from(member.peer()).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_does_not_connect_with_a_public_node() {
    let mut public = start(None, &[TCP]);
    let mut member = start(Some(&Secret::generate()), &[]);
    member.handle.dial(public.address().await);
    is_refused(&mut member).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_private_swarm_does_without_quic() {
    let mut member = start(Some(&Secret::generate()), &[crate::node::QUIC]);
    member
        .wait(|event| match event {
            Event::ListenFailed { .. } => Some(()),
            Event::Listening { address } => panic!("listens on {address}"),
            _ => None,
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn members_meet_through_their_relay_and_a_stranger_does_not_even_reach_it() {
    let secret = Secret::generate();
    let mut relay = Node::start(Config {
        secret: Some(secret.clone()),
        listen: vec![WEBSOCKET.parse().unwrap()],
        relay_server: Some(network::RelayLimits::default()),
        ..config()
    });
    let address = relay.address().await;
    let _relay = relay.in_background();
    let hidden = |secret: &Secret| {
        Node::start(Config {
            secret: Some(secret.clone()),
            bootstrap: vec![address.clone()],
            reserve: Reserve::Always,
            kad_server: false,
            ..config()
        })
    };
    let (mut one, mut other) = (hidden(&secret), hidden(&secret));
    let to_one = one.address().await;
    // Who is not at the relay yet does not get through it.
    other.address().await;
    other.handle.dial(to_one);
    one.hello_from(other.peer()).await;
    other.hello_from(one.peer()).await;
    let mut stranger = hidden(&Secret::generate());
    stranger
        .wait(|event| match event {
            Event::BootstrapUnreachable { .. } => Some(()),
            Event::Connected { peer, .. } => panic!("connected with {peer}"),
            _ => None,
        })
        .await;
}
