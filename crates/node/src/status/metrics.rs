//! The status as Prometheus reads it.

use super::{Bytes, Connection, Status};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, text};
use prometheus_client::metrics::TypedMetric;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};
use std::collections::BTreeMap;
use std::fmt;

pub(crate) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The metrics in the OpenMetrics text format.
pub(crate) fn text(status: Status) -> Result<String, fmt::Error> {
    let mut registry = Registry::with_prefix("iap2p");
    registry.register_collector(Box::new(status));
    let mut out = String::new();
    text::encode(&mut out, &registry)?;
    Ok(out)
}

type Labels<'a> = Vec<(&'static str, &'a str)>;

/// One metric with a value for each set of labels.
fn family<'a, M: EncodeMetric + TypedMetric>(
    encoder: &mut DescriptorEncoder<'_>,
    (name, help, unit): (&str, &str, Option<Unit>),
    values: impl IntoIterator<Item = (Labels<'a>, M)>,
) -> fmt::Result {
    let mut family = encoder.encode_descriptor(name, help, unit.as_ref(), M::TYPE)?;
    for (labels, value) in values {
        value.encode(family.encode_family(&labels)?)?;
    }
    Ok(())
}

fn relayed(relayed: bool) -> (&'static str, &'static str) {
    ("relayed", if relayed { "true" } else { "false" })
}

