//! What is timed, natively and in a browser: a model in memory reads a prompt and answers.
#![allow(unreachable_pub, reason = "each user takes what it needs")]
#![allow(clippy::unwrap_used, reason = "a benchmark that cannot run may stop")]

use std::sync::Arc;

use bytes::Bytes;
use fragments::{Fragment, cut_in_memory};
use inference::{
    LocalAnswerer, Model, Session, SmallTensors,
    local::run_local,
    session::{Config, Event, Generation},
};

/// What the network uses.
const FRAGMENT_SIZE: u32 = 10 << 20;

pub struct Engine {
    model: Arc<Model>,
    small: Arc<SmallTensors>,
    answerer: LocalAnswerer<Bytes>,
}

impl Engine {
    pub fn new(file: &[u8]) -> Self {
        let (manifest, fragments) = cut_in_memory(file, FRAGMENT_SIZE).unwrap();
        let mut answerer = LocalAnswerer::new();
        let ids = manifest.fragment_ids().to_vec();
        for (id, bytes) in fragments {
            answerer.insert(id, Fragment::open(bytes).unwrap());
        }
        let model = Model::new(manifest).unwrap();
        let small = model.small_fragments().iter();
        let small = small.map(|&index| answerer.get(&ids[index as usize]).unwrap());
        let small = Arc::new(model.small_tensors(small).unwrap());
        Self {
            model: Arc::new(model),
            small,
            answerer,
        }
    }

    /// Reads a prompt of so many tokens and answers with so many; calls back at each token of the
    /// answer.
    pub fn run(&self, prompt: usize, answer: usize, mut token: impl FnMut()) {
        let config = Config {
            batch: prompt,
            ..Config::default()
        };
        let mut session = Session::new(self.model.clone(), self.small.clone(), config).unwrap();
        let tokens: Vec<u32> = (0..prompt as u32).map(|i| 300 + i * 7 % 200).collect();
        let generation = Generation {
            max_tokens: answer,
            ignore_end: true,
            ..Generation::default()
        };
        session.begin(&tokens, generation).unwrap();
        run_local(&mut session, &self.answerer, |event| {
            if matches!(event, Event::Token { .. }) {
                token();
            }
        })
        .unwrap();
    }
}
