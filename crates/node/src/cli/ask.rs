//! What the commands that ask a model have in common.

use super::secret::Private;
use crate::backend::{Backend, Tally};
use crate::client::{self, Swarm};
use crate::engine::peer_name;
use crate::source::{Source, Wanted};
use anyhow::{Context, Result};
use clap::Args;
use fragments::ModelId;
use inference::compute::Arithmetic;
use inference::executor::CacheKind;
use inference::hyperparameters::YarnLogMultiplier;
use inference::session::{Config, LEAST_EXPERTS};
use inference::template::Date;
use inference::{Parts, Sampling};
use network::{Identity, Multiaddr};
use serde::Serialize;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};
use swarm::{Queue, stages::Plan};
use tokio::runtime::Runtime;

/// Which model, and who computes.
#[derive(Args)]
pub(crate) struct Which {
    /// Compute everything here: a GGUF file, or a folder made by `iap2p cut`
    #[arg(long, value_name = "FILE|DIR", conflicts_with = "peer")]
    model: Option<PathBuf>,
    /// With a GGUF file: cut it in memory into fragments of at most this length. The result depends on it in the
    /// last bits
    #[arg(long, value_name = "BYTES", conflicts_with = "peer")]
    fragment_size: Option<u32>,
    /// Let a network compute: the address of one of its nodes, as `iap2p serve` or `bootstrap` prints it; several are
    /// tried all together
    #[arg(long, value_name = "ADDRESS", value_delimiter = ',')]
    peer: Vec<Multiaddr>,
    /// In the network: the model to ask, where several are served
    #[arg(long, value_name = "ID", requires = "peer")]
    model_id: Option<ModelId>,
    /// In the network: how long to wait for somebody to answer at all
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    patience: u64,
    /// What the log multiplier of a model stretched by YaRN does to it, on which references disagree: what it does in
    /// llama.cpp (llama-cpp, the default), or nothing (ignored)
    #[arg(long, value_name = "HOW")]
    yarn_log_multiplier: Option<YarnLogMultiplier>,
    /// In the network: run all layers here and only ask about fragments, even where others run layers and that would be
    /// quicker
    #[arg(long, conflicts_with = "model")]
    own_layers: bool,
    #[command(flatten)]
    private: Private,
}

/// How a session computes.
#[derive(Args)]
pub(crate) struct Computing {
    /// How keys and values of past tokens are kept: f16, f32 (twice the memory) or q8 (half of it). Without this, as
    /// llama.cpp does it, f16, but f32 where arithmetic is exact
    #[arg(long, value_name = "KIND")]
    cache: Option<CacheKind>,
    /// The most tokens of prompt and answer together, if that is less than the model was made for
    #[arg(long, value_name = "TOKENS")]
    context: Option<usize>,
    /// Allow answers from graphics processors, which may differ in the last bits; how many did is said at the end.
    /// Without this everything is exact: the same bits whoever computes
    #[arg(long)]
    approximate: bool,
    /// In the network: go on without experts that nobody has any more, as long as this share of their work is left; how
    /// many were missing is said at the end. 90 where texts are made, 100 where something is measured
    #[arg(long, value_name = "PERCENT", value_parser = clap::value_parser!(u8).range(0..=100))]
    least_experts: Option<u8>,
}

impl Computing {
    /// For measuring: nothing is left out unless it is asked for.
    pub(crate) fn config(&self) -> Config {
        let least_experts = self.least_experts.map(|percent| f32::from(percent) / 100.0);
        Config {
            least_experts: least_experts.unwrap_or(1.0),
            arithmetic: if self.approximate {
                Arithmetic::Approximate
            } else {
                Arithmetic::Quantised
            },
            cache: self.cache,
            context: self.context.unwrap_or(usize::MAX),
            ..Config::default()
        }
    }

    /// For texts: an answer may be degraded, and says so.
    pub(crate) fn config_for_text(&self) -> Config {
        let config = self.config();
        match self.least_experts {
            Some(_) => config,
            None => Config {
                least_experts: LEAST_EXPERTS,
                ..config
            },
        }
    }
}

/// A model ready to be asked, and the threads behind it.
pub(crate) struct Ready {
    pub(crate) backend: Backend,
    pub(crate) runtime: Runtime,
}

impl Which {
    pub(crate) fn open(&self) -> Result<Ready> {
        self.open_or(None)
    }

    /// The model, which may also have been given without `--model`.
    pub(crate) fn open_or(&self, model: Option<&Path>) -> Result<Ready> {
        let runtime = Runtime::new().context("cannot start threads")?;
        let log_multiplier = self.yarn_log_multiplier.unwrap_or_default();
        let backend = if let Some(path) = model.or(self.model.as_deref()) {
            let source = Source::open(path, self.fragment_size, &Wanted::All)?;
            Backend::here(source, log_multiplier)
                .with_context(|| format!("cannot compute with {}", path.display()))?
        } else {
            anyhow::ensure!(
                !self.peer.is_empty(),
                "whom to ask? Give --model FILE to compute here, or --peer ADDRESS to ask a network"
            );
            let swarm = Swarm {
                secret: self.private.secret()?,
                peers: self.peer.clone(),
                model: self.model_id,
                patience: Duration::from_secs(self.patience),
                log_multiplier,
            };
            let backend = runtime.block_on(client::join(&swarm, Identity::generate()))?;
            // Who runs layers runs them as the model usually is.
            match self.own_layers || self.yarn_log_multiplier.is_some() {
                true => backend.with_own_layers(),
                false => backend,
            }
        };
        Ok(Ready { backend, runtime })
    }
}

