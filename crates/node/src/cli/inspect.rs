use anyhow::{Context, Result};
use clap::Args;
use fragments::{Class, DEFAULT_FRAGMENT_SIZE, ModelId, PartKind, Plan};
use gguf::Header;
use inference::Hyperparameters;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, Write};
use std::path::PathBuf;

/// Say what a model is and how it is, or would be, cut
#[derive(Args)]
pub(crate) struct Options {
    /// A GGUF file, or a folder made by `iap2p cut`
    #[arg(value_name = "MODEL|DIR")]
    model: PathBuf,
    /// The fragment size to plan with, for a GGUF file
    #[arg(long, value_name = "BYTES", default_value_t = DEFAULT_FRAGMENT_SIZE)]
    fragment_size: u32,
    /// List every fragment
    #[arg(long)]
    fragments: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Report {
    /// Known once it is cut.
    id: Option<ModelId>,
    name: Option<String>,
    architecture: Option<String>,
    file_bytes: u64,
    tensors: usize,
    /// Bytes by tensor type.
    types: BTreeMap<String, u64>,
    dimensions: Option<Dimensions>,
    /// Why the model cannot be computed, or not be cut.
    unsupported: Option<String>,
    fragment_size: u32,
    always_active: usize,
    conditional: usize,
    fragments: Vec<Fragment>,
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
struct Fragment {
    index: usize,
    id: Option<String>,
    bytes: u32,
    class: Class,
    parts: Vec<String>,
    /// For a folder: whether the file is there. Not verified.
    present: Option<bool>,
}

impl Options {
    pub(crate) fn run(self) -> Result<()> {
        let report = if self.model.is_dir() {
            self.folder()?
        } else {
            self.file()?
        };
        let mut out = std::io::stdout().lock();
        if self.json {
            writeln!(out, "{}", serde_json::to_string_pretty(&report)?)?;
        } else {
            report.print(self.fragments, &mut out)?;
        }
        Ok(())
    }

    fn folder(&self) -> Result<Report> {
        let manifest = fragments::read_manifest(&self.model)?;
        let mut report = Report::new(
            manifest.header(),
            manifest.file_len(),
            manifest.fragment_size(),
        );
        report.id = Some(manifest.id());
        report.plan(manifest.plan());
        for (fragment, id) in report.fragments.iter_mut().zip(manifest.fragment_ids()) {
            fragment.id = Some(id.to_string());
            fragment.present = Some(self.model.join(format!("{id}.fragment")).is_file());
        }
        Ok(report)
    }

    fn file(&self) -> Result<Report> {
        let at = || format!("cannot read {}", self.model.display());
        let file = File::open(&self.model).with_context(at)?;
        let len = file.metadata().with_context(at)?.len();
        let (header, _) = Header::read(&mut BufReader::new(file), Some(len)).with_context(at)?;
        let mut report = Report::new(&header, len, self.fragment_size);
        match Plan::new(&header, len, self.fragment_size) {
            Ok(plan) => report.plan(&plan),
            Err(error) => report.unsupported = Some(error.to_string()),
        }
        Ok(report)
    }
}

impl Report {
    fn new(header: &Header, file_bytes: u64, fragment_size: u32) -> Self {
        let text = |key| header.metadata.str(key).ok().map(str::to_owned);
        let mut types = BTreeMap::new();
        for tensor in &header.tensors {
            *types.entry(tensor.ty.name().to_owned()).or_default() += tensor.byte_len();
        }
        let (dimensions, unsupported) = match Hyperparameters::new(header) {
            Ok(h) => (Some(Dimensions::from(&h)), None),
            Err(error) => (None, Some(error.to_string())),
        };
        Self {
            id: None,
            name: text("general.name"),
            architecture: text("general.architecture"),
            file_bytes,
            tensors: header.tensors.len(),
            types,
            dimensions,
            unsupported,
            fragment_size,
            always_active: 0,
            conditional: 0,
            fragments: Vec::new(),
        }
    }

    fn plan(&mut self, plan: &Plan) {
        for (index, fragment) in plan.fragments.iter().enumerate() {
            match fragment.class {
                Class::AlwaysActive => self.always_active += 1,
                Class::Conditional => self.conditional += 1,
            }
            self.fragments.push(Fragment {
                index,
                id: None,
                bytes: fragment.file_len,
                class: fragment.class,
                parts: fragment
                    .parts
                    .iter()
                    .map(|part| describe(&part.kind))
                    .collect(),
                present: None,
            });
        }
    }

    fn print(&self, all: bool, out: &mut impl Write) -> Result<()> {
        let megabytes = |bytes: u64| format!("{:.1} MB", bytes as f64 / 1e6);
        writeln!(
            out,
            "model         {}",
            self.name.as_deref().unwrap_or("(no name)")
        )?;
        if let Some(id) = self.id {
            writeln!(out, "id            {id}")?;
        }
        writeln!(
            out,
            "architecture  {}",
            self.architecture.as_deref().unwrap_or("(none)")
        )?;
        writeln!(
            out,
            "size          {}, {} tensors",
            megabytes(self.file_bytes),
            self.tensors
        )?;
        let types: Vec<_> = self
            .types
            .iter()
            .map(|(ty, bytes)| format!("{ty} {}", megabytes(*bytes)))
            .collect();
        writeln!(out, "weights       {}", types.join(", "))?;
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
                    "experts       {} of which {} are used",
                    d.experts, d.experts_used
                )?;
            }
            writeln!(out, "vocabulary    {}, context {}", d.vocabulary, d.context)?;
        }
        if let Some(reason) = &self.unsupported {
            writeln!(out, "not supported {reason}")?;
        }
        let count = self.fragments.len();
        writeln!(
            out,
            "fragments     {count} of at most {} bytes: {} always active, {} conditional",
            self.fragment_size, self.always_active, self.conditional
        )?;
        if self
            .fragments
            .iter()
            .any(|fragment| fragment.present == Some(false))
        {
            let present = self
                .fragments
                .iter()
                .filter(|fragment| fragment.present == Some(true))
                .count();
            writeln!(out, "present       {present} of {count}")?;
        }
        if all {
            for f in &self.fragments {
                let id = f.id.as_deref().unwrap_or_default();
                let missing = if f.present == Some(false) {
                    "  MISSING"
                } else {
                    ""
                };
                writeln!(
                    out,
                    "{:>6} {:>9} {id}{missing}  {}",
                    f.index,
                    f.bytes,
                    f.parts.join("; ")
                )?;
            }
        }
        Ok(())
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
            feed_forward: h.n_ff,
            experts: h.experts.map_or(0, |experts| experts.count),
            experts_used: h.experts.map_or(0, |experts| experts.used),
            vocabulary: h.n_vocab,
            context: h.context_length,
        }
    }
}

fn describe(kind: &PartKind) -> String {
    match kind {
        PartKind::Embedding { rows } => format!("embedding {}-{}", rows.start, rows.end),
        PartKind::OutputHead { rows } => format!("output {}-{}", rows.start, rows.end),
        PartKind::Small { layer: Some(layer) } => format!("small {layer}"),
        PartKind::Small { layer: None } => "small".into(),
        PartKind::Attention { layer, kv_heads } => {
            format!(
                "attention {layer}, kv heads {}-{}",
                kv_heads.start, kv_heads.end
            )
        }
        PartKind::FeedForward {
            layer,
            expert,
            columns,
        } => {
            let expert = expert
                .map(|expert| format!(" expert {expert}"))
                .unwrap_or_default();
            format!(
                "feed-forward {layer}{expert}, columns {}-{}",
                columns.start, columns.end
            )
        }
        PartKind::Opaque => "other".into(),
        PartKind::Gap { len, .. } => format!("gap of {len} bytes"),
    }
}
