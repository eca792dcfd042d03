use anyhow::{Context, Result};
use clap::Args;
use network::{Grant, Granter};
use std::net::{SocketAddr, ToSocketAddrs};
use std::num::{NonZeroU32, NonZeroU64};
use std::time::{Duration, SystemTime};
use tokio::time::timeout;
use turn::{Issuer, Limits, Server};

/// The port that TURN servers usually have.
const PORT: u16 = 3478;

/// How long it may take to learn what address a domain has.
const RESOLVING: Duration = Duration::from_secs(5);

/// Help for those whose routers let no direct connection through.
#[derive(Args)]
#[command(next_help_heading = "TURN")]
pub(crate) struct TurnOptions {
    /// Hand on between nodes what their routers let through in no other way, by UDP at this address, which is the one
    /// that others reach this machine by. With --domain: its address, port 3478
    #[arg(long, value_name = "IP:PORT", env = "IAP2P_TURN")]
    turn: Option<SocketAddr>,
    /// With --domain: do not
    #[arg(long, conflicts_with = "turn")]
    no_turn: bool,
    /// Hand on at most so many bytes a second altogether, and a quarter of that for one client
    #[arg(long, value_name = "BYTES", env = "IAP2P_TURN_LIMIT", value_parser = super::node::bytes, default_value = "8M")]
    turn_limit: NonZeroU64,
}

impl TurnOptions {
    /// Starts the server, if there is to be one; a domain leads to it by its address.
    pub(crate) async fn start(&self, domain: Option<&str>) -> Result<Option<Server>> {
        let address = match (self.turn, domain) {
            (Some(address), _) => address,
            (None, Some(domain)) if !self.no_turn => match resolve(domain).await {
                Ok(address) => address,
                Err(error) => {
                    eprintln!("note: no TURN, since {domain} leads nowhere yet ({error:#})");
                    return Ok(None);
                }
            },
            (None, _) => return Ok(None),
        };
        let most = NonZeroU32::try_from(self.turn_limit).unwrap_or(NonZeroU32::MAX);
        let server = Server::bind(address, Issuer::random(), Limits::handing_on(most))
            .await
            .with_context(|| format!("cannot serve TURN at {address}; choose another --turn"))?;
        tokio::spawn(server.clone().run());
        Ok(Some(server))
    }
}

async fn resolve(domain: &str) -> Result<SocketAddr> {
    let name = (domain.to_owned(), PORT);
    // The node has better things to do than to wait for a resolver.
    let found = tokio::task::spawn_blocking(move || name.to_socket_addrs());
    let found = timeout(RESOLVING, found).await.context("nobody says")???;
    let mut found: Vec<SocketAddr> = found.collect();
    // Every client has an IPv4 address, if only behind a router.
    found.sort_by_key(SocketAddr::is_ipv6);
    found.into_iter().next().context("it has no address")
}

/// Gives peers credentials for a server.
pub(super) fn granter(server: &Server) -> Granter {
    let server = server.clone();
    Granter::new(move || {
        let credentials = server.issue(SystemTime::now());
        Grant {
            url: server.url(),
            username: credentials.username,
            password: credentials.password,
            seconds: credentials
                .lifetime
                .as_secs()
                .try_into()
                .unwrap_or(u32::MAX),
        }
    })
}
