//! Models with llama.cpp's logits, in the repository's `tests/vectors` or in a folder of the same layout.

use std::{fs, path::Path, sync::Arc};

use bytes::Bytes;
use fragments::{Fragment, FragmentId, Plan, cut_in_memory};
use gguf::Header;
use inference::{
    LocalAnswerer, Model, Session, SmallTensors,
    compute::Arithmetic,
    executor::CacheKind,
    local::run_local,
    session::{Config, Event, Generation, Logits},
};

/// A model, cut, with all its fragments.
pub(crate) struct Loaded {
    pub(crate) model: Arc<Model>,
    pub(crate) small: Arc<SmallTensors>,
    pub(crate) answerer: LocalAnswerer<Bytes>,
    pub(crate) ids: Vec<FragmentId>,
}

impl Loaded {
    pub(crate) fn read(path: &Path, fragment_size: u32) -> Self {
        let file = fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        // Some heads need more together.
        let header = Header::parse(&file, Some(file.len() as u64)).unwrap();
        let smallest = Plan::smallest_fragment_size(&header, file.len() as u64);
        Self::cut(&file, fragment_size.max(smallest as u32))
    }

    pub(crate) fn cut(file: &[u8], fragment_size: u32) -> Self {
        let (manifest, fragments) = cut_in_memory(file, fragment_size).unwrap();
        let mut answerer = LocalAnswerer::new();
        let ids = manifest.fragment_ids().to_vec();
        for (id, bytes) in fragments {
            answerer.insert(id, Fragment::open_verified(bytes, &id).unwrap());
        }
        let model = Model::new(manifest).unwrap();
        let small = model.small_fragments().iter();
        let small = small.map(|&index| answerer.get(&ids[index as usize]).unwrap());
        let small = Arc::new(model.small_tensors(small).unwrap());
        Self {
            model: Arc::new(model),
            small,
            answerer,
            ids,
        }
    }

    pub(crate) fn session(&self, config: Config) -> Session {
        Session::new(self.model.clone(), self.small.clone(), config).unwrap()
    }

    /// Logits behind every token.
    pub(crate) fn logits(&self, tokens: &[u32], config: Config) -> Vec<Vec<f32>> {
        let mut session = self.session(config);
        let generation = Generation {
            max_tokens: 0,
            logits: Logits::All,
            ..Generation::default()
        };
        session.begin(tokens, generation).unwrap();
        let mut logits = Vec::new();
        run_local(&mut session, &self.answerer, |event| {
            if let Event::Logits { values, .. } = event {
                logits.push(values);
            }
        })
        .unwrap();
        logits
    }

    /// The tokens of an answer.
    pub(crate) fn answer(
        &self,
        prompt: &[u32],
        config: Config,
        generation: Generation,
    ) -> Vec<u32> {
        let mut session = self.session(config);
        session.begin(prompt, generation).unwrap();
        run_local(&mut session, &self.answerer, |_| {}).unwrap();
        session.answer().to_vec()
    }
}

/// What llama.cpp makes of a model.
pub(crate) struct Vector {
    pub(crate) tokens: Vec<u32>,
    pub(crate) greedy: Vec<u32>,
    pub(crate) gaps: Vec<f64>,
    pub(crate) kl_of_q8: f64,
    pub(crate) exact: Vec<Vec<f32>>,
    pub(crate) q8: Vec<Vec<f32>>,
}

impl Vector {
    pub(crate) fn read(folder: &Path, name: &str) -> Self {
        let json = fs::read_to_string(folder.join(format!("{name}.json"))).unwrap();
        let json: serde_json::Value = serde_json::from_str(&json).unwrap();
        let ids = |key: &str| {
            let ids = json[key].as_array().unwrap().iter();
            ids.map(|id| id.as_u64().unwrap() as u32).collect()
        };
        let gaps = json["greedy_gap"].as_array().unwrap().iter();
        Self {
            tokens: ids("tokens"),
            greedy: ids("greedy_exact"),
            gaps: gaps.map(|gap| gap.as_f64().unwrap()).collect(),
            kl_of_q8: json["mean_kl_of_q8_path"].as_f64().unwrap(),
            exact: npy(&folder.join(format!("{name}.exact.npy"))),
            q8: npy(&folder.join(format!("{name}.q8.npy"))),
        }
    }
}

/// Reads rows of f32 as NumPy writes them.
fn npy(path: &Path) -> Vec<Vec<f32>> {
    let bytes = fs::read(path).unwrap();
    let header_len = u16::from_le_bytes([bytes[8], bytes[9]]) as usize;
    let (header, values) = bytes[10..].split_at(header_len);
    let header = std::str::from_utf8(header).unwrap();
    assert!(header.contains("'<f4'") && header.contains("'fortran_order': False"));
    let shape = header.split(['(', ')']).nth(1).unwrap();
    let columns: usize = shape.split(", ").nth(1).unwrap().parse().unwrap();
    let values: Vec<f32> = values
        .as_chunks::<4>()
        .0
        .iter()
        .map(|&value| f32::from_le_bytes(value))
        .collect();
    values.chunks_exact(columns).map(<[f32]>::to_vec).collect()
}

