//! Building blocks the views share.

mod chart;
mod check;
mod coverage;
mod icon;
mod map;
mod mosaic;
mod notice;
mod prose;
mod scanner;
mod stepper;
mod table;

pub(crate) use chart::{DayChart, LineChart};
pub(crate) use check::Check;
pub(crate) use coverage::Coverage;
pub(crate) use icon::{Glyph, Icon, Logo};
pub(crate) use map::SwarmMap;
pub(crate) use mosaic::Mosaic;
pub(crate) use notice::{Explained, Notices, list};
pub(crate) use prose::Prose;
pub(crate) use scanner::Scanner;
pub(crate) use stepper::Stepper;
pub(crate) use table::{Column, Table};
