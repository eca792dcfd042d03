//! Building blocks the views share.

mod chart;
mod coverage;
mod icon;
mod map;
mod mosaic;
mod notice;
mod prose;
mod scanner;
mod stepper;

pub(crate) use chart::{DayChart, LineChart};
pub(crate) use coverage::Coverage;
pub(crate) use icon::{Glyph, Icon, Logo};
pub(crate) use map::SwarmMap;
pub(crate) use mosaic::Mosaic;
pub(crate) use notice::{Explained, Notices, list};
pub(crate) use prose::Prose;
pub(crate) use scanner::Scanner;
pub(crate) use stepper::Stepper;
