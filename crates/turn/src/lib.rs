//! TURN ([RFC 8656](https://www.rfc-editor.org/rfc/rfc8656)) for the nodes of a swarm: what two of them whose routers
//! let no other way be found send each other goes through a third.
//!
//! The relay is *closed*. It hands on what one of its clients sends to another one, and nothing else: it can be used
//! neither to reach the network that it stands in, nor to send anything to anybody in its name. So it needs one port
//! only; the ports of the relayed addresses it gives away exist within it. Both ends have to be its clients, which nodes
//! that enter by the same node are.
//!
//! Whoever has [credentials](Issuer) can use it, for as long as they say; they are issued to everybody who is connected.
//! What it does for one address, one client and all of them together is bounded by [`Limits`].
//!
//! The protocol itself is that of the `turn-server` crate; here is who may use it, and how much.

mod form;
mod issuer;
mod limits;
mod server;

pub use issuer::{Credentials, Issuer};
pub use limits::Limits;
pub use server::{Server, Traffic};
