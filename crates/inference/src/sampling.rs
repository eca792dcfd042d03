//! Choosing the next token.

use kernels::math;
use rand_chacha::{
    ChaCha8Rng,
    rand_core::{RngCore, SeedableRng},
};
use serde::{Deserialize, Serialize};

use crate::tokenizer::Token;

/// How the next token is chosen from the logits.
///
/// A choice depends on these settings, the logits and the tokens before it, and on nothing else: there is
/// no generator whose state would have to follow a session to another machine. A session that is resumed
/// elsewhere, from its tokens alone, says the same.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Sampling {
    /// Below 1 likely tokens become likelier; at 0 the likeliest is always taken.
    pub temperature: f32,
    /// Only this many of the likeliest are considered; 0 for all.
    pub top_k: usize,
    /// Only the fewest likeliest that reach this probability together are considered; 1 for all.
    pub top_p: f32,
    /// Only tokens at least this fraction as likely as the likeliest are considered; 0 for all.
    pub min_p: f32,
    /// Tokens said lately are this many times less likely (in logits); 1 for no penalty.
    pub repetition_penalty: f32,
    /// How many of the last tokens count as lately.
    pub repetition_window: usize,
    /// Chance: the same seed gives the same answer.
    pub seed: u64,
}

impl Default for Sampling {
    /// Greedy.
    fn default() -> Self {
        Self {
            temperature: 0.0,
            top_k: 0,
            top_p: 1.0,
            min_p: 0.0,
            repetition_penalty: 1.0,
            repetition_window: 64,
            seed: 0,
        }
    }
}

/// A setting is out of its range.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{name} is {value}, but must be {range}")]
pub struct InvalidSampling {
    name: &'static str,
    value: f32,
    range: &'static str,
}

#[derive(Clone, Copy)]
struct Candidate {
    token: Token,
    logit: f32,
}

impl Sampling {
    /// Checks the settings.
    pub fn validate(&self) -> Result<(), InvalidSampling> {
        let check = |name, value: f32, ok, range| {
            let error = InvalidSampling { name, value, range };
            if ok { Ok(()) } else { Err(error) }
        };
        let (t, p, m, r) = (
            self.temperature,
            self.top_p,
            self.min_p,
            self.repetition_penalty,
        );
        check("temperature", t, t.is_finite() && t >= 0.0, "0 or more")?;
        check("top_p", p, p > 0.0 && p <= 1.0, "above 0 and at most 1")?;
        check("min_p", m, (0.0..=1.0).contains(&m), "from 0 to 1")?;
        check("repetition_penalty", r, r.is_finite() && r > 0.0, "above 0")
    }

    /// The token that follows `history`; `None` only if there are no logits. Of equally good ones the
    /// lowest id is taken.
    pub fn choose(&self, logits: &[f32], history: &[Token]) -> Option<Token> {
        let mut candidates = candidates(logits);
        self.penalise(&mut candidates, history);
        if self.temperature <= 0.0 {
            return candidates
                .into_iter()
                .min_by(best_first)
                .map(|best| best.token);
        }
        if self.top_k > 0 {
            keep_best(&mut candidates, self.top_k);
        }
        candidates.sort_unstable_by(best_first);
        self.keep_top_p(&mut candidates);
        self.keep_min_p(&mut candidates);
        self.draw(&candidates, history.len())
    }

    fn penalise(&self, candidates: &mut [Candidate], history: &[Token]) {
        if self.repetition_penalty == 1.0 {
            return;
        }
        let start = history.len().saturating_sub(self.repetition_window);
        let mut recent = history[start..].to_vec();
        recent.sort_unstable();
        recent.dedup();
        for token in recent {
            if let Some(Candidate { logit, .. }) = candidates.get_mut(token as usize) {
                // Less likely means smaller whatever the sign.
                if *logit > 0.0 {
                    *logit /= self.repetition_penalty;
                } else {
                    *logit *= self.repetition_penalty;
                }
            }
        }
    }

