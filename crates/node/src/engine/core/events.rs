//! What the network reports, as the swarm's core wants to hear it.

use super::super::{Notice, swarm_peer};
use super::Core;
use protocol::Message;
use swarm::Event;
use tracing::debug;

impl Core {
    pub(super) fn network_event(&mut self, event: network::Event) {
        let now = self.now();
        let event = match event {
            network::Event::Connected { peer, path } => {
                debug!(%peer, address = %path.address, relayed = path.relayed, "connected");
                Event::Connected {
                    peer: swarm_peer(&peer),
                    relayed: path.relayed,
                }
            }
            network::Event::PathChanged { peer, path } => Event::Connected {
                peer: swarm_peer(&peer),
                relayed: path.relayed,
            },
            network::Event::Disconnected { peer } => {
                debug!(%peer, "disconnected");
                Event::Disconnected {
                    peer: swarm_peer(&peer),
                }
            }
            network::Event::Message { peer, message } => {
                let runs = match &message {
                    Message::Hello(said) => said.runs.as_ref(),
                    Message::HoldingsChanged(said) => said.runs.as_ref(),
                    _ => None,
                };
                if let Some(runs) = runs {
                    debug!(%peer, layers = ?runs.layers, time = ?runs.time, "runs layers");
                }
                Event::Message {
                    peer: swarm_peer(&peer),
                    message,
                }
            }
            network::Event::Violation { peer, reason } => Event::Violation {
                peer: swarm_peer(&peer),
                reason,
            },
            network::Event::Heartbeat { peer, heartbeat } => Event::Heartbeat {
                peer: swarm_peer(&peer),
                heartbeat,
            },
            network::Event::Observed { ip, dialled } => {
                debug!(%ip, dialled, "seen by others");
                Event::Observed { ip, dialled }
            }
            network::Event::RoundTrip { peer, time } => {
                debug!(%peer, ?time, "round trip");
                Event::RoundTrip {
                    peer: swarm_peer(&peer),
                    time,
                }
            }
            network::Event::Listening { address } => {
                return self.notice(Notice::Listening(address));
            }
            network::Event::ListenFailed { address, reason } => {
                return self.notice(Notice::ListenFailed { address, reason });
            }
            network::Event::DialFailed { address, reason }
            | network::Event::BootstrapUnreachable {
                address, reason, ..
            } => {
                return self.notice(Notice::Unreachable { address, reason });
            }
            network::Event::ProvidersFound { providers, .. } => {
                debug!(count = providers.len(), "providers found");
                return;
            }
        };
        self.node.handle_event(event, now);
    }
}
