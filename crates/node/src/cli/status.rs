use crate::api;
use crate::status::{self, Status};
use anyhow::{Context, Result, bail};
use clap::Args;
use comfy_table::{CellAlignment, Table, presets};
use console::Term;
use indicatif::{HumanBytes, HumanDuration};
use std::collections::HashMap;
use std::io::Write;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// A node on this machine answers at once, one at the other end of the world within a second.
const PATIENCE: Duration = Duration::from_secs(10);
/// A node has thousands of connections at most.
const MAX_BYTES: u64 = 64 << 20;

/// Say how the nodes of this account are: what they hold, with whom they are connected and how
///
/// Every node tells this on its own machine, where `iap2p status` finds it. To watch it from elsewhere, have it listen
/// for that (`iap2p serve --status 0.0.0.0:9100`); Prometheus reads the same at `/metrics`.
#[derive(Args)]
pub(crate) struct Options {
    /// Where a node tells its status, such as 192.168.1.7:9100 [default: all nodes of this account]
    #[arg(value_name = "ADDRESS", conflicts_with = "key")]
    address: Option<String>,
    /// Only the node with this key
    #[arg(long, value_name = "FILE", env = "IAP2P_KEY")]
    key: Option<PathBuf>,
    /// Print JSON, one object a line for each node
    #[arg(long)]
    json: bool,
    /// Show it anew every so many seconds, with what has gone through since, until Ctrl-C
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, require_equals = true, default_missing_value = "2", conflicts_with = "json", value_parser = clap::value_parser!(u64).range(1..=3600))]
    watch: Option<u64>,
}

impl Options {
    pub(crate) fn run(self) -> Result<()> {
        if let Some(seconds) = self.watch {
            return self.watch(Duration::from_secs(seconds));
        }
        let nodes = self.nodes()?;
        let mut out = std::io::stdout().lock();
        for (place, node) in nodes.iter().enumerate() {
            if self.json {
                writeln!(out, "{}", serde_json::to_string(node)?)?;
                continue;
            }
            if place > 0 {
                writeln!(out)?;
            }
            write!(out, "{}", in_words(node))?;
        }
        Ok(())
    }

    fn nodes(&self) -> Result<Vec<Status>> {
        let nodes = match &self.address {
            Some(address) => vec![ask(&url(address))?],
            None => status::running(self.key.as_deref())?
                .iter()
                // Of one that was killed the file is left.
                .filter_map(|url| {
                    ask(url)
                        .inspect_err(|error| tracing::info!("{error:#}"))
                        .ok()
                })
                .collect(),
        };
        if nodes.is_empty() {
            bail!("no node of this account runs here; start one with `iap2p serve`");
        }
        Ok(nodes)
    }

    /// A screen of it, again and again. Nodes that do not answer are waited for.
    fn watch(&self, every: Duration) -> Result<()> {
        let term = Term::stdout();
        let mut before: HashMap<String, (Instant, Status)> = HashMap::new();
        loop {
            let screen = match self.nodes() {
                Ok(nodes) => {
                    let now = Instant::now();
                    let text = nodes.iter().map(|node| {
                        let earlier = before.get(&node.peer);
                        let passed =
                            earlier.map(|(at, it)| flow(it, node, now.duration_since(*at)));
                        in_words(node) + &passed.unwrap_or_default()
                    });
                    let text = text.collect::<Vec<_>>().join("\n");
                    before = nodes
                        .into_iter()
                        .map(|it| (it.peer.clone(), (now, it)))
                        .collect();
                    text
                }
                Err(error) => format!("{error:#}\n"),
            };
            term.clear_screen()?;
            // What does not fit would push the beginning out of sight.
            let (rows, columns) = term.size();
            let mut left = usize::from(rows).saturating_sub(1);
            for line in screen.lines() {
                let takes = console::measure_text_width(line).div_ceil(columns.max(1).into());
                let Some(rest) = left.checked_sub(takes.max(1)) else {
                    break;
                };
                left = rest;
                term.write_line(line)?;
            }
            term.flush()?;
            std::thread::sleep(every);
        }
    }
}

