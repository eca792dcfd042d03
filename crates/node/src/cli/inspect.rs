mod plan;

use anyhow::{Context, Result};
use clap::Args;
use fragments::{Class, DEFAULT_FRAGMENT_SIZE, FragmentSummary, Plan, Summary};
use gguf::Header;
use inference::Hyperparameters;
use plan::Planned;
use serde::Serialize;
use std::io::Write;
use std::path::{Path, PathBuf};

/// Say what a model is and how it is, or would be, cut
#[derive(Args)]
pub(crate) struct Options {
    /// A GGUF file, or a folder made by `iap2p cut`
    #[arg(value_name = "MODEL|DIR", required_unless_present = "preset")]
    model: Option<PathBuf>,
    /// Say by the header alone how the fragments are used, and what a token costs a network
    #[arg(long)]
    plan: bool,
    /// With --plan: a real model's shape instead of a file: magistral-small-2509, mistral-large-3 or
    /// mistral-large-3-q2_k
    #[arg(long, value_name = "NAME", requires = "plan", conflicts_with = "model")]
    preset: Option<String>,
    /// The fragment size to plan with, for a GGUF file
    #[arg(long, value_name = "BYTES")]
    fragment_size: Option<u32>,
    /// List every fragment of a folder
    #[arg(long)]
    fragments: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Report {
    #[serde(flatten)]
    summary: Option<Summary>,
    dimensions: Option<Dimensions>,
    /// Why the model cannot be cut or computed.
    unsupported: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    plan: Option<Planned>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    list: Vec<Listed>,
}

#[derive(Serialize)]
struct Dimensions {
    layers: u32,
    embedding: usize,
    heads: usize,
    kv_heads: usize,
    head_dim: usize,
    feed_forward: usize,
    experts: usize,
    experts_used: usize,
    vocabulary: usize,
    context: usize,
}

#[derive(Serialize)]
struct Listed {
    #[serde(flatten)]
    fragment: FragmentSummary,
    /// Whether the file is there. Not verified.
    present: bool,
}

impl Options {
    pub(crate) fn run(self) -> Result<()> {
        let report = match (&self.model, &self.preset) {
            (Some(path), _) if path.is_dir() => self.folder(path)?,
            (Some(path), _) => self.file(path)?,
            (None, name) => {
                plan::of_preset(name.as_deref().unwrap_or_default(), self.fragment_size)?
            }
        };
        let mut out = std::io::stdout().lock();
        if self.json {
            writeln!(out, "{}", serde_json::to_string_pretty(&report)?)?;
        } else {
            report.print(&mut out)?;
        }
        Ok(())
    }

    fn folder(&self, path: &Path) -> Result<Report> {
        let manifest = fragments::read_manifest(path)?;
        let (header, len) = (manifest.header(), manifest.file_len());
        let mut report = if self.plan {
            plan::of_header(header, len, manifest.fragment_size())?
        } else {
            Report::new(header)
        };
        report.summary = Some(Summary::of_manifest(&manifest));
        if self.fragments {
            let listed = fragments::fragment_summaries(&manifest).map(|fragment| {
                let file = path.join(format!("{}.fragment", fragment.id));
                Listed {
                    present: file.is_file(),
                    fragment,
                }
            });
            report.list = listed.collect();
        }
        Ok(report)
    }

    fn file(&self, path: &Path) -> Result<Report> {
        let model = fragments::open_model(path)
            .with_context(|| format!("cannot read {}", path.display()))?;
        let (header, len) = (model.header(), model.total_len());
        let fragment_size = self.fragment_size.unwrap_or(DEFAULT_FRAGMENT_SIZE);
        if self.plan {
            return plan::of_header(header, len, fragment_size);
        }
        let mut report = Report::new(header);
        match Plan::new(header, len, fragment_size) {
            Ok(plan) => report.summary = Some(Summary::of_plan(header, len, fragment_size, &plan)),
            Err(error) => report.unsupported = Some(error.to_string()),
        }
        Ok(report)
    }
}

impl Report {
    fn new(header: &Header) -> Self {
        let (dimensions, unsupported) = match Hyperparameters::new(header) {
            Ok(h) => (Some(Dimensions::from(&h)), None),
            Err(error) => (None, Some(error.to_string())),
        };
        Self {
            summary: None,
            dimensions,
            unsupported,
            plan: None,
            list: Vec::new(),
        }
    }