/// How tokens are chosen.
#[derive(Args)]
#[command(next_help_heading = "Sampling")]
pub(crate) struct SamplingOptions {
    /// 0 takes the likeliest token always; higher values leave more to chance
    #[arg(long, value_name = "T", default_value_t = 0.0)]
    temperature: f32,
    /// Consider only the K likeliest tokens; 0 for all
    #[arg(long, value_name = "K", default_value_t = 0)]
    top_k: usize,
    /// Consider only the fewest likeliest tokens that reach this probability together
    #[arg(long, value_name = "P", default_value_t = 1.0)]
    top_p: f32,
    /// Consider only tokens at least this fraction as likely as the likeliest
    #[arg(long, value_name = "P", default_value_t = 0.0)]
    min_p: f32,
    /// Make tokens said lately this many times less likely; 1 for no penalty
    #[arg(long, value_name = "FACTOR", default_value_t = 1.0)]
    repetition_penalty: f32,
    /// How many of the last tokens count as lately
    #[arg(long, value_name = "TOKENS", default_value_t = 64)]
    repetition_window: usize,
    /// The same seed gives the same answer
    #[arg(long, default_value_t = 0)]
    seed: u64,
}

impl SamplingOptions {
    pub(crate) fn sampling(&self) -> Result<Sampling> {
        let sampling = Sampling {
            temperature: self.temperature,
            top_k: self.top_k,
            top_p: self.top_p,
            min_p: self.min_p,
            repetition_penalty: self.repetition_penalty,
            repetition_window: self.repetition_window,
            seed: self.seed,
        };
        sampling.validate()?;
        Ok(sampling)
    }
}

/// Somebody who computed.
#[derive(Serialize)]
pub(crate) struct Share {
    peer: String,
    requests: u64,
}

/// Layers and who ran them.
#[derive(Serialize)]
pub(crate) struct Ran {
    first_layer: u32,
    last_layer: u32,
    /// Nobody else, if nothing is said.
    peer: Option<String>,
}

/// Who runs which layers on a way that tokens take.
pub(crate) fn ran(way: &Plan) -> impl Iterator<Item = Ran> {
    way.legs.iter().map(|leg| Ran {
        first_layer: leg.layers.start,
        last_layer: leg.layers.end.saturating_sub(1),
        peer: leg.runner.as_ref().map(peer_name),
    })
}

/// The others who run layers, one after the other.
pub(crate) fn runners(way: &Plan) -> impl Iterator<Item = String> {
    ran(way).filter_map(|ran| ran.peer)
}

/// What was predicted, and who ran layers, as it stands behind the speed measured.
pub(crate) fn way_in_words(way: &Plan) -> String {
    let predicted = 1.0 / way.time.as_secs_f64().max(1e-9);
    let ran = ran(way).filter_map(|ran| {
        let (first, last) = (ran.first_layer, ran.last_layer);
        Some(format!("; layers {first} to {last} run by {}", ran.peer?))
    });
    let ran: String = ran.collect();
    format!(", {predicted:.1} predicted{ran}")
}

/// What is to be done before something that waits.
pub(crate) fn queue_in_words(queue: Queue) -> String {
    let requests = match queue.before {
        1 => "1 request".to_owned(),
        before => format!("{before} requests"),
    };
    let seconds = queue.wait.as_secs_f64();
    format!("{requests} before this one, about {seconds:.1} s")
}

pub(crate) fn shares(tally: &Tally) -> Vec<Share> {
    tally
        .iter()
        .map(|(peer, requests)| Share {
            peer: peer.clone(),
            requests: *requests,
        })
        .collect()
}

/// What is to be said of an answer that is not the model's to the last bit.
pub(crate) fn exactness(parts: Parts) -> Option<String> {
    let Parts {
        total,
        approximate,
        experts,
        left_out,
    } = parts;
    let approximate =
        (approximate > 0).then(|| format!("approximate: {approximate} of {total} requests"));
    let degraded = (left_out > 0)
        .then(|| format!("degraded: {left_out} of {experts} times an expert was missing"));
    let notes: Vec<_> = approximate.into_iter().chain(degraded).collect();
    (!notes.is_empty()).then(|| notes.join("; "))
}

/// Today, in UTC, for the chat templates that tell the model.
pub(crate) fn today() -> Option<Date> {
    let since = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .ok()?;
    civil(i64::try_from(since.as_secs() / 86_400).ok()?)
}

/// The date so many days after 1 January 1970. Years are counted from March, so that the day added in leap years is
/// the last one.
fn civil(days: i64) -> Option<Date> {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 {
        month_from_march + 3
    } else {
        month_from_march - 9
    };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    Some(Date {
        year: year.try_into().ok()?,
        month: month.try_into().ok()?,
        day: day.try_into().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_turned_into_dates() {
        let date = |days| civil(days).map(|date| (date.year, date.month, date.day));
        assert_eq!(date(0), Some((1970, 1, 1)));
        assert_eq!(date(11_016), Some((2000, 2, 29)));
        assert_eq!(date(20_453), Some((2025, 12, 31)));
    }
}
