//! The screens.

mod chat;
mod conditions;
mod contribute;
mod conversations;
mod dashboard;
mod graphics;
mod joining;
mod main_screen;
mod message;
mod no_swarm;
mod preflight;
mod privacy;
mod route;
mod settings;
mod share;
mod storage;
mod welcome;

pub(crate) use joining::Joining;
pub(crate) use main_screen::Main;
pub(crate) use no_swarm::NoSwarm;
pub(crate) use welcome::Welcome;
