//! `iap2p inspect --plan`: how a model would be cut, and what a token would cost, by its header alone.

use super::{Report, size};
use anyhow::{Context, Result, ensure};
use fragments::{Class, DEFAULT_FRAGMENT_SIZE, Plan, Summary};
use gguf::Header;
use gguf::generate::Preset;
use inference::Hyperparameters;
use inference::traffic::{LayerTraffic, Share, Traffic};
use serde::Serialize;
use std::io::Write;

/// What a model would cost a network.
#[derive(Serialize)]
pub(super) struct Planned {
    pub(super) classes: Vec<ClassSummary>,
    #[serde(flatten)]
    pub(super) traffic: Traffic,
}

/// The fragments of one class.
#[derive(Serialize)]
pub(super) struct ClassSummary {
    class: Class,
    fragments: usize,
    bytes: u64,
    /// In per cent of the fragment size.
    fullness: f64,
}

impl Planned {
    pub(super) fn new(header: &Header, plan: &Plan, size: u32, h: &Hyperparameters) -> Self {
        let class = |class| {
            let of = plan
                .fragments
                .iter()
                .filter(|fragment| fragment.class == class);
            let fragments = of.clone().count();
            let bytes: u64 = of.map(|fragment| u64::from(fragment.file_len)).sum();
            let room = fragments as f64 * f64::from(size);
            ClassSummary {
                class,
                fragments,
                bytes,
                fullness: 100.0 * bytes as f64 / room.max(1.0),
            }
        };
        Self {
            classes: vec![class(Class::AlwaysActive), class(Class::Conditional)],
            traffic: Traffic::new(header, plan, h),
        }
    }

    pub(super) fn print(&self, out: &mut impl Write) -> Result<()> {
        for class in &self.classes {
            writeln!(
                out,
                "{:>13} {}, {}, {:.0} % full",
                class.fragments,
                super::class_name(class.class),
                size(class.bytes),
                class.fullness
            )?;
        }
        writeln!(
            out,
            "\nlayers        always active, conditional fragments; requests and bytes per token"
        )?;
        let alike = |a: &LayerTraffic, b: &LayerTraffic| {
            let rest =
                |l: &LayerTraffic| (l.always_active_fragments, l.conditional_fragments, l.asked);
            rest(a) == rest(b)
        };
        for layers in self.traffic.layers.chunk_by(alike) {
            let (Some(first), Some(last)) = (layers.first(), layers.last()) else {
                continue;
            };
            let name = match layers {
                [one] => one.layer.to_string(),
                _ => format!("{}–{}", first.layer, last.layer),
            };
            writeln!(
                out,
                "{name:>13} {}, {}; {}",
                first.always_active_fragments,
                first.conditional_fragments,
                share(&first.asked)
            )?;
        }
        let traffic = &self.traffic;
        let mut total = traffic.always_active;
        total.requests += traffic.conditional.requests;
        total.sent += traffic.conditional.sent;
        total.received += traffic.conditional.received;
        total.weights += traffic.conditional.weights;
        writeln!(out, "\na token       {}", share(&total))?;
        writeln!(out, "  always active {}", share(&traffic.always_active))?;
        writeln!(out, "  experts       {}", share(&traffic.conditional))?;
        writeln!(
            out,
            "round trips   {} one after the other where the executor holds what is small only;\n\
             \x20             {} where it holds all that every token needs",
            traffic.round_trips, traffic.round_trips_for_experts
        )?;
        Ok(())
    }
}

fn share(share: &Share) -> String {
    format!(
        "{:.1} requests, {} there, {} back, {} of weights read",
        share.requests,
        size(share.sent as u64),
        size(share.received as u64),
        size(share.weights as u64)
    )
}

/// The plan of a built-in shape.
pub(super) fn of_preset(name: &str, fragment_size: Option<u32>) -> Result<Report> {
    let preset = Preset::named(name).with_context(|| {
        let names: Vec<_> = Preset::ALL.iter().map(|preset| preset.name()).collect();
        format!(
            "there is no preset {name:?}; there are {}",
            names.join(", ")
        )
    })?;
    let writer = preset.writer(None)?;
    let len = writer.file_len();
    let header = Header::parse(&writer.header_bytes(), Some(len))?;
    of_header(&header, len, fragment_size.unwrap_or(DEFAULT_FRAGMENT_SIZE))
}

/// The plan of a model by its header.
pub(super) fn of_header(header: &Header, len: u64, fragment_size: u32) -> Result<Report> {
    let mut report = Report::new(header);
    let plan = Plan::new(header, len, fragment_size)?;
    let h = Hyperparameters::new(header)?;
    ensure!(report.unsupported.is_none(), "the model cannot be computed");
    report.summary = Some(Summary::of_plan(header, len, fragment_size, &plan));
    report.plan = Some(Planned::new(header, &plan, fragment_size, &h));
    Ok(report)
}