    fn keep_top_p(&self, candidates: &mut Vec<Candidate>) {
        if self.top_p >= 1.0 {
            return;
        }
        let mut sum = 0.0;
        let probabilities = probabilities(candidates, 1.0);
        let enough = probabilities.iter().position(|p| {
            sum += p;
            sum >= self.top_p
        });
        if let Some(last) = enough {
            candidates.truncate(last + 1);
        }
    }

    fn keep_min_p(&self, candidates: &mut Vec<Candidate>) {
        if let Some(best) = candidates.first()
            && self.min_p > 0.0
        {
            let least = best.logit + math::ln(self.min_p);
            let kept = candidates.partition_point(|candidate| candidate.logit >= least);
            candidates.truncate(kept.max(1));
        }
    }

    fn draw(&self, candidates: &[Candidate], position: usize) -> Option<Token> {
        let mut chance = ChaCha8Rng::seed_from_u64(self.seed);
        chance.set_stream(position as u64);
        // 24 bits: every value is an f32 below 1.
        let mut left = (chance.next_u32() >> 8) as f32 / (1 << 24) as f32;
        for (candidate, p) in candidates
            .iter()
            .zip(probabilities(candidates, self.temperature))
        {
            left -= p;
            if left < 0.0 {
                return Some(candidate.token);
            }
        }
        // The probabilities may add up to a little less than 1.
        candidates.last().map(|last| last.token)
    }
}

/// How likely tokens are by the logits alone, whatever the sampling makes of them.
#[derive(Clone, Debug, PartialEq)]
pub struct Likelihood {
    /// Of the token asked about, as the natural logarithm of its probability.
    pub chosen: f32,
    /// The likeliest tokens with the same, the likeliest first.
    pub likeliest: Vec<(Token, f32)>,
}

impl Likelihood {
    /// How likely a token was, and which `count` were likeliest. `None` if there is no logit of it.
    pub fn of(token: Token, logits: &[f32], count: usize) -> Option<Self> {
        let chosen = *logits.get(token as usize)?;
        let best = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        // In one order and in the project's own functions, as all sums are.
        let sum: f32 = logits.iter().map(|logit| math::exp(logit - best)).sum();
        let log_sum = best + math::ln(sum);
        let mut candidates = candidates(logits);
        keep_best(&mut candidates, count);
        candidates.sort_unstable_by(best_first);
        let likeliest = candidates.iter().map(|it| (it.token, it.logit - log_sum));
        Some(Self {
            chosen: chosen - log_sum,
            likeliest: likeliest.collect(),
        })
    }
}

fn candidates(logits: &[f32]) -> Vec<Candidate> {
    let candidate = |(token, &logit)| Candidate { token, logit };
    (0..).zip(logits).map(candidate).collect()
}

/// Keeps so many of the likeliest, in any order.
fn keep_best(candidates: &mut Vec<Candidate>, count: usize) {
    if count < candidates.len() {
        candidates.select_nth_unstable_by(count, best_first);
        candidates.truncate(count);
    }
}

fn best_first(a: &Candidate, b: &Candidate) -> std::cmp::Ordering {
    b.logit.total_cmp(&a.logit).then(a.token.cmp(&b.token))
}