pub(crate) fn largest_difference(a: &[Vec<f32>], b: &[Vec<f32>]) -> f32 {
    assert_eq!(a.len(), b.len());
    let pairs = a.iter().zip(b).flat_map(|(a, b)| {
        assert_eq!(a.len(), b.len());
        a.iter().zip(b)
    });
    pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

/// Mean Kullback–Leibler divergence of `found` from `exact`.
pub(crate) fn mean_kl(exact: &[Vec<f32>], found: &[Vec<f32>]) -> f64 {
    assert_eq!(exact.len(), found.len());
    let log_softmax = |row: &[f32]| -> Vec<f64> {
        let largest = f64::from(row.iter().copied().fold(f32::NEG_INFINITY, f32::max));
        let sum: f64 = row.iter().map(|&v| (f64::from(v) - largest).exp()).sum();
        row.iter()
            .map(|&v| f64::from(v) - largest - sum.ln())
            .collect()
    };
    let rows = exact.iter().zip(found).map(|(exact, found)| {
        let (p, q) = (log_softmax(exact), log_softmax(found));
        p.iter().zip(q).map(|(p, q)| p.exp() * (p - q)).sum::<f64>()
    });
    rows.sum::<f64>() / exact.len() as f64
}

/// The likeliest token and how far the second is behind.
fn best(row: &[f32]) -> (usize, f32) {
    let mut order: Vec<usize> = (0..row.len()).collect();
    order.sort_by(|&a, &b| row[b].total_cmp(&row[a]));
    (order[0], row[order[0]] - row[order[1]])
}

/// Checks a model against llama.cpp: exactly with exact arithmetic, and with quantised arithmetic as closely
/// as llama.cpp's own.
pub(crate) fn check(folder: &Path, name: &str, fragment_size: u32) {
    let complaints = complaints(folder, name, fragment_size);
    assert!(complaints.is_empty(), "{name}: {complaints:?}");
}

/// What is wrong with a model, compared with llama.cpp.
pub(crate) fn complaints(folder: &Path, name: &str, fragment_size: u32) -> Vec<String> {
    let vector = Vector::read(folder, name);
    let loaded = Loaded::read(&folder.join(format!("{name}.gguf")), fragment_size);
    // llama.cpp's cache was in single precision, too.
    let config = |arithmetic| Config {
        arithmetic,
        cache: Some(CacheKind::F32),
        ..Config::default()
    };

    let exact = loaded.logits(&vector.tokens, config(Arithmetic::Reference));
    let difference = largest_difference(&exact, &vector.exact);
    let generation = Generation {
        max_tokens: vector.greedy.len(),
        ignore_end: true,
        ..Generation::default()
    };
    let greedy = loaded.answer(&vector.tokens, config(Arithmetic::Reference), generation);

    let fast = loaded.logits(&vector.tokens, config(Arithmetic::Quantised));
    let kl = mean_kl(&vector.exact, &fast);
    let noise = largest_difference(&vector.q8, &vector.exact);
    println!(
        "{name}: {} fragments; exact {difference:.2e}; fast KL {kl:.5}, llama.cpp's {:.5}; noise {noise:.2}",
        loaded.ids.len(),
        vector.kl_of_q8,
    );
    let mut complaints = Vec::new();
    if difference.is_nan() || difference > 1e-3 {
        complaints.push(format!("logits differ by {difference}"));
    }
    // Behind a choice that is not clear, texts may differ.
    let clear = vector.gaps.iter().position(|&gap| gap < 2e-3);
    let clear = clear.unwrap_or(vector.greedy.len());
    if greedy[..clear] != vector.greedy[..clear] {
        complaints.push(format!("{greedy:?} is said instead of {:?}", vector.greedy));
    }
    let measured = mean_kl(&vector.exact, &vector.q8);
    if (measured - vector.kl_of_q8).abs() > 1e-3 * vector.kl_of_q8 + 1e-12 {
        complaints.push(format!("llama.cpp's divergence is {measured}"));
    }
    // Where nothing is quantised there is rounding still.
    if kl > 1.5 * vector.kl_of_q8 + 1e-6 {
        complaints.push(format!("the divergence is {kl}"));
    }
    for (position, (exact, fast)) in vector.exact.iter().zip(&fast).enumerate() {
        let (token, gap) = best(exact);
        if gap > 2.0 * noise + 1e-3 && best(fast).0 != token {
            complaints.push(format!("another token at {position}"));
        }
    }
    complaints
}