/// What has gone through a node between two looks.
fn flow(before: &Status, now: &Status, passed: Duration) -> String {
    let seconds = passed.as_secs_f64().max(1e-3);
    let rate = |before: u64, now: u64| now.saturating_sub(before) as f64 / seconds;
    let bytes = |status: &Status| {
        let sum = |each: fn(&status::Bytes) -> u64| {
            status.traffic.iter().map(|it| each(&it.bytes)).sum::<u64>()
        };
        (sum(|it| it.sent), sum(|it| it.received))
    };
    let ((sent, received), (sent_now, received_now)) = (bytes(before), bytes(now));
    let per_second = |before, now| HumanBytes(rate(before, now) as u64);
    let own =
        |status: &Status| status.requests.answered_by_peers + status.requests.answered_locally;
    format!(
        "  a second: answered {:.1} requests, had {:.1} answered; sent {}, received {}\n",
        rate(before.requests.served, now.requests.served),
        rate(own(before), own(now)),
        per_second(sent, sent_now),
        per_second(received, received_now),
    )
}

fn url(address: &str) -> String {
    match address.contains("://") {
        true => address.to_owned(),
        false => format!("http://{address}/"),
    }
}

fn ask(url: &str) -> Result<Status> {
    let config = ureq::Agent::config_builder().timeout_global(Some(PATIENCE));
    let agent: ureq::Agent = config.build().into();
    let place = format!("{}/status.json", url.trim_end_matches('/'));
    let mut answer = agent
        .get(&place)
        .call()
        .with_context(|| format!("no node answers at {url}"))?;
    let body = answer.body_mut().with_config().limit(MAX_BYTES);
    body.read_json()
        .with_context(|| format!("what answers at {url} is no node"))
}

fn in_words(node: &Status) -> String {
    let since = HumanDuration(Duration::from_secs(node.started));
    let mut lines = vec![format!(
        "{} {} ({}), running for {since}",
        node.kind, node.peer, node.agent
    )];
    lines.extend(node.listening.iter().map(|it| format!("  at {it}")));
    if let Some(model) = &node.model {
        lines.push(format!("  model {}", model.id));
        lines.push(format!(
            "  {} fragments: somebody computes on {}, this node on {}",
            model.fragments, model.covered, model.computes
        ));
        lines.push(format!(
            "  {} other nodes take part ({} with an address of their own); of {} heartbeats are heard, {} requests wait there",
            model.members, model.dialled, model.heard, model.waiting
        ));
        if let Some(layers) = &model.runs {
            lines.push(format!(
                "  runs layers {} to {} for others: {} tokens or prompts went through",
                layers.start,
                layers.end.saturating_sub(1),
                node.requests.stages_served
            ));
        }
        if model.lacking > 0 {
            lines.push(format!(
                "  {} fragments have fewer replicas than are wanted ({} of what every token needs, {} of experts), this node is \
                 taking up {}",
                model.lacking, model.wanted_always, model.wanted_of_experts, model.taking
            ));
        }
    }
    let requests = &node.requests;
    lines.push(format!(
        "  answered {} requests of others ({} refused), had {} answered ({} failed)",
        requests.served,
        requests.refused,
        requests.answered_by_peers + requests.answered_locally,
        requests.failed
    ));
    if requests.jobs > 0 || requests.jobs_served > 0 {
        lines.push(format!(
            "  finished {} answers for others; {} wait, are being finished or lie here",
            requests.jobs_served, requests.jobs
        ));
    }
    let api = &node.api;
    if *api != api::Totals::default() {
        lines.push(format!(
            "  HTTP API: answered {} ({} left by whoever asked, {} failed, {} refused), {} being answered, {} wait; {} tokens read, \
             {} said",
            api.answered,
            api.stopped,
            api.failed,
            api.refused,
            api.answering,
            api.waiting,
            api.prompt_tokens,
            api.answer_tokens
        ));
    }
    lines.push(format!(
        "  gave {} of fragments, got {}; banned {} peers, refused {} connections",
        HumanBytes(node.content.sent),
        HumanBytes(node.content.received),
        node.banned,
        node.refused_connections
    ));
    if node.relay.opened > 0 {
        lines.push(format!(
            "  relays {} connections of others ({} since the start)",
            node.relay.open, node.relay.opened
        ));
    }
    if let Some(turn) = &node.turn {
        lines.push(format!(
            "  TURN: {} clients; {} handed on, {} lost because there was too much",
            turn.clients,
            HumanBytes(turn.relayed),
            HumanBytes(turn.dropped)
        ));
    }
    for it in &node.downloads {
        let total = it
            .total
            .map_or_else(|| "?".into(), |it| HumanBytes(it).to_string());
        let (written, sources) = (HumanBytes(it.written), it.sources);
        lines.push(format!(
            "  fetching {}: {written} of {total}, from {sources} peers",
            it.id
        ));
    }
    lines.push(match node.connections.len() {
        0 => "  connected with nobody".into(),
        1 => "  one connection:".into(),
        many => format!("  {many} connections:"),
    });
    let mut text = lines.join("\n") + "\n";
    if !node.connections.is_empty() {
        text += &format!("{}\n", connections(node));
    }
    text
}

