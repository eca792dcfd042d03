/// A dimension of a tensor, in terms of what the metadata say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Dim {
    /// Width of the state between layers.
    Embedding,
    /// Tokens.
    Vocabulary,
    /// Pairs of values that positions turn.
    RopePairs,
    /// Heads × width of a key.
    Queries,
    /// Key and value heads × width of a key.
    Keys,
    /// Key and value heads × width of a value.
    Values,
    /// Heads × width of a value.
    Seen,
    /// Width of a query or key.
    Key,
    /// Width of a value.
    Value,
    /// Heads.
    Heads,
    /// Width of the queries' latent.
    QueryRank,
    /// Width of the latent of keys and values.
    KeyValueRank,
    /// The same with the key's rotated part.
    KeyValueRankAndRope,
    /// Width of a query without its rotated part.
    Unrotated,
    /// Hidden width of a dense layer.
    Dense,
    /// Hidden width of an expert.
    Expert,
    /// Hidden width of the expert all tokens share.
    Shared,
    /// Experts.
    Experts,
}

/// Which files have a tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Presence {
    /// All.
    Always,
    /// Some do, and then it is used.
    Optional,
    /// Those whose queries go through a latent.
    WithQueryRank,
    /// Those whose queries come from the hidden state.
    WithoutQueryRank,
    /// Those with an expert that all tokens share.
    WithShared,
}

/// A tensor that an architecture has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tensor {
    /// Its name, without the layer.
    pub name: &'static str,
    /// Its dimensions, row length first.
    pub shape: &'static [Dim],
    /// Which files have it.
    pub presence: Presence,
}

pub(crate) const fn tensor(
    presence: Presence,
    name: &'static str,
    shape: &'static [Dim],
) -> Tensor {
    Tensor {
        name,
        shape,
        presence,
    }
}
