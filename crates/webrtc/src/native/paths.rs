//! Where this machine can be reached, and how a connection found its way.

use std::{
    collections::HashMap,
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use str0m::{Candidate, CandidateKind};
use tokio::time::{Instant, sleep_until, timeout};

use super::{
    session::Way,
    socket::{Buffers, Socket},
    stun,
    turn::Relay,
};
use crate::{IceServer, core::Route};

/// Addresses of our own that are told.
const MAX_HOSTS: usize = 8;

/// Servers that are asked for the address by which they see us.
const MAX_SERVERS: usize = 4;

/// How long their answers are waited for, and how often they are asked meanwhile.
const PATIENCE: Duration = Duration::from_millis(750);
const AGAIN: Duration = Duration::from_millis(250);

/// The addresses of this machine that a socket bound to `local` has.
pub(super) fn hosts(local: SocketAddr) -> io::Result<Vec<SocketAddr>> {
    if !local.ip().is_unspecified() {
        return Ok(vec![local]);
    }
    let all: Vec<IpAddr> = if_addrs::get_if_addrs()?
        .into_iter()
        .map(|interface| interface.ip())
        .filter(|ip| ip.is_ipv4() == local.is_ipv4() && !is_link_local(*ip))
        .collect();
    let outside = all.iter().copied().filter(|ip| !ip.is_loopback());
    let mut hosts: Vec<_> = outside
        .take(MAX_HOSTS)
        .map(|ip| SocketAddr::new(ip, local.port()))
        .collect();
    if hosts.is_empty() {
        // A machine without a network is still its own.
        hosts.extend(
            all.into_iter()
                .take(1)
                .map(|ip| SocketAddr::new(ip, local.port())),
        );
    }
    Ok(hosts)
}

fn is_link_local(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    }
}

/// Candidates by which others may reach this socket: the machine's own addresses, those by which STUN servers see it, and
/// one at a TURN server, with what it takes to be there. Servers that do not answer in time are not waited for.
pub(super) async fn gather(
    socket: &Arc<Socket>,
    servers: &[IceServer],
) -> io::Result<(Vec<Candidate>, Option<Relay>)> {
    let hosts = hosts(socket.local())?;
    let mut candidates: Vec<_> = hosts
        .iter()
        .filter_map(|host| Candidate::host(*host, "udp").ok())
        .collect();
    // The address it was sent from is not told by the answer; which of our own it was makes no difference to anybody.
    let Some(base) = hosts.iter().copied().find(|host| !host.ip().is_loopback()) else {
        return Ok((candidates, None));
    };
    let (mapped, relay) = ask(socket, servers).await;
    for mapped in mapped {
        // A server on this machine sees what nobody else does.
        if !hosts.contains(&mapped) && !mapped.ip().is_loopback() {
            candidates.extend(Candidate::server_reflexive(mapped, base, "udp").ok());
        }
    }
    if let Some(address) = relay.as_ref().and_then(Relay::address) {
        candidates.extend(Candidate::relayed(address, base, "udp").ok());
    }
    Ok((candidates, relay))
}

/// The addresses by which STUN servers see this socket, and a place at a TURN server, if one gives it.
async fn ask(socket: &Arc<Socket>, servers: &[IceServer]) -> (Vec<SocketAddr>, Option<Relay>) {
    let mut addresses = Vec::new();
    let mut relay = None;
    let mut hosts = Vec::new();
    for server in servers {
        hosts.extend(
            server
                .urls
                .iter()
                .filter_map(|url| Some((server, host_of(url)?))),
        );
    }
    hosts.truncate(MAX_SERVERS);
    for (server, host) in hosts {
        let Ok(Ok(mut found)) = timeout(PATIENCE, tokio::net::lookup_host(host)).await else {
            continue;
        };
        if let Some(address) = found.find(|it| it.is_ipv4() == socket.local().is_ipv4()) {
            addresses.push(address);
            relay = relay.or_else(|| Relay::new(socket, address, server));
        }
    }
    addresses.sort_unstable();
    addresses.dedup();
    let mut asked: HashMap<[u8; 12], SocketAddr> = addresses
        .into_iter()
        .map(|server| (rand::random(), server))
        .collect();
    let mut mapped = Vec::new();
    let mut buffers = Buffers::small();
    let deadline = Instant::now() + PATIENCE;
    let mut again = Instant::now();
    let mut said = Vec::new();
    while Instant::now() < deadline
        && (!asked.is_empty() || relay.as_ref().is_some_and(Relay::is_pending))
    {
        if Instant::now() >= again {
            for (id, server) in &asked {
                socket.send_to(*server, &stun::request(*id)).await;
            }
            again = Instant::now() + AGAIN;
        }
        let mut next = again.min(deadline);
        if let Some(relay) = &mut relay {
            next = next.min(relay.poll(&mut said).into());
            for datagram in said.drain(..) {
                socket.send_to(relay.server(), &datagram).await;
            }
            if asked.is_empty() && !relay.is_pending() {
                break;
            }
        }
        let look = |source, _, data: &[u8]| {
            if let Some((id, address)) = stun::answer(data)
                && asked.remove(&id).is_some()
            {
                mapped.push(address);
            } else if let Some(relay) = relay.as_mut().filter(|it| it.server() == source) {
                // Nobody knows yet that we are there.
                let _ = relay.received(data);
            }
        };
        tokio::select! {
            received = socket.receive(&mut buffers, look) => if received.is_err() {
                break;
            },
            () = sleep_until(next) => {}
        }
    }
    (mapped, relay.filter(|it| it.address().is_some()))
}

