//! How many blocks a peer is asked for at a time.
//!
//! A link is busy only while as much is on its way as it takes in during a round trip, and that differs by a factor of
//! thousands between two rooms and two continents. What is asked for beyond it only waits in somebody's buffer, in front
//! of what is urgent. As in [TCP Vegas](https://doi.org/10.1109/49.464716), the time that answers take tells which it is.

use std::time::Duration;

/// How large the windows of peers are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WindowLimits {
    /// Of one that answers late.
    pub least: usize,
    /// Of one of whom nothing is known yet.
    pub first: usize,
    /// Of one that answers as quickly however much it is asked for.
    pub most: usize,
}

impl Default for WindowLimits {
    fn default() -> Self {
        Self {
            least: 2,
            first: 16,
            most: 24,
        }
    }
}

/// The window of one peer.
#[derive(Debug, Clone, Copy)]
pub struct Window {
    limits: WindowLimits,
    blocks: usize,
    /// What the quickest block took.
    quickest: Option<Duration>,
}

impl Default for Window {
    fn default() -> Self {
        Self::new(WindowLimits::default())
    }
}

impl Window {
    /// Of a peer of whom nothing is known yet.
    #[must_use]
    pub fn new(limits: WindowLimits) -> Self {
        Self {
            limits,
            blocks: limits.first,
            quickest: None,
        }
    }

    /// How many blocks may be on their way.
    #[must_use]
    pub fn blocks(&self) -> usize {
        self.blocks
    }

    /// A whole block has come after `took`; up to then `on_the_way` were, itself included.
    pub fn block_came(&mut self, took: Duration, on_the_way: usize) {
        let quickest = self.quickest.map_or(took, |quickest| quickest.min(took));
        self.quickest = Some(quickest);
        if took <= quickest * 3 / 2 {
            // What is on its way hardly waits for each other. That more would not either, nobody knows who has not tried.
            if on_the_way >= self.blocks {
                self.blocks = (self.blocks + 1).min(self.limits.most);
            }
        } else if took > quickest * 3 {
            self.less(1);
        }
    }

    /// A block is late, or was refused because the peer has enough to do.
    pub fn back_off(&mut self) {
        self.less(self.blocks);
    }

    fn less(&mut self, by: usize) {
        let least = self.limits.least.min(self.blocks);
        self.blocks = self.blocks.saturating_sub(by).max(least);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::VecDeque;

    /// Fetches blocks over a link that takes `round_trip`, and `each` for a block; says how large the window was in the
    /// end, and how long it took.
    fn fetch(blocks: usize, round_trip: Duration, each: Duration) -> (usize, Duration) {
        let mut window = Window::new(WindowLimits::default());
        let (mut now, mut free) = (Duration::ZERO, Duration::ZERO);
        let mut on_the_way: VecDeque<(Duration, Duration)> = VecDeque::new();
        let mut asked = 0;
        while asked < blocks || !on_the_way.is_empty() {
            while asked < blocks && on_the_way.len() < window.blocks() {
                free = free.max(now + round_trip) + each;
                on_the_way.push_back((now, free));
                asked += 1;
            }
            let count = on_the_way.len();
            if let Some((since, at)) = on_the_way.pop_front() {
                now = at;
                window.block_came(at - since, count);
            }
        }
        (window.blocks(), now)
    }

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn a_long_and_wide_link_is_filled() {
        let (window, took) = fetch(200, 200 * MS, 8 * MS);
        assert_eq!(window, 24);
        // With four at a time: fifty round trips, ten seconds.
        assert!(took < 3 * Duration::from_secs(1), "{took:?}");
    }

    #[test]
    fn little_waits_in_buffers_in_front_of_a_narrow_link() {
        for round_trip in [1, 20, 200] {
            let (window, took) = fetch(200, round_trip * MS, 250 * MS);
            assert!(window <= 5, "{window} at {round_trip} ms");
            // And yet the link is never idle.
            assert!(took < 202 * 250 * MS, "{took:?} at {round_trip} ms");
        }
    }

    #[test]
    fn a_link_that_has_become_slower_is_asked_for_less() {
        let mut window = Window::new(WindowLimits::default());
        for _ in 0..50 {
            window.block_came(100 * MS, window.blocks());
        }
        assert_eq!(window.blocks(), 24);
        for _ in 0..5 {
            window.block_came(400 * MS, window.blocks());
        }
        assert_eq!(window.blocks(), 19);
        window.back_off();
        assert_eq!(window.blocks(), 2);
    }

    proptest! {
        #[test]
        fn the_limits_hold(
            [least, first, most] in prop::array::uniform3(0..40_usize).prop_map(|mut all| { all.sort_unstable(); all }),
            came in prop::collection::vec((any::<bool>(), 0..1000_u32), 0..100),
        ) {
            let mut window = Window::new(WindowLimits { least, first, most });
            for (late, took) in came {
                match late {
                    true => window.back_off(),
                    false => window.block_came(took * MS, window.blocks()),
                }
                prop_assert!((least..=most).contains(&window.blocks()));
            }
        }
    }
}