    fn print(&self, out: &mut impl Write) -> Result<()> {
        let unnamed = || "(not named)".to_owned();
        if let Some(s) = &self.summary {
            writeln!(
                out,
                "model         {}",
                s.name.clone().unwrap_or_else(unnamed)
            )?;
            if let Some(id) = s.model {
                writeln!(out, "id            {id}")?;
            }
            writeln!(
                out,
                "architecture  {}",
                s.architecture.clone().unwrap_or_else(unnamed)
            )?;
            let types: Vec<_> = s
                .tensor_types
                .iter()
                .map(|ty| format!("{} {}", ty.name, size(ty.bytes)))
                .collect();
            writeln!(
                out,
                "weights       {}: {}",
                size(s.file_len),
                types.join(", ")
            )?;
        }
        if let Some(d) = &self.dimensions {
            writeln!(
                out,
                "layers        {} of width {}, feed-forward {}",
                d.layers, d.embedding, d.feed_forward
            )?;
            writeln!(
                out,
                "attention     {} heads of {}, {} kv heads",
                d.heads, d.head_dim, d.kv_heads
            )?;
            if d.experts > 0 {
                writeln!(
                    out,
                    "experts       {}, of which a token uses {}",
                    d.experts, d.experts_used
                )?;
            }
            writeln!(out, "vocabulary    {}, context {}", d.vocabulary, d.context)?;
        }
        if let Some(reason) = &self.unsupported {
            writeln!(out, "not supported {reason}")?;
        }
        if let Some(s) = &self.summary {
            let about = format!(
                "{} of at most {}, {:.0} % full",
                s.fragments,
                size(s.fragment_size.into()),
                s.fullness
            );
            writeln!(
                out,
                "fragments     {about} (smallest size possible: {})",
                size(s.smallest_fragment_size)
            )?;
            for kind in &s.kinds {
                let class = class_name(kind.class);
                let name = format!("{:?}", kind.kind).to_lowercase();
                writeln!(
                    out,
                    "{:>13} {name}, {class}, {}",
                    kind.fragments,
                    size(kind.bytes)
                )?;
            }
        }
        if let Some(planned) = &self.plan {
            planned.print(out)?;
        }
        for Listed {
            fragment: f,
            present,
        } in &self.list
        {
            let missing = if *present { "" } else { " MISSING" };
            let parts: Vec<_> = f.parts.iter().map(|part| format!("{part:?}")).collect();
            writeln!(
                out,
                "{:>6} {}{missing} {:>9} {}",
                f.index,
                f.id,
                f.bytes,
                parts.join("; ")
            )?;
        }
        Ok(())
    }
}

fn size(bytes: u64) -> String {
    match bytes {
        0..10_000 => format!("{bytes} B"),
        10_000..1_000_000 => format!("{:.1} kB", bytes as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1} MB", bytes as f64 / 1e6),
        _ => format!("{:.2} GB", bytes as f64 / 1e9),
    }
}

fn class_name(class: Class) -> &'static str {
    match class {
        Class::AlwaysActive => "always active",
        Class::Conditional => "conditional",
    }
}

impl From<&Hyperparameters> for Dimensions {
    fn from(h: &Hyperparameters) -> Self {
        Self {
            layers: h.layers,
            embedding: h.n_embd,
            heads: h.n_head,
            kv_heads: h.n_head_kv,
            head_dim: h.head_dim_k,
            feed_forward: h.n_ff.unwrap_or(0),
            experts: h.experts.map_or(0, |experts| experts.count),
            experts_used: h.experts.map_or(0, |experts| experts.used),
            vocabulary: h.n_vocab,
            context: h.context_length,
        }
    }
}
