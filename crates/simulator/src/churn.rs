//! What is left of a model while nodes come and go all the time, and providers' networks fail now and then.

mod pages;
mod run;
pub mod study;

use std::time::Duration;

use rand::Rng;
use rand_chacha::ChaCha8Rng;

use crate::Device;

/// How long a device is there, and how long it is not, on average. Assumptions: a phone has the page open now and then, a
/// computer at home runs for some hours a day, a server is restarted now and then.
fn habits(device: Device) -> (Duration, Duration) {
    const MINUTE: u64 = 60;
    const HOUR: u64 = 60 * MINUTE;
    let (there, away) = match device {
        Device::Phone => (30 * MINUTE, 5 * HOUR),
        Device::Home => (6 * HOUR, 10 * HOUR),
        Device::Server => (20 * 24 * HOUR, HOUR),
    };
    (Duration::from_secs(there), Duration::from_secs(away))
}

/// How many there are of a kind of device for each that is there.
fn times(device: Device) -> f64 {
    let (there, away) = habits(device);
    (there + away).as_secs_f64() / there.as_secs_f64()
}

/// A time with this mean, by Weibull's distribution with shape ½: most are short and some very long, as sessions in networks
/// of peers were found to be wherever they were measured (Stutzbach and Rejaie, "Understanding Churn in Peer-to-Peer
/// Networks", 2006, found shapes of 0.34 to 0.59). Half of all last a quarter of the mean at most.
fn draw(mean: Duration, rng: &mut ChaCha8Rng) -> Duration {
    // 53 bits, so that no logarithm of nothing is taken.
    let share = (rng.random_range(0..1_u64 << 53) + 1) as f64 / (1_u64 << 53) as f64;
    let log = libm::log(share);
    mean.mul_f64(log * log / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;

    #[test]
    fn most_times_are_short_and_their_mean_is_as_wanted() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let mean = Duration::from_secs(1000);
        let mut all: Vec<_> = (0..20_000).map(|_| draw(mean, &mut rng)).collect();
        all.sort_unstable();
        let sum: Duration = all.iter().sum();
        let is = sum.as_secs_f64() / all.len() as f64;
        assert!((950.0..1050.0).contains(&is), "{is}");
        // (ln 2)² / 2
        let median = all[all.len() / 2].as_secs_f64();
        assert!((230.0..250.0).contains(&median), "{median}");
    }
}