fn both<'a>(labels: &Labels<'a>, bytes: Bytes) -> [(Labels<'a>, ConstCounter<u64>); 2] {
    [("sent", bytes.sent), ("received", bytes.received)].map(|(direction, bytes)| {
        let mut labels = labels.clone();
        labels.push(("direction", direction));
        (labels, ConstCounter::new(bytes))
    })
}

/// What stands between this node and a peer.
#[derive(Default)]
struct Between {
    /// Of several connections of one kind, the shorter.
    round_trip_ms: Option<f64>,
    /// Of all of them.
    bytes: Bytes,
}

/// The connections by what tells them apart in metrics. Two that differ in nothing of it, as there are when both ends dial
/// at once, are one series, since a series may have one value only.
fn series(connections: &[Connection]) -> Vec<(Labels<'_>, Between)> {
    let mut all: BTreeMap<_, Between> = BTreeMap::new();
    for it in connections {
        let one = all
            .entry((&*it.peer, &*it.transport, it.relayed))
            .or_default();
        one.bytes.sent += it.bytes.sent;
        one.bytes.received += it.bytes.received;
        let times = one.round_trip_ms.into_iter().chain(it.round_trip_ms);
        one.round_trip_ms = times.reduce(f64::min);
    }
    all.into_iter()
        .map(|((peer, transport, via), between)| {
            let labels = vec![("peer", peer), ("transport", transport), relayed(via)];
            (labels, between)
        })
        .collect()
}

impl Collector for Status {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let e = &mut encoder;
        let connections = series(&self.connections);
        let gauge = |value: usize| ConstGauge::new(value as u64);
        let counter = ConstCounter::new;

        let about = Info::new(vec![
            ("agent", self.agent.clone()),
            ("kind", self.kind.clone()),
            ("peer", self.peer.clone()),
        ]);
        let descriptor = e.encode_descriptor("node", "The node", None, about.metric_type())?;
        about.encode(descriptor)?;
        family(
            e,
            ("uptime", "Time since the start", Some(Unit::Seconds)),
            [(vec![], ConstGauge::new(self.started))],
        )?;

        let mut connected: BTreeMap<(&str, bool, &str), usize> = BTreeMap::new();
        for it in &self.connections {
            let kind = (&*it.transport, it.relayed, &*it.usage);
            *connected.entry(kind).or_default() += 1;
        }
        family(
            e,
            (
                "connections",
                "Connections by what carries them and what they are for",
                None,
            ),
            connected
                .into_iter()
                .map(|((transport, via, usage), count)| {
                    let labels = vec![("transport", transport), relayed(via), ("usage", usage)];
                    (labels, gauge(count))
                }),
        )?;
        family(
            e,
            (
                "round_trip",
                "The last round trip measured, for each connection",
                Some(Unit::Seconds),
            ),
            connections.iter().filter_map(|(labels, it)| {
                Some((labels.clone(), ConstGauge::new(it.round_trip_ms? / 1e3)))
            }),
        )?;
        family(
            e,
            (
                "connection",
                "Bytes of messages, for each connection that stands",
                Some(Unit::Bytes),
            ),
            connections
                .iter()
                .flat_map(|(labels, it)| both(labels, it.bytes)),
        )?;
        family(
            e,
            ("message", "Bytes of messages", Some(Unit::Bytes)),
            self.traffic.iter().flat_map(|it| {
                let labels = vec![("transport", it.transport.as_str()), relayed(it.relayed)];
                both(&labels, it.bytes)
            }),
        )?;
        family(
            e,
            (
                "content",
                "Bytes of fragments and manifests",
                Some(Unit::Bytes),
            ),
            both(&vec![], self.content),
        )?;
        family(
            e,
            ("banned", "Peers banned", None),
            [(vec![], counter(self.banned))],
        )?;

        for (name, help, count) in [
            (
                "other_versions",
                "Peers met that speak another version of the messages",
                self.other_versions,
            ),
            (
                "connections_refused",
                "Connections refused because there were too many",
                self.refused_connections,
            ),
            (
                "handshakes_failed",
                "Connections that others began and that came to nothing",
                self.failed_handshakes,
            ),
            (
                "web_received_bytes",
                "Bytes of fragments that came from web servers",
                self.web_received,
            ),
            (
                "stalled",
                "Peers disconnected because they did not go on with what they had begun",
                self.stalled,
            ),
        ] {
            family(e, (name, help, None), [(vec![], counter(count))])?;
        }

        let open = ConstGauge::new(self.relay.open);
        let help = "Connections of others that go through this node";
        family(e, ("relay_circuits", help, None), [(vec![], open)])?;
        let opened = counter(self.relay.opened);
        let help = "Connections of others that have gone through this node";
        family(e, ("relay_circuits_opened", help, None), [(vec![], opened)])?;

        for (name, help, count) in [
            (
                "hole_punches",
                "Nodes behind routers that were dialled while they dialled this one",
                self.hole_punches,
            ),
            (
                "address_probes",
                "Addresses by which others see this node, where they were asked to reach it",
                self.probes,
            ),
        ] {
            let counts = [("succeeded", count.succeeded), ("failed", count.failed)];
            let counts =
                counts.map(|(outcome, count)| (vec![("outcome", outcome)], counter(count)));
            family(e, (name, help, None), counts)?;
        }

        if let Some(turn) = &self.turn {
            family(
                e,
                ("turn_clients", "Clients of the TURN server", None),
                [(vec![], ConstGauge::new(turn.clients))],
            )?;
            for (name, help, count) in [
                (
                    "turn_relayed_bytes",
                    "Bytes the TURN server has handed on",
                    turn.relayed,
                ),
                (
                    "turn_dropped_bytes",
                    "Bytes the TURN server has not handed on because there were too many",
                    turn.dropped,
                ),
                (
                    "turn_refused",
                    "Requests the TURN server has not answered because there were too many",
                    turn.refused,
                ),
            ] {
                family(e, (name, help, None), [(vec![], counter(count))])?;
            }
        }

        let requests = &self.requests;
        family(
            e,
            ("requests_now", "Requests to compute that are open", None),
            [
                (vec![("state", "in-flight")], gauge(requests.in_flight)),
                (vec![("state", "waiting")], gauge(requests.waiting)),
                (vec![("state", "incoming")], gauge(requests.incoming)),
            ],
        )?;
        let own = |outcome, count| (vec![("outcome", outcome)], counter(count));
        family(
            e,
            ("requests", "Own requests to compute", None),
            [
                own("answered-locally", requests.answered_locally),
                own("answered-by-peers", requests.answered_by_peers),
                own("failed", requests.failed),
            ],
        )?;
        for (name, help, count) in [
            (
                "requests_hedged",
                "Own requests sent to a second holder because the first was late",
                requests.hedged,
            ),
            (
                "requests_resent",
                "Own requests sent elsewhere because a holder left or erred",
                requests.resent,
            ),
            (
                "served",
                "Requests of others answered here",
                requests.served,
            ),
            (
                "expired",
                "Requests of others not begun because they had waited too long",
                requests.expired,
            ),
            (
                "stages_served",
                "Tokens or prompts of others that went through layers run here",
                requests.stages_served,
            ),
            (
                "stages_lost",
                "Own tokens or prompts that were lost with whoever ran the layers, and were sent to others",
                requests.stages_lost,
            ),
            (
                "jobs_served",
                "Answers finished here for others",
                requests.jobs_served,
            ),
            (
                "refused",
                "Requests of others refused because too many waited",
                requests.refused,
            ),
        ] {
            family(e, (name, help, None), [(vec![], counter(count))])?;
        }

        let api = &self.api;
        family(
            e,
            ("api_now", "Requests to the HTTP API that are open", None),
            [
                (vec![("state", "answering")], ConstGauge::new(api.answering)),
                (vec![("state", "waiting")], ConstGauge::new(api.waiting)),
            ],
        )?;
        family(
            e,
            ("api_requests", "Requests to the HTTP API", None),
            [
                own("answered", api.answered),
                own("stopped", api.stopped),
                own("failed", api.failed),
                own("refused", api.refused),
            ],
        )?;
        let tokens = |kind, count| (vec![("kind", kind)], counter(count));
        family(
            e,
            ("api_tokens", "Tokens read and said for the HTTP API", None),
            [
                tokens(
                    "prompt",
                    api.prompt_tokens - api.cached_tokens.min(api.prompt_tokens),
                ),
                tokens("cached", api.cached_tokens),
                tokens("answer", api.answer_tokens),
            ],
        )?;
        for (name, help, sum) in [
            (
                "api_first_token",
                "Time until the first token of each answer of the HTTP API, added up",
                api.first_token_seconds,
            ),
            (
                "api_answer",
                "Time until the last token of each answer of the HTTP API, added up",
                api.answer_seconds,
            ),
        ] {
            let unit = Some(Unit::Seconds);
            family(e, (name, help, unit), [(vec![], ConstCounter::new(sum))])?;
        }

        family(
            e,
            ("tasks", "Tasks that the program has under way", None),
            [(vec![], gauge(self.tasks))],
        )?;
        if let Some(model) = &self.model {
            for (name, help, count) in [
                ("model_fragments", "Fragments of the model", model.fragments),
                (
                    "covered_fragments",
                    "Fragments that somebody in sight computes on",
                    model.covered,
                ),
                (
                    "computed_fragments",
                    "Fragments that this node computes on",
                    model.computes,
                ),
                (
                    "lacking_fragments",
                    "Fragments that have fewer replicas than are wanted",
                    model.lacking,
                ),
                (
                    "wanted_replicas_always_active",
                    "Replicas wanted of fragments that every token needs",
                    model.wanted_always as usize,
                ),
                (
                    "wanted_replicas_conditional",
                    "Replicas wanted of fragments of experts",
                    model.wanted_of_experts as usize,
                ),
                (
                    "members",
                    "Nodes that take part besides this one, connected or heard of",
                    model.members,
                ),
                (
                    "heard_members",
                    "Nodes whose heartbeats were heard",
                    model.heard,
                ),
            ] {
                family(e, (name, help, None), [(vec![], gauge(count))])?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Outcomes, Relay, Traffic};
    use super::*;

    #[test]
    fn a_status_is_told_in_the_open_metrics_format() {
        let bytes = Bytes {
            sent: 7,
            received: 9,
        };
        let connection = Connection {
            peer: "12D3\"x".into(),
            transport: "quic".into(),
            usage: "messages".into(),
            round_trip_ms: Some(1.5),
            bytes,
            ..Connection::default()
        };
        let slower = Connection {
            round_trip_ms: Some(20.0),
            ..connection.clone()
        };
        let status = Status {
            connections: vec![connection, slower],
            traffic: vec![Traffic {
                transport: "quic".into(),
                relayed: true,
                bytes,
            }],
            banned: 3,
            relay: Relay { open: 2, opened: 6 },
            hole_punches: Outcomes {
                succeeded: 4,
                failed: 5,
            },
            ..Status::default()
        };
        let text = text(status).unwrap();
        for line in [
            "# TYPE iap2p_connections gauge",
            "iap2p_connections{transport=\"quic\",relayed=\"false\",usage=\"messages\"} 2",
            "iap2p_round_trip_seconds{peer=\"12D3\\\"x\",transport=\"quic\",relayed=\"false\"} 0.0015",
            "iap2p_connection_bytes_total{peer=\"12D3\\\"x\",transport=\"quic\",relayed=\"false\",direction=\"sent\"} 14",
            "iap2p_message_bytes_total{transport=\"quic\",relayed=\"true\",direction=\"received\"} 9",
            "iap2p_banned_total 3",
            "iap2p_relay_circuits 2",
            "iap2p_relay_circuits_opened_total 6",
            "iap2p_hole_punches_total{outcome=\"succeeded\"} 4",
            "iap2p_hole_punches_total{outcome=\"failed\"} 5",
            "iap2p_address_probes_total{outcome=\"failed\"} 0",
            "# EOF",
        ] {
            assert!(text.lines().any(|it| it == line), "{line} in\n{text}");
        }
        let mut series: Vec<_> = text.lines().map(|it| it.rsplit_once(' ')).collect();
        let all = series.len();
        series.sort_unstable();
        series.dedup_by_key(|it| it.map(|(name, _)| name));
        assert_eq!(series.len(), all, "two values of one series in\n{text}");
    }
}
