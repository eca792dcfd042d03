//! The probe as a page of a browser has it.
#![cfg(target_arch = "wasm32")]
#![allow(missing_docs, reason = "nobody but the page next to it calls this")]

use std::time::Duration;

use futures::StreamExt as _;
use network::{Config, Event, Events, Handle, Identity, Multiaddr, PeerId};
use probe::{Effort, Lost};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::spawn_local;

/// A node that enters the network through one with an address.
#[wasm_bindgen]
pub struct Probe {
    handle: Handle,
    events: Events,
    me: PeerId,
    entry: String,
}

fn failed(error: impl ToString) -> JsError {
    JsError::new(&error.to_string())
}

#[wasm_bindgen]
impl Probe {
    #[wasm_bindgen(constructor)]
    pub fn new(entry: &str) -> Result<Self, JsError> {
        let mut config = Config::new(Identity::generate());
        config.bootstrap = vec![entry.parse::<Multiaddr>()?];
        let me = config.identity.peer_id();
        let (handle, events, driver) = network::start(config)?;
        spawn_local(driver);
        Ok(Self {
            handle,
            events,
            me,
            entry: entry.to_owned(),
        })
    }

    /// Its peer id.
    #[wasm_bindgen(getter)]
    pub fn peer(&self) -> String {
        self.me.to_string()
    }

    /// Waits until the entry relays for it, so that it can be found.
    pub async fn reserved(mut self) -> Result<Self, JsError> {
        loop {
            let event = self.events.next().await;
            match event.ok_or_else(|| failed(Lost::Ended))? {
                Event::Listening { address } if address.to_string().contains("/p2p-circuit") => {
                    return Ok(self);
                }
                Event::BootstrapUnreachable { reason, .. } => return Err(failed(reason)),
                _ => {}
            }
        }
    }

    /// Answers until who asks has gone.
    pub async fn answer(mut self) -> Result<(), JsError> {
        probe::answer(&self.handle, &mut self.events, drop)
            .await
            .map_err(failed)
    }

    /// Connects with somebody whom the entry relays for, directly in the end, and measures so many rounds, for about so
    /// many seconds.
    pub async fn ask(
        mut self,
        peer: &str,
        rounds: usize,
        seconds: f64,
    ) -> Result<JsValue, JsError> {
        let peer: PeerId = peer.parse()?;
        let relayed: Multiaddr = format!("{}/p2p-circuit/p2p/{peer}", self.entry).parse()?;
        self.handle.dial(relayed);
        let met = probe::met(&mut self.events, Some(peer)).await;
        let peer = met.map_err(failed)?;
        let effort = Effort {
            rounds,
            within: Duration::try_from_secs_f64(seconds)?,
        };
        let measured = probe::ask(&self.handle, &mut self.events, peer, effort);
        Ok(serde_wasm_bindgen::to_value(
            &measured.await.map_err(failed)?,
        )?)
    }
}
