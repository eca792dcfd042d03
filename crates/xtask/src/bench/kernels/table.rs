//! What was measured, for the document.

use std::{collections::HashMap, fmt::Write};

use gguf::TensorType;

use super::TOKENS;

/// What a build does with a type: the speed of a plain read beside it, and for each number of tokens the bytes of
/// weights per second.
#[derive(Default)]
pub(super) struct Speeds {
    pub(super) read: f64,
    pub(super) products: HashMap<u32, f64>,
}

/// By type, and the instructions.
pub(super) struct Native {
    pub(super) speeds: HashMap<String, Speeds>,
    pub(super) isa: String,
}

pub(super) struct Measured {
    /// With one thread.
    pub(super) native: Native,
    pub(super) two_threads: Native,
    /// By build and type.
    pub(super) chromium: HashMap<(&'static str, String), Speeds>,
}

impl Measured {
    pub(super) fn table(&self, types: &[TensorType]) -> String {
        let mut out = self.speeds(types);
        out += "\nNatively, two threads beside one; the memory they read from is the same:\n\n\
                | type | 1 token | 8 | 32 |\n|---|---|---|---|\n";
        for ty in types {
            let ratio = |tokens: &u32| {
                let of =
                    |native: &Native| Some(*native.speeds.get(ty.name())?.products.get(tokens)?);
                let ratio = Some(of(&self.two_threads)? / of(&self.native)?);
                ratio.map(|ratio| format!("{ratio:.2}"))
            };
            let cells: Vec<_> = TOKENS
                .iter()
                .map(|t| ratio(t).unwrap_or_default())
                .collect();
            let _ = writeln!(out, "| {} | {} |", ty.name(), cells.join(" | "));
        }
        out
    }

    fn speeds(&self, types: &[TensorType]) -> String {
        let mut out = format!(
            "One thread, rows of 4096 weights. The first figure is GB/s of weights for one token, with its share of a \
             plain read of memory in the same rounds; then GFLOP/s for 8 and for 32 tokens.\n\n\
             | type | {} | | | relaxed SIMD, Chromium | | | simd128, Chromium | | |\n\
             |---|---|---|---|---|---|---|---|---|---|\n\
             | tokens | 1 | 8 | 32 | 1 | 8 | 32 | 1 | 8 | 32 |\n",
            self.native.isa
        );
        for ty in types {
            let name = ty.name().to_owned();
            let _ = write!(out, "| {name} ");
            let columns = [
                self.native.speeds.get(&name),
                self.chromium.get(&("relaxed", name.clone())),
                self.chromium.get(&("simd128", name.clone())),
            ];
            for speeds in columns {
                for tokens in TOKENS {
                    let speed = speeds.and_then(|s| Some((s.read, *s.products.get(&tokens)?)));
                    let _ = match speed {
                        None => write!(out, "| "),
                        Some((read, bytes)) if tokens == 1 => {
                            write!(out, "| {:.1} ({:.2}) ", bytes / 1e9, bytes / read)
                        }
                        Some((_, bytes)) => {
                            let weights = bytes / ty.block_bytes() as f64 * ty.block_len() as f64;
                            write!(out, "| {:.0} ", 2.0 * weights * f64::from(tokens) / 1e9)
                        }
                    };
                }
            }
            out.push_str("|\n");
        }
        out
    }
}
