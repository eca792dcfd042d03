//! Where this machine can be reached, and how a connection found its way.

use std::{
    collections::HashMap,
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::Duration,
};

use str0m::{Candidate, CandidateKind};
use tokio::time::{Instant, sleep_until, timeout};

use super::{
    socket::{Buffers, Socket},
    stun,
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

/// Candidates by which others may reach this socket: the machine's own addresses, and those by which STUN servers see
/// it. Servers that do not answer in time are not waited for.
pub(super) async fn gather(socket: &Socket, servers: &[IceServer]) -> io::Result<Vec<Candidate>> {
    let hosts = hosts(socket.local())?;
    let mut candidates: Vec<_> = hosts
        .iter()
        .filter_map(|host| Candidate::host(*host, "udp").ok())
        .collect();
    // The address it was sent from is not told by the answer; which of our own it was makes no difference to anybody.
    let Some(base) = hosts.iter().copied().find(|host| !host.ip().is_loopback()) else {
        return Ok(candidates);
    };
    for mapped in reflexive(socket, servers).await {
        // A server on this machine sees what nobody else does.
        if !hosts.contains(&mapped) && !mapped.ip().is_loopback() {
            candidates.extend(Candidate::server_reflexive(mapped, base, "udp").ok());
        }
    }
    Ok(candidates)
}

/// The addresses by which STUN servers see this socket.
async fn reflexive(socket: &Socket, servers: &[IceServer]) -> Vec<SocketAddr> {
    let mut addresses = Vec::new();
    let urls = servers.iter().flat_map(|server| &server.urls);
    for host in urls.filter_map(|url| host_of(url)).take(MAX_SERVERS) {
        if let Ok(Ok(found)) = timeout(PATIENCE, tokio::net::lookup_host(host)).await {
            addresses.extend(
                found
                    .filter(|it| it.is_ipv4() == socket.local().is_ipv4())
                    .take(1),
            );
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
    let mut ask = Instant::now();
    while !asked.is_empty() && Instant::now() < deadline {
        if Instant::now() >= ask {
            for (id, server) in &asked {
                socket.send_to(*server, &stun::request(*id)).await;
            }
            ask = Instant::now() + AGAIN;
        }
        let look = |_, _, data: &[u8]| {
            if let Some((id, address)) = stun::answer(data)
                && asked.remove(&id).is_some()
            {
                mapped.push(address);
            }
        };
        tokio::select! {
            received = socket.receive(&mut buffers, look) => if received.is_err() {
                break;
            },
            () = sleep_until(ask.min(deadline)) => {}
        }
    }
    mapped
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

/// How packets to `destination` travel, by what the peer has said of its addresses.
pub(super) fn route(
    destination: Option<SocketAddr>,
    theirs: &HashMap<SocketAddr, CandidateKind>,
) -> Route {
    match destination.and_then(|address| theirs.get(&address)) {
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
            Socket::bind(loopback).unwrap(),
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
        assert_eq!(reflexive(&client, &servers).await, [client.local()]);
    }
}