fn probabilities(candidates: &[Candidate], temperature: f32) -> Vec<f32> {
    let logits = candidates
        .iter()
        .map(|candidate| candidate.logit / temperature);
    let mut values: Vec<f32> = logits.collect();
    math::softmax(&mut values);
    values
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a panic is how a test fails")]
mod tests {
    use super::*;

    const WARM: Sampling = Sampling {
        temperature: 1.0,
        top_k: 0,
        top_p: 1.0,
        min_p: 0.0,
        repetition_penalty: 1.0,
        repetition_window: 64,
        seed: 7,
    };

    /// How often each of four tokens is chosen at 4,000 places.
    fn counts(sampling: Sampling, logits: [f32; 4]) -> [u32; 4] {
        let mut counts = [0; 4];
        let history = vec![9; 4000];
        for position in 0..history.len() {
            let token = sampling.choose(&logits, &history[..position]);
            counts[token.unwrap() as usize] += 1;
        }
        counts
    }

    #[test]
    fn of_equally_good_tokens_greedy_takes_the_lowest() {
        let greedy = Sampling::default();
        assert_eq!(greedy.choose(&[0.5, 2.0, -1.0, 2.0], &[]), Some(1));
        assert_eq!(greedy.choose(&[], &[]), None);
    }

    #[test]
    fn tokens_are_chosen_as_often_as_they_are_likely() {
        let ln = |x: f32| math::ln(x);
        let counts = counts(WARM, [ln(0.1), ln(0.2), ln(0.3), ln(0.4)]);
        for (count, p) in counts.into_iter().zip([0.1, 0.2, 0.3, 0.4]) {
            let expected = 4000.0 * p;
            assert!((f64::from(count) - expected).abs() < 120.0, "{counts:?}");
        }
    }

    #[test]
    fn unlikely_tokens_are_left_out() {
        let logits = [3.0, 2.0, 1.0, 0.0]; // 0.64, 0.24, 0.09, 0.03
        let chosen = |sampling| counts(sampling, logits).map(|count| count > 0);
        assert_eq!(chosen(WARM), [true; 4]);
        assert_eq!(
            chosen(Sampling { top_k: 2, ..WARM }),
            [true, true, false, false]
        );
        assert_eq!(
            chosen(Sampling { top_p: 0.7, ..WARM }),
            [true, true, false, false]
        );
        assert_eq!(
            chosen(Sampling { min_p: 0.1, ..WARM }),
            [true, true, true, false]
        );
        assert_eq!(
            chosen(Sampling { min_p: 1.0, ..WARM }),
            [true, false, false, false]
        );
    }

    #[test]
    fn a_choice_depends_on_the_seed_and_the_place_only() {
        let logits: Vec<f32> = (0..100).map(|i| (i % 7) as f32 / 3.0).collect();
        let say = |seed| {
            let mut said = Vec::new();
            for _ in 0..50 {
                let next = Sampling { seed, ..WARM }.choose(&logits, &said);
                said.extend(next);
            }
            said
        };
        assert_eq!(say(1), say(1));
        assert_ne!(say(1), say(2));
        // Written down once: it must be the same on every machine and in every version.
        assert_eq!(say(1)[..8], [11, 93, 18, 48, 40, 13, 90, 62]);
    }

    #[test]
    fn what_was_said_lately_becomes_less_likely() {
        let sampling = Sampling {
            repetition_penalty: 2.0,
            repetition_window: 2,
            ..Sampling::default()
        };
        assert_eq!(sampling.choose(&[1.0, 0.9], &[]), Some(0));
        assert_eq!(sampling.choose(&[1.0, 0.9], &[0, 5, 0]), Some(1));
        assert_eq!(sampling.choose(&[1.0, 0.9], &[0, 5, 5]), Some(0));
        assert_eq!(sampling.choose(&[-1.0, -1.9], &[0, 5, 0]), Some(1));
    }

    #[test]
    fn how_likely_a_token_was_is_told() {
        let logits = [0.1, 0.2, 0.3, 0.4].map(|p: f32| math::ln(p) + 3.0);
        let told = Likelihood::of(1, &logits, 2).unwrap();
        let near = |a: f32, p: f32| (a - math::ln(p)).abs() < 1e-5;
        assert!(near(told.chosen, 0.2), "{told:?}");
        let tokens: Vec<_> = told.likeliest.iter().map(|it| it.0).collect();
        assert_eq!(tokens, [3, 2]);
        assert!(near(told.likeliest[0].1, 0.4) && near(told.likeliest[1].1, 0.3));
        assert_eq!(Likelihood::of(0, &logits, 9).unwrap().likeliest.len(), 4);
        assert_eq!(Likelihood::of(0, &logits, 0).unwrap().likeliest, []);
        assert_eq!(Likelihood::of(4, &logits, 1), None);
    }

    #[test]
    fn settings_out_of_range_are_named() {
        let wrong = Sampling { top_p: 0.0, ..WARM };
        let message = wrong.validate().unwrap_err().to_string();
        assert_eq!(message, "top_p is 0, but must be above 0 and at most 1");
        assert!(
            Sampling {
                temperature: f32::NAN,
                ..WARM
            }
            .validate()
            .is_err()
        );
        assert!(WARM.validate().is_ok());
    }
}
