//! Whether this device contributes now: what its user has chosen, and what the device says of itself.

use serde::{Deserialize, Serialize};

/// What somebody is here for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Part {
    /// To ask, and to lend fragments.
    #[default]
    Both,
    /// To ask only.
    Use,
    /// To lend fragments first of all.
    Contribute,
}

impl Part {
    pub(crate) const ALL: [Self; 3] = [Self::Both, Self::Use, Self::Contribute];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Both => "both",
            Self::Use => "use",
            Self::Contribute => "contribute",
        }
    }
}

/// Hours of the day, from the first to before the second; over midnight, if the second comes before the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Hours {
    pub(crate) from: u8,
    pub(crate) to: u8,
}

impl Hours {
    fn contain(self, hour: u8) -> bool {
        match self.from <= self.to {
            // The same hour twice is the whole day.
            true => self.from == self.to || (self.from..self.to).contains(&hour),
            false => hour >= self.from || hour < self.to,
        }
    }
}

/// When to contribute. Nobody's battery and nobody's paid data are used unless they say so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct When {
    /// Not now.
    pub(crate) paused: bool,
    /// Only while the battery is being charged, or there is none.
    pub(crate) charging: bool,
    /// Only where data costs nothing.
    pub(crate) unmetered: bool,
    /// Only in these hours.
    pub(crate) hours: Option<Hours>,
}

impl Default for When {
    fn default() -> Self {
        Self {
            paused: false,
            charging: true,
            unmetered: true,
            hours: None,
        }
    }
}

/// What a device says of itself; many say nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Device {
    pub(crate) charging: Option<bool>,
    pub(crate) metered: Option<bool>,
    pub(crate) hour: u8,
}

/// Whether it contributes, or why not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Contributing {
    Yes,
    /// It is here to ask only.
    NotWanted,
    Paused,
    /// It waits for these hours.
    Hours(Hours),
    /// It waits until it is charged.
    Battery,
    /// It waits for a connection without a price.
    Metered,
}

impl Contributing {
    pub(crate) fn now(part: Part, when: When, device: Device) -> Self {
        match (part, when.hours) {
            (Part::Use, _) => Self::NotWanted,
            _ if when.paused => Self::Paused,
            (_, Some(hours)) if !hours.contain(device.hour) => Self::Hours(hours),
            _ if when.charging && device.charging == Some(false) => Self::Battery,
            _ if when.unmetered && device.metered == Some(true) => Self::Metered,
            _ => Self::Yes,
        }
    }

    /// For tests.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Yes => "yes",
            Self::NotWanted => "not-wanted",
            Self::Paused => "paused",
            Self::Hours(_) => "hours",
            Self::Battery => "battery",
            Self::Metered => "metered",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_chosen_and_what_the_device_says_decide() {
        let all = When {
            paused: false,
            charging: true,
            unmetered: true,
            hours: Some(Hours { from: 22, to: 6 }),
        };
        let device = |charging, metered, hour| Device {
            charging,
            metered,
            hour,
        };
        let now = |part, when, device| Contributing::now(part, when, device);
        let good = device(Some(true), Some(false), 23);
        assert_eq!(now(Part::Both, all, good), Contributing::Yes);
        assert_eq!(now(Part::Contribute, all, good), Contributing::Yes);
        assert_eq!(now(Part::Use, all, good), Contributing::NotWanted);
        let paused = When {
            paused: true,
            ..all
        };
        assert_eq!(now(Part::Both, paused, good), Contributing::Paused);
        let day = device(Some(true), Some(false), 6);
        assert!(matches!(now(Part::Both, all, day), Contributing::Hours(_)));
        let battery = device(Some(false), Some(false), 3);
        assert_eq!(now(Part::Both, all, battery), Contributing::Battery);
        let paid = device(None, Some(true), 3);
        assert_eq!(now(Part::Both, all, paid), Contributing::Metered);
        // Who says nothing of it is believed to have both.
        assert_eq!(
            now(Part::Both, all, device(None, None, 3)),
            Contributing::Yes
        );
        let always = When {
            charging: false,
            unmetered: false,
            ..When::default()
        };
        assert_eq!(now(Part::Both, always, battery), Contributing::Yes);
        assert_eq!(now(Part::Both, always, paid), Contributing::Yes);
        // Unless something else is chosen.
        assert_eq!(
            now(Part::Both, When::default(), battery),
            Contributing::Battery
        );
    }

    #[test]
    fn hours_may_go_over_midnight() {
        let contain = |from, to, hour| Hours { from, to }.contain(hour);
        assert!(
            contain(9, 17, 9) && contain(9, 17, 16) && !contain(9, 17, 17) && !contain(9, 17, 8)
        );
        assert!(
            contain(22, 6, 22) && contain(22, 6, 5) && !contain(22, 6, 6) && !contain(22, 6, 12)
        );
        assert!(contain(8, 8, 3));
    }
}