/// Host and port of a server that speaks STUN over UDP, which a TURN server does, too.
fn host_of(url: &str) -> Option<String> {
    let rest = url
        .strip_prefix("stun:")
        .or_else(|| url.strip_prefix("turn:"))?;
    let (host, query) = rest.split_once('?').unwrap_or((rest, ""));
    if !matches!(query, "" | "transport=udp") {
        return None;
    }
    let has_port = host
        .rsplit_once(':')
        .is_some_and(|(before, port)| port.parse::<u16>().is_ok() && !before.ends_with(':'));
    Some(if has_port {
        host.to_owned()
    } else {
        format!("{host}:3478")
    })
}

/// How packets travel, by what the peer has said of its addresses.
pub(super) fn route(way: Option<Way>, theirs: &HashMap<SocketAddr, CandidateKind>) -> Route {
    match way.and_then(|way| theirs.get(&way.destination)) {
        Some(CandidateKind::Host) => Route::Direct,
        Some(CandidateKind::Relayed) => Route::Turn,
        // One that was not told either: a router made it up, or a browser keeps its own address to itself.
        Some(CandidateKind::ServerReflexive | CandidateKind::PeerReflexive) | None => {
            Route::Punched
        }
    }
}

/// Where any socket is bound from which others are asked.
pub(super) const ANYWHERE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;

    #[test]
    fn servers_are_found_in_their_urls() {
        assert_eq!(host_of("stun:a.example").as_deref(), Some("a.example:3478"));
        assert_eq!(
            host_of("turn:a.example:5000?transport=udp").as_deref(),
            Some("a.example:5000")
        );
        assert_eq!(host_of("stun:[::1]:7").as_deref(), Some("[::1]:7"));
        assert_eq!(host_of("stun:[::1]").as_deref(), Some("[::1]:3478"));
        assert_eq!(host_of("turn:a.example?transport=tcp"), None);
        assert_eq!(host_of("turns:a.example"), None);
    }

    #[tokio::test]
    async fn a_server_says_by_which_address_it_sees_us() {
        let loopback = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let (server, client) = (
            Socket::bind(loopback).unwrap(),
            Arc::new(Socket::bind(loopback).unwrap()),
        );
        let address = server.local();
        let url = format!("stun:{address}");
        tokio::spawn(async move {
            let mut buffers = Buffers::small();
            let mut asked = Vec::new();
            loop {
                server
                    .receive(&mut buffers, |source, _, data| {
                        asked.push((source, stun::reply(data, source).unwrap()));
                    })
                    .await
                    .unwrap();
                for (source, bytes) in asked.drain(..) {
                    server.send_to(source, &bytes).await;
                }
            }
        });
        let servers = [IceServer {
            urls: vec![url],
            ..IceServer::default()
        }];
        let (seen, relay) = ask(&client, &servers).await;
        assert_eq!(seen, [client.local()]);
        assert!(relay.is_none());
    }

    #[tokio::test]
    async fn a_place_that_is_not_needed_any_more_is_given_back() {
        let loopback = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let issuer = turn::Issuer::random();
        let server = turn::Server::bind(loopback, issuer, turn::Limits::default());
        let server = server.await.unwrap();
        tokio::spawn(server.clone().run());
        let credentials = server.issue(SystemTime::now());
        let servers = [IceServer {
            urls: vec![server.url()],
            username: Some(credentials.username),
            credential: Some(credentials.password),
        }];
        let client = Arc::new(Socket::bind(loopback).unwrap());
        let (_, relay) = ask(&client, &servers).await;
        assert!(relay.unwrap().address().is_some(), "and it was dropped");
        let given_back = async {
            while server.traffic().clients > 0 {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        timeout(Duration::from_secs(20), given_back).await.unwrap();
    }
}
