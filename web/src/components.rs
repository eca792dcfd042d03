//! Building blocks the views share.

mod coverage;
mod icon;
mod mosaic;
mod notice;
mod prose;
mod stepper;

pub(crate) use coverage::Coverage;
pub(crate) use icon::{Glyph, Icon, Logo};
pub(crate) use mosaic::Mosaic;
pub(crate) use notice::{Explained, Notices, list};
pub(crate) use prose::Prose;
pub(crate) use stepper::Stepper;
