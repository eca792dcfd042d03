use network::{Config, Event, Reserve};

use crate::node::{Node, PATIENCE, TCP, WEBSOCKET, config};

const MODEL: [u8; 32] = [42; 32];

async fn found(node: &mut Node) -> Vec<network::PeerId> {
    node.wait(|event| match event {
        Event::ProvidersFound {
            key: MODEL,
            providers,
        } => Some(providers),
        _ => None,
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn peers_of_a_model_find_each_other_through_the_bootstrap_node() {
    let (bootstrap, address) = Node::bootstrap().await;
    let member = |kind: &str| {
        Node::start(Config {
            listen: vec![kind.parse().unwrap()],
            bootstrap: vec![address.clone()],
            ..config()
        })
    };
    let (mut one, mut other) = (member(TCP), member(WEBSOCKET));
    let bootstrap_id = bootstrap.peer();
    let _bootstrap = bootstrap.in_background();
    for node in [&mut one, &mut other] {
        node.hello_from(bootstrap_id).await;
        node.handle.provide(MODEL);
    }
    let other_id = other.peer();
    // The announcement takes its time; nodes search again and again.
    loop {
        one.handle.find_providers(MODEL);
        if found(&mut one).await.contains(&other_id) {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    other.hello_from(one.peer()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_nodes_that_all_search_at_once_end_with_one_connection_per_pair() {
    let (bootstrap, address) = Node::bootstrap().await;
    let _bootstrap = bootstrap.in_background();
    let kinds = [TCP, WEBSOCKET, crate::node::QUIC];
    let nodes: Vec<_> = (0..10)
        .map(|index| {
            let listen = vec![kinds[index % 3].parse().unwrap()];
            let reserve = if index % 2 == 0 {
                Reserve::Always
            } else {
                Reserve::Never
            };
            let node = Node::start(Config {
                listen,
                reserve,
                bootstrap: vec![address.clone()],
                ..config()
            });
            node.in_background()
        })
        .collect();
    let settled = async {
        loop {
            for node in &nodes {
                node.provide(MODEL);
                node.find_providers(MODEL);
            }
            tokio::time::sleep(std::time::Duration::from_millis(500)).await;
            let one_each = |node: &network::Handle| {
                let others = nodes
                    .iter()
                    .map(|other| other.local_peer())
                    .filter(|it| *it != node.local_peer());
                others
                    .map(|other| node.paths(other))
                    .all(|paths| paths.len() == 1 && !paths[0].relayed)
            };
            if nodes.iter().all(one_each) {
                break;
            }
        }
    };
    tokio::time::timeout(crate::node::PATIENCE, settled)
        .await
        .expect("everybody knows everybody, once");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bootstrap_node_that_is_not_there_is_tried_again() {
    // A port that was free a moment ago.
    let free = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let address: network::Multiaddr = format!("/ip4/127.0.0.1/tcp/{free}/ws").parse().unwrap();
    let mut node = Node::start(Config {
        bootstrap: vec![address.clone()],
        ..config()
    });
    node.wait(|event| matches!(event, Event::BootstrapUnreachable { .. }).then_some(()))
        .await;
    let late = Node::listening(&[&address.to_string()]);
    let late_id = late.peer();
    let _late = late.in_background();
    node.hello_from(late_id).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn members_meet_by_one_bootstrap_node_while_the_other_is_gone() {
    let (gone, first) = Node::bootstrap().await;
    let (stays, second) = Node::bootstrap().await;
    let (gone_id, stays_id) = (gone.peer(), stays.peer());
    let (gone, _stays) = (gone.in_background(), stays.in_background());
    let member = || {
        Node::start(Config {
            listen: vec![TCP.parse().unwrap()],
            bootstrap: vec![first.clone(), second.clone()],
            ..config()
        })
    };
    let mut early = member();
    let early_id = early.peer();
    // Which of the two is the first to say hello is not known.
    let mut heard = std::collections::HashSet::new();
    while heard.len() < 2 {
        heard.insert(
            early
                .wait(|event| match event {
                    Event::Message { peer, .. } => Some(peer),
                    _ => None,
                })
                .await,
        );
    }
    assert_eq!(heard, [gone_id, stays_id].into());
    gone.shutdown();
    early.gone(gone_id).await;
    let early = early.in_background();

    let mut late = member();
    late.wait(|event| match event {
        Event::BootstrapUnreachable { address, .. } => {
            assert_eq!(address, first);
            Some(())
        }
        _ => None,
    })
    .await;
    loop {
        early.provide(MODEL);
        late.handle.find_providers(MODEL);
        if found(&mut late).await.contains(&early_id) {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    late.settled(early_id).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_is_taken_is_reported() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("/ip4/127.0.0.1/tcp/{}", taken.local_addr().unwrap().port());
    let mut node = Node::listening(&[&address]);
    node.wait(|event| matches!(event, Event::ListenFailed { .. }).then_some(()))
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_comes_back_by_those_it_has_met_when_the_bootstrap_node_is_gone() {
    const MODEL: [u8; 32] = [4; 32];
    let (bootstrap, address) = Node::bootstrap().await;
    let bootstrap = bootstrap.in_background();
    let member = || {
        Node::start(Config {
            listen: vec![TCP.parse().unwrap()],
            bootstrap: vec![address.clone()],
            ..config()
        })
    };
    let searches = |node: &Node| {
        let handle = node.handle.clone();
        tokio::spawn(async move {
            loop {
                handle.find_providers(MODEL);
                tokio::time::sleep(std::time::Duration::from_millis(200)).await;
            }
        })
    };
    let (one, mut other, mut leaver) = (member(), member(), member());
    let (one_id, other_id) = (one.peer(), other.peer());
    let one = one.in_background();
    one.provide(MODEL);
    // Both get to know the provider.
    for node in [&mut other, &mut leaver] {
        let searching = searches(node);
        node.hello_from(one_id).await;
        searching.abort();
    }
    // Whoever dialled whom, it is known once it has said where it listens.
    let known = async {
        loop {
            let known = leaver.handle.known();
            let of_one = |it: &network::Multiaddr| it.to_string().ends_with(&one_id.to_string());
            if known.iter().any(of_one) {
                return known;
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    };
    let known = tokio::time::timeout(crate::node::PATIENCE, known)
        .await
        .expect("it is known in time");
    leaver.handle.shutdown();
    bootstrap.shutdown();
    let other = other.in_background();
    other.provide(MODEL);

    let mut back = Node::start(Config {
        listen: vec![TCP.parse().unwrap()],
        bootstrap: vec![address.clone()],
        remembered: known,
        ..config()
    });
    // It meets again whom it knew, and by them whom it did not.
    let searching = searches(&back);
    let mut missing = vec![one_id, other_id];
    back.wait(|event| {
        if let Event::Connected { peer, .. } = event {
            missing.retain(|it| *it != peer);
        }
        missing.is_empty().then_some(())
    })
    .await;
    searching.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn whom_only_the_dht_needs_is_left_again_and_nobody_hears_of_it() {
    let (bootstrap, address) = Node::bootstrap().await;
    let _bootstrap = bootstrap.in_background();
    let start = || {
        Node::start(Config {
            listen: vec![TCP.parse().unwrap()],
            bootstrap: vec![address.clone()],
            idle_timeout: std::time::Duration::from_millis(500),
            ..config()
        })
    };
    let (mut one, other) = (start(), start());
    let contact = other.peer();
    let other = other.in_background();
    let usage = |node: &network::Handle, peer| {
        let of_peer = |it: network::Connection| (it.peer == peer).then_some(it.usage);
        node.connections().into_iter().find_map(of_peer)
    };
    // Announcements are left with whoever is there.
    other.provide([3; 32]);
    let until = async |wanted: Option<network::Usage>| {
        let reached = async {
            while usage(&one.handle, contact) != wanted {
                if wanted.is_some() {
                    one.handle.provide([9; 32]);
                }
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            }
        };
        tokio::time::timeout(PATIENCE, reached).await.unwrap();
    };
    until(Some(network::Usage::Contact)).await;
    let refused = one.handle.send(contact, crate::node::request(1, 10));
    assert_eq!(refused, Err(network::SendError::NotConnected));
    until(None).await;

    // Now it is looked for.
    other.provide(MODEL);
    let mut met = Vec::new();
    while !met.contains(&contact) {
        one.handle.find_providers(MODEL);
        let met_now = one.wait(|event| match event {
            Event::Connected { peer, .. } => Some(Some(peer)),
            Event::Disconnected { peer } => panic!("{peer} was not connected"),
            Event::ProvidersFound { .. } => Some(None),
            _ => None,
        });
        met.extend(met_now.await);
    }
    assert_eq!(usage(&one.handle, contact), Some(network::Usage::Messages));
    tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    assert_eq!(usage(&one.handle, contact), Some(network::Usage::Messages));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_connected_with_the_entry_is_found_before_it_announces_anything() {
    // What the hello of these nodes names.
    const SERVED: [u8; 32] = [7; 32];
    let (bootstrap, address) = Node::bootstrap().await;
    let bootstrap_id = bootstrap.peer();
    let _bootstrap = bootstrap.in_background();
    let member = |identity: Option<network::Identity>| {
        let other = config();
        Node::start(Config {
            listen: vec![TCP.parse().unwrap()],
            bootstrap: vec![address.clone()],
            identity: identity.unwrap_or(other.identity.clone()),
            ..other
        })
    };
    // Once, and when it was started again elsewhere.
    let identity = network::Identity::generate();
    let mut before = None;
    for _ in 0..2 {
        let mut provider = member(Some(identity.clone()));
        let (name, listens) = (provider.peer(), provider.address().await);
        assert_ne!(before.replace(listens.clone()), Some(listens));
        provider.hello_from(bootstrap_id).await;
        let provider = provider.in_background();
        let mut seeker = member(None);
        let handle = seeker.handle.clone();
        let searching = tokio::spawn(async move {
            loop {
                handle.find_providers(SERVED);
                tokio::time::sleep(std::time::Duration::from_millis(200)).await;
            }
        });
        seeker.hello_from(name).await;
        searching.abort();
        seeker.handle.shutdown();
        provider.shutdown();
    }
}
