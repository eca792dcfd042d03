//! Whether others reach a node by itself, and how two that nobody reaches still do: by beginning at the same time.
//!
//! Native nodes only: a page has no address, and finds its ways by WebRTC.

use libp2p::swarm::behaviour::toggle::Toggle;

/// Both begin at once, from the ports by which they are seen (DCUtR).
#[cfg(not(target_arch = "wasm32"))]
pub(crate) type Punching = Toggle<libp2p::dcutr::Behaviour>;
/// Others are asked to dial the addresses by which they see us (AutoNAT v2).
#[cfg(not(target_arch = "wasm32"))]
pub(crate) type Probing = Toggle<libp2p::autonat::v2::client::Behaviour>;
/// Addresses are dialled for others who want to know.
#[cfg(not(target_arch = "wasm32"))]
pub(crate) type Probed = Toggle<libp2p::autonat::v2::server::Behaviour>;

#[cfg(target_arch = "wasm32")]
pub(crate) type Punching = Toggle<libp2p::swarm::dummy::Behaviour>;
#[cfg(target_arch = "wasm32")]
pub(crate) type Probing = Toggle<libp2p::swarm::dummy::Behaviour>;
#[cfg(target_arch = "wasm32")]
pub(crate) type Probed = Toggle<libp2p::swarm::dummy::Behaviour>;

/// What of it a node does.
pub(crate) struct Parts {
    pub(crate) punching: Punching,
    pub(crate) probing: Probing,
    pub(crate) probed: Probed,
}

/// Nothing of it.
#[cfg(target_arch = "wasm32")]
pub(crate) fn parts(_: &crate::Config) -> Parts {
    Parts {
        punching: None.into(),
        probing: None.into(),
        probed: None.into(),
    }
}

/// Who relays for others also tells them whether they need it.
#[cfg(not(target_arch = "wasm32"))]
pub(crate) fn parts(config: &crate::Config) -> Parts {
    use libp2p::{autonat::v2, dcutr};

    let relays = config.relay_server.is_some();
    let local = config.identity.peer_id();
    Parts {
        punching: config.direct.then(|| dcutr::Behaviour::new(local)).into(),
        probing: (!relays).then(v2::client::Behaviour::default).into(),
        probed: relays.then(v2::server::Behaviour::default).into(),
    }
}

/// How often something came about that cannot be relied on, and how often it did not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outcomes {
    /// It did.
    pub succeeded: u64,
    /// It did not.
    pub failed: u64,
}

impl Outcomes {
    #[cfg(not(target_arch = "wasm32"))]
    pub(crate) fn count<T, E>(&mut self, result: &Result<T, E>) {
        let count = match result {
            Ok(_) => &mut self.succeeded,
            Err(_) => &mut self.failed,
        };
        *count += 1;
    }
}

/// When a node has others relay for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reserve {
    /// At once.
    Always,
    /// When others see it by an address that it does not have: there is a router in between.
    WhenTranslated,
    /// Not at all.
    Never,
}
