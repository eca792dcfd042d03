use serde::Serialize;

macro_rules! roles {
    ($($(#[$doc:meta])* $variant:ident = $id:literal;)*) => {
        /// What a tensor is in the model.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
        #[serde(rename_all = "kebab-case")]
        #[non_exhaustive]
        pub enum Role { $($(#[$doc])* $variant,)* }

        impl Role {
            /// The role's number where it is stored. Numbers are never used for anything else again.
            pub fn id(self) -> u32 {
                match self { $(Self::$variant => $id),* }
            }

            /// The role with this number.
            pub fn from_id(id: u32) -> Option<Self> {
                match id { $($id => Some(Self::$variant),)* _ => None }
            }
        }
    };
}

roles! {
    /// Anything that has no role of its own; its name says what it is.
    Other = 0;
    /// The token embedding.
    Embedding = 1;
    /// The output head.
    Output = 2;
    /// The query projection.
    Q = 3;
    /// The key projection.
    K = 4;
    /// The value projection.
    V = 5;
    /// The output projection of attention.
    AttentionOutput = 6;
    /// The gate of a feed-forward layer or expert.
    Gate = 7;
    /// Its up projection.
    Up = 8;
    /// Its down projection.
    Down = 9;
    /// What chooses the experts.
    Router = 10;
    /// The norm before attention.
    AttentionNorm = 11;
    /// The norm before the feed-forward layer.
    FeedForwardNorm = 12;
    /// The norm before the output head.
    OutputNorm = 13;
    /// Factors on the frequencies of the rotary embedding.
    RopeFactors = 14;
    /// Latent attention: from the hidden state to the queries' latent.
    QueryDown = 15;
    /// From the queries' latent to all heads' queries.
    QueryUp = 16;
    /// From the hidden state to the latent of keys and values, and the key's rotated part.
    KeyValueDown = 17;
    /// Head by head, from queries to the latent that keys are kept as (absorbed key projection).
    KeyUp = 18;
    /// Head by head, from the latent to values.
    ValueUp = 19;
    /// The norm of each head's query.
    QueryNorm = 20;
    /// The norm of each head's key.
    KeyNorm = 21;
    /// The norm of the queries' latent.
    QueryLatentNorm = 22;
    /// The norm of the latent of keys and values.
    KeyValueLatentNorm = 23;
    /// Added to the queries.
    QueryBias = 24;
    /// Added to the keys.
    KeyBias = 25;
    /// Added to the values.
    ValueBias = 26;
    /// Added to what attention gives.
    AttentionOutputBias = 27;
    /// Added to the gate.
    GateBias = 28;
    /// Added to the up projection.
    UpBias = 29;
    /// Added to what the feed-forward layer gives.
    DownBias = 30;
    /// Added to the experts' scores when they are chosen, but not when they are weighted.
    RouterBias = 31;
}