fn connections(node: &Status) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header([
        "peer",
        "program",
        "by",
        "round trip",
        "sent",
        "received",
        "answered",
        "asked",
    ]);
    for it in &node.connections {
        let mut by = it.transport.clone();
        if it.relayed {
            by += ", relayed";
        }
        if it.usage != network::Usage::Messages.name() {
            by = format!("{by}, {}", it.usage);
        }
        table.add_row([
            it.peer.clone(),
            it.agent.clone(),
            by,
            it.round_trip_ms
                .map_or_else(String::new, |time| format!("{time:.1} ms")),
            HumanBytes(it.bytes.sent).to_string(),
            HumanBytes(it.bytes.received).to_string(),
            it.answered.to_string(),
            it.served.to_string(),
        ]);
    }
    for column in table.column_iter_mut().skip(3) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::{Bytes, Connection, Model, Requests, Traffic};

    #[test]
    fn a_node_is_described_for_people() {
        let bytes = Bytes {
            sent: 2048,
            received: 3 << 20,
        };
        let node = Status {
            kind: "serve".into(),
            peer: "12D3KooWA".into(),
            agent: "iap2p/0.1.0".into(),
            started: 125,
            model: Some(Model {
                id: "bafk".into(),
                fragments: 11,
                covered: 9,
                computes: 3,
                wanted_always: 5,
                wanted_of_experts: 3,
                lacking: 4,
                taking: 1,
                runs: Some(3..8),
                members: 5,
                heard: 4,
                dialled: 2,
                waiting: 7,
            }),
            requests: Requests {
                jobs: 3,
                jobs_served: 2,
                ..Requests::default()
            },
            connections: vec![Connection {
                peer: "12D3KooWB".into(),
                transport: "webrtc".into(),
                relayed: true,
                usage: "messages".into(),
                round_trip_ms: Some(12.34),
                bytes,
                ..Connection::default()
            }],
            ..Status::default()
        };
        let text = in_words(&node);
        for part in [
            "serve 12D3KooWA (iap2p/0.1.0), running for 2 minutes",
            "11 fragments: somebody computes on 9, this node on 3",
            "5 other nodes take part (2 with an address of their own); of 4 heartbeats are heard, 7 requests wait there",
            "4 fragments have fewer replicas than are wanted (5 of what every token needs, 3 of experts), this node is \
             taking up 1",
            "finished 2 answers for others; 3 wait, are being finished or lie here",
            "runs layers 3 to 7 for others: 0 tokens or prompts went through",
            "webrtc, relayed",
            "12.3 ms",
            "2.00 KiB",
        ] {
            assert!(text.contains(part), "{part} in\n{text}");
        }
        assert_eq!(url("1.2.3.4:5"), "http://1.2.3.4:5/");
    }

    #[test]
    fn what_has_gone_through_since_is_told_by_the_second() {
        let at = |served, sent| Status {
            requests: Requests {
                served,
                answered_by_peers: 2 * served,
                ..Requests::default()
            },
            traffic: vec![Traffic {
                bytes: Bytes { sent, received: 0 },
                ..Traffic::default()
            }],
            api: api::Totals {
                answered: 3,
                ..api::Totals::default()
            },
            ..Status::default()
        };
        let words = flow(&at(10, 1024), &at(15, 5120), Duration::from_secs(2));
        assert_eq!(
            words,
            "  a second: answered 2.5 requests, had 5.0 answered; sent 2.00 KiB, received 0 B\n"
        );
        // A node that was started again has answered less.
        assert!(flow(&at(15, 0), &at(10, 0), Duration::ZERO).contains("answered 0.0"));
        assert!(in_words(&at(1, 1)).contains("HTTP API: answered 3"));
    }
}
