/// How the packets of a connection travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Route {
    /// To an address that the other side has itself.
    Direct,
    /// To one that a router made for it, after both sides had opened their own.
    Punched,
    /// Through a TURN server.
    Turn,
}
