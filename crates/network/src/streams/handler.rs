use std::{
    collections::VecDeque,
    convert::Infallible,
    future::{Ready, ready},
    task::{Context, Poll},
};

use libp2p::{
    InboundUpgrade, OutboundUpgrade, Stream, StreamProtocol,
    core::UpgradeInfo,
    swarm::{
        ConnectionHandler, ConnectionHandlerEvent, StreamUpgradeError, SubstreamProtocol,
        handler::{
            ConnectionEvent, DialUpgradeError, FullyNegotiatedInbound, FullyNegotiatedOutbound,
        },
    },
};

use super::{Outcome, Purpose};

/// How many streams a peer may open before we have looked at the first; further ones are closed.
const MAX_WAITING: usize = 16;

/// Asks the handler for a stream.
#[derive(Debug)]
pub(crate) struct Open(pub(super) Purpose);

#[derive(Debug)]
pub(crate) struct Report {
    pub(super) purpose: Purpose,
    pub(super) outcome: Outcome,
}

pub(crate) struct Handler {
    accepted: Vec<Purpose>,
    wanted: VecDeque<Purpose>,
    reports: VecDeque<Report>,
}

impl Handler {
    pub(super) fn new(accepted: &[Purpose]) -> Self {
        Self {
            accepted: accepted.to_vec(),
            wanted: VecDeque::new(),
            reports: VecDeque::new(),
        }
    }
}

/// Negotiates nothing beyond the name of the protocol.
pub(crate) struct Names(Vec<Purpose>);

impl UpgradeInfo for Names {
    type Info = StreamProtocol;
    type InfoIter = Vec<StreamProtocol>;

    fn protocol_info(&self) -> Self::InfoIter {
        self.0.iter().map(|purpose| purpose.protocol()).collect()
    }
}

impl InboundUpgrade<Stream> for Names {
    type Output = Option<(Purpose, Stream)>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Output, Infallible>>;

    fn upgrade_inbound(self, stream: Stream, name: StreamProtocol) -> Self::Future {
        let purpose = self
            .0
            .into_iter()
            .find(|purpose| purpose.protocol() == name);
        ready(Ok(purpose.map(|purpose| (purpose, stream))))
    }
}

impl OutboundUpgrade<Stream> for Names {
    type Output = Stream;
    type Error = Infallible;
    type Future = Ready<Result<Stream, Infallible>>;

    fn upgrade_outbound(self, stream: Stream, _: StreamProtocol) -> Self::Future {
        ready(Ok(stream))
    }
}

impl ConnectionHandler for Handler {
    type FromBehaviour = Open;
    type ToBehaviour = Report;
    type InboundProtocol = Names;
    type OutboundProtocol = Names;
    type InboundOpenInfo = ();
    type OutboundOpenInfo = Purpose;

    fn listen_protocol(&self) -> SubstreamProtocol<Names> {
        SubstreamProtocol::new(Names(self.accepted.clone()), ())
    }

    fn on_behaviour_event(&mut self, Open(purpose): Open) {
        self.wanted.push_back(purpose);
    }

    fn on_connection_event(&mut self, event: ConnectionEvent<Names, Names, (), Purpose>) {
        let report = match event {
            ConnectionEvent::FullyNegotiatedInbound(FullyNegotiatedInbound {
                protocol: Some((purpose, stream)),
                ..
            }) if self.reports.len() < MAX_WAITING => Report {
                purpose,
                outcome: Outcome::Inbound(stream),
            },
            ConnectionEvent::FullyNegotiatedOutbound(FullyNegotiatedOutbound {
                protocol: stream,
                info: purpose,
            }) => Report {
                purpose,
                outcome: Outcome::Opened(stream),
            },
            ConnectionEvent::DialUpgradeError(DialUpgradeError {
                info: purpose,
                error,
            }) => {
                let outcome = match error {
                    StreamUpgradeError::NegotiationFailed => Outcome::Unsupported,
                    StreamUpgradeError::Timeout => Outcome::Failed("timed out".to_owned()),
                    StreamUpgradeError::Io(error) => Outcome::Failed(error.to_string()),
                    StreamUpgradeError::Apply(never) => match never {},
                };
                Report { purpose, outcome }
            }
            _ => return,
        };
        self.reports.push_back(report);
    }

    fn poll(
        &mut self,
        _: &mut Context<'_>,
    ) -> Poll<ConnectionHandlerEvent<Names, Purpose, Report>> {
        if let Some(report) = self.reports.pop_front() {
            return Poll::Ready(ConnectionHandlerEvent::NotifyBehaviour(report));
        }
        if let Some(purpose) = self.wanted.pop_front() {
            let protocol = SubstreamProtocol::new(Names(vec![purpose]), purpose);
            return Poll::Ready(ConnectionHandlerEvent::OutboundSubstreamRequest { protocol });
        }
        Poll::Pending
    }
}
