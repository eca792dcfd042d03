//! What was measured of whom, and what it was meant to be.

use std::fmt;

use anyhow::{Context, Result};
use serde_json::Value;

/// Tokens per second.
#[derive(Clone, Copy, Default)]
pub(super) struct Speed {
    pub(super) prefill: f64,
    pub(super) decode: f64,
}

impl Speed {
    pub(super) fn read(value: &Value) -> Result<Self> {
        let number = |key: &str| {
            value[key]
                .as_f64()
                .with_context(|| format!("no {key} in {value}"))
        };
        Ok(Self {
            prefill: number("prefill")?,
            decode: number("decode")?,
        })
    }

    pub(super) fn best(self, other: Self) -> Self {
        Self {
            prefill: self.prefill.max(other.prefill),
            decode: self.decode.max(other.decode),
        }
    }
}

/// Where an engine ran.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Native {
        threads: u32,
    },
    /// In a worker of a page, with one thread.
    Chromium,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Native { threads: 1 } => f.write_str("native, 1 thread"),
            Self::Native { threads } => write!(f, "native, {threads} threads"),
            Self::Chromium => f.write_str("Chromium, 1 thread"),
        }
    }
}

/// What ran.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Engine {
    /// The build that this machine and its browser would choose.
    Ours,
    /// The build for browsers without relaxed SIMD.
    OursWithoutRelaxedSimd,
    LlamaCpp,
    Wllama,
}

impl fmt::Display for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ours => "this project",
            Self::OursWithoutRelaxedSimd => "this project, without relaxed SIMD",
            Self::LlamaCpp => "llama.cpp",
            Self::Wllama => "wllama",
        })
    }
}

/// One engine's best.
pub(super) struct Row {
    pub(super) place: Place,
    pub(super) engine: Engine,
    pub(super) speed: Speed,
}

/// How many times as fast as another an engine is to be.
pub(super) struct Target {
    pub(super) ours: (Place, Engine),
    pub(super) other: (Place, Engine),
    pub(super) prefill: f64,
    pub(super) decode: f64,
}

impl Target {
    /// A line of the table, if both were measured.
    pub(super) fn line(&self, rows: &[Row]) -> Option<String> {
        let of = |(place, engine)| {
            let row = rows
                .iter()
                .find(|row| row.place == place && row.engine == engine);
            row.map(|row| row.speed)
        };
        let (ours, other) = (of(self.ours)?, of(self.other)?);
        let (place, engine) = self.ours;
        let beside = if self.other.0 == place {
            self.other.1.to_string()
        } else {
            self.other.0.to_string()
        };
        Some(format!(
            "| {engine}, {place}, beside {beside} | {} | {} |\n",
            verdict(ours.prefill / other.prefill, self.prefill),
            verdict(ours.decode / other.decode, self.decode),
        ))
    }
}

fn verdict(ratio: f64, target: f64) -> String {
    let word = if ratio >= target { "reached" } else { "missed" };
    format!("{ratio:.2} × | {target:.1} × {word}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_says_by_how_much_it_is_reached_or_missed() {
        let place = Place::Chromium;
        let row = |engine, prefill, decode| Row {
            place,
            engine,
            speed: Speed { prefill, decode },
        };
        let target = Target {
            ours: (place, Engine::Ours),
            other: (place, Engine::Wllama),
            prefill: 5.0,
            decode: 3.0,
        };
        let rows = [
            row(Engine::Ours, 60.0, 25.0),
            row(Engine::Wllama, 10.0, 10.0),
        ];
        assert_eq!(
            target.line(&rows).as_deref(),
            Some(
                "| this project, Chromium, 1 thread, beside wllama | 6.00 × | 5.0 × reached | 2.50 × | 3.0 × missed |\n"
            )
        );
        assert_eq!(target.line(&rows[..1]), None);
    }
}
