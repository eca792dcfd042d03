//! Several nodes in virtual time: what the swarm promises, told as small stories.

mod chaos;
mod downloads;
mod healing;
mod hostile;
mod jobs;
mod missing;
mod overload;
mod places;
mod requests;
mod stages;
