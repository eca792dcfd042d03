use network::{Config, Event, Multiaddr, Path, PeerId};

use crate::node::{Node, config, request};

/// A node that listens nowhere, and its address through the relay.
async fn hidden(bootstrap: &Multiaddr) -> (Node, Multiaddr) {
    let mut node = Node::start(Config {
        bootstrap: vec![bootstrap.clone()],
        reserve: true,
        ..config()
    });
    let address = node.address().await;
    (node, address)
}

async fn connected(node: &mut Node, other: PeerId) -> Path {
    node.wait(|event| match event {
        Event::Connected { peer, path } if peer == other => Some(path),
        _ => None,
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_without_a_way_to_each_other_talk_through_the_relay() {
    let (bootstrap, address) = Node::bootstrap().await;
    let _bootstrap = bootstrap.in_background();
    let ((mut one, to_one), (mut other, _)) = (hidden(&address).await, hidden(&address).await);
    assert!(to_one.to_string().contains("/p2p-circuit/"));
    let (one_id, other_id) = (one.peer(), other.peer());
    other.handle.dial(to_one);
    let to_other = connected(&mut one, other_id).await;
    assert!(
        to_other.relayed && to_other.address.to_string().contains("/p2p-circuit/"),
        "{to_other:?}"
    );
    assert!(connected(&mut other, one_id).await.relayed);
    one.hello_from(other_id).await;
    // More than the 128 KiB that relays allow by default.
    for id in 0..32 {
        other
            .handle
            .send_when_possible(one_id, request(id, 1 << 20))
            .await
            .unwrap();
    }
    for id in 0..32 {
        assert_eq!(one.message_from(other_id).await, request(id, 1 << 20));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn hidden_peers_of_a_model_are_found_and_dialled_through_the_relay() {
    const MODEL: [u8; 32] = [9; 32];
    let (bootstrap, address) = Node::bootstrap().await;
    let _bootstrap = bootstrap.in_background();
    let ((one, _), (mut other, _)) = (hidden(&address).await, hidden(&address).await);
    let one_id = one.peer();
    let one = one.in_background();
    one.provide(MODEL);
    let handle = other.handle.clone();
    let searching = tokio::spawn(async move {
        loop {
            handle.find_providers(MODEL);
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
    });
    other.hello_from(one_id).await;
    searching.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_connections_dialled_at_once_one_is_kept_and_nothing_is_lost() {
    let (bootstrap, address) = Node::bootstrap().await;
    let _bootstrap = bootstrap.in_background();
    let ((mut one, to_one), (mut other, to_other)) =
        (hidden(&address).await, hidden(&address).await);
    let (one_id, other_id) = (one.peer(), other.peer());
    one.handle.dial(to_other);
    other.handle.dial(to_one);
    one.hello_from(other_id).await;
    let sender = other.handle.clone();
    other.hello_from(one_id).await;
    let _other = other.in_background();
    // Long enough for the second connection to be given up in between.
    let sending = tokio::spawn(async move {
        for id in 0..60 {
            sender.send(one_id, request(id, 1 << 10)).unwrap();
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    });
    let mut next = 0;
    while next < 60 {
        let message = one.message_from(other_id).await;
        if !matches!(message, protocol::Message::Hello(_)) {
            assert_eq!(message, request(next, 1 << 10));
            next += 1;
        }
    }
    sending.await.unwrap();
}
