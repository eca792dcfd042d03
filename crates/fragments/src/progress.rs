/// What a long operation is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Fragments are being cut.
    Cutting,
    /// The model's file is being hashed.
    Hashing,
    /// Fragments are being checked.
    Verifying,
    /// Fragments are being joined.
    Joining,
    /// The joined file is being checked.
    Checking,
}

/// Hears how far a long operation is. `()` does not listen.
pub trait Progress {
    /// A stage begins that will handle this many bytes.
    fn begin(&mut self, stage: Stage, bytes: u64);

    /// So many bytes more were handled.
    fn advance(&mut self, bytes: u64);
}

impl Progress for () {
    fn begin(&mut self, _: Stage, _: u64) {}

    fn advance(&mut self, _: u64) {}
}
