use std::collections::HashSet;

use futures::StreamExt;
use network::{Event, SendError, Transport};
use protocol::{
    BLOCK_BYTES, Cancel, ComputeResponse, ContentBlock, ContentRequest, ContentResponse,
    HoldingsChanged, Message, RequestId,
};

use crate::node::{Node, PATIENCE, QUIC, TCP, WEBRTC, WEBSOCKET, pair, request};

#[tokio::test(flavor = "multi_thread")]
async fn both_sides_say_hello_whatever_the_transport() {
    for kind in [TCP, WEBSOCKET, QUIC, WEBRTC] {
        let mut one = Node::listening(&[kind]);
        let mut other = Node::listening(&[]);
        other.handle.dial(one.address().await);
        let hello = one.hello_from(other.peer()).await;
        assert_eq!((hello.model, hello.computes.count()), (Some([7; 32]), 3));
        other.hello_from(one.peer()).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_says_what_carries_it_and_how_much_has_gone_through() {
    const MESSAGES: u64 = 10;
    const BYTES: usize = 16 << 10;
    for (kind, transport) in [
        (TCP, Transport::Tcp),
        (WEBSOCKET, Transport::WebSocket),
        (QUIC, Transport::Quic),
        (WEBRTC, Transport::WebRtcDirect),
    ] {
        let (mut one, mut other) = pair(kind).await;
        let (one_id, other_id) = (one.peer(), other.peer());
        for id in 0..MESSAGES {
            one.handle.send(other_id, request(id, BYTES)).unwrap();
        }
        let mut received = 0;
        while received < MESSAGES {
            let message = other.message_from(one_id).await;
            received += u64::from(matches!(message, Message::ComputeRequest(_)));
        }
        let about =
            |bytes: u64| (MESSAGES * BYTES as u64..MESSAGES * BYTES as u64 + 5000).contains(&bytes);
        let [connection] = &other.handle.connections()[..] else {
            panic!("one connection");
        };
        assert_eq!(connection.peer, one_id);
        assert!(connection.usage == network::Usage::Messages && !connection.path.relayed);
        assert_eq!(connection.path.transport(), transport);
        assert!(
            about(connection.received) && connection.sent < 5000,
            "{connection:?}"
        );
        let measured = async {
            while other.handle.connections()[0].round_trip.is_none() {
                tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(PATIENCE, measured).await.unwrap();
        // What has gone through stays counted when the connection is gone.
        one.handle.disconnect(other_id);
        one.gone(other_id).await;
        assert!(one.handle.connections().is_empty());
        let traffic = one.handle.traffic();
        assert_eq!(traffic.len(), 1);
        assert!(about(traffic[&(transport, false)].sent), "{traffic:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_requests_at_once_are_all_answered() {
    let (mut worker, mut asker) = pair(TCP).await;
    let worker_id = worker.peer();
    tokio::spawn(async move {
        while let Some(event) = worker.events.next().await {
            if let Event::Message {
                peer,
                message: Message::ComputeRequest(request),
            } = event
            {
                let response = ComputeResponse {
                    id: request.id,
                    result: Ok(request.body),
                };
                worker
                    .handle
                    .send_when_possible(peer, Message::ComputeResponse(response))
                    .await
                    .unwrap();
            }
        }
    });
    let handle = asker.handle.clone();
    tokio::spawn(async move {
        for id in 0..1000 {
            handle
                .send_when_possible(worker_id, request(id, 16 << 10))
                .await
                .unwrap();
        }
    });
    let mut open: HashSet<u64> = (0..1000).collect();
    while !open.is_empty() {
        if let Message::ComputeResponse(response) = asker.message_from(worker_id).await {
            let id = response.id.0;
            assert!(open.remove(&id), "answered once");
            assert_eq!(response.result.unwrap(), vec![id as u8; 16 << 10]);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_megabytes_of_content_arrive_in_blocks() {
    let (mut holder, mut asker) = pair(WEBSOCKET).await;
    let holder_id = holder.peer();
    let content: Vec<u8> = (0..10_u32 << 20)
        .map(|index| (index.wrapping_mul(2_654_435_761) >> 24) as u8)
        .collect();
    let held = bytes::Bytes::from(content.clone());
    tokio::spawn(async move {
        while let Some(event) = holder.events.next().await {
            if let Event::Message {
                peer,
                message: Message::ContentRequest(request),
            } = event
            {
                let from = request.block.unwrap() as usize * BLOCK_BYTES as usize;
                let block = ContentBlock {
                    total: held.len() as u64,
                    bytes: held.slice(from..from + BLOCK_BYTES as usize),
                    proof: vec![[1; 32]; 6],
                };
                let response = ContentResponse {
                    id: request.id,
                    result: Ok(block),
                };
                holder
                    .handle
                    .send_when_possible(peer, Message::ContentResponse(response))
                    .await
                    .unwrap();
            }
        }
    });
    let blocks = content.len() as u32 / BLOCK_BYTES;
    let (mut next, mut open) = (0, 0);
    let mut received = vec![0; content.len()];
    while next < blocks || open > 0 {
        while open < 8 && next < blocks {
            let ask = ContentRequest {
                id: RequestId(next.into()),
                content: [2; 32],
                block: Some(next),
            };
            asker
                .handle
                .send(holder_id, Message::ContentRequest(ask))
                .unwrap();
            next += 1;
            open += 1;
        }
        if let Message::ContentResponse(response) = asker.message_from(holder_id).await {
            let at = response.id.0 as usize * BLOCK_BYTES as usize;
            let block = response.result.unwrap();
            received[at..][..block.bytes.len()].copy_from_slice(&block.bytes);
            open -= 1;
        }
    }
    assert!(received == content);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_does_not_read_fills_its_queue_and_nothing_else() {
    let (slow, fast) = pair(TCP).await; // nobody takes the events of `slow` from here on
    let mut accepted = 0;
    let refused = loop {
        match fast.handle.send(slow.peer(), request(accepted, 1 << 20)) {
            Ok(()) => accepted += 1,
            Err(error) => break error,
        }
        assert!(accepted < 5000, "back-pressure");
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
    };
    assert!(
        matches!(refused, SendError::Busy(message) if message == Box::new(request(accepted, 1 << 20)))
    );
    // It begins to read, and everything arrives in order.
    let mut slow = slow;
    for id in 0..accepted {
        assert_eq!(slow.message_from(fast.peer()).await, request(id, 1 << 20));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_leaves_is_missed_and_one_that_returns_says_hello_again() {
    let (mut one, mut other) = pair(TCP).await;
    let id = other.peer();
    other.handle.disconnect(one.peer());
    one.gone(id).await;
    other.gone(one.peer()).await;
    assert_eq!(
        one.handle.send(id, request(1, 1)),
        Err(SendError::NotConnected)
    );
    let mut changed = crate::node::config().hello;
    changed.computes = protocol::Bitmap::new(3);
    other.handle.set_hello(changed.clone());
    let address = one.handle.listening().remove(0);
    other.handle.dial(address);
    assert_eq!(one.hello_from(id).await, changed);
}

#[tokio::test(flavor = "multi_thread")]
async fn goodbye_is_noticed_at_once() {
    let (mut one, mut other) = pair(QUIC).await;
    other.handle.shutdown();
    one.gone(other.peer()).await;
    let rest = async { while other.events.next().await.is_some() {} };
    tokio::time::timeout(crate::node::PATIENCE, rest)
        .await
        .expect("events end");
    assert_eq!(
        other.handle.send(one.peer(), request(1, 1)),
        Err(SendError::NotConnected)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn small_messages_keep_their_order() {
    let (one, mut other) = pair(TCP).await;
    let mut sent = vec![Message::HoldingsChanged(HoldingsChanged::default())];
    sent.extend((0..500).map(|id| Message::Cancel(Cancel { id: RequestId(id) })));
    for message in &sent {
        one.handle.send(other.peer(), message.clone()).unwrap();
    }
    for message in sent {
        assert_eq!(other.message_from(one.peer()).await, message);
    }
}
