//! What a worker does with the heads of latent attention: each head has matrices of its own.

use fragments::Role;
use kernels::Activations;

use super::{
    Error, Response,
    answer::{Part, zeros},
    multiply::{Multiplier, Weights},
};

/// One head's share of a part.
struct Heads<'a> {
    count: usize,
    /// From a query to the latent: `latent` rows of `plain` columns for each head.
    up: Weights<'a>,
    latent: usize,
    /// Width of what positions do not turn.
    plain: usize,
}

impl<'a, M: Multiplier, B: AsRef<[u8]>> Part<'a, M, B> {
    /// The heads of a part, from the shape of what leads their queries into the latent:
    /// `[plain, latent, heads]`.
    fn heads(&self) -> Result<Heads<'a>, Error> {
        let up = self.slice(Role::KeyUp)?;
        let latent = up.slice.shape.get(1).and_then(|&n| usize::try_from(n).ok());
        let latent = latent.filter(|&n| n > 0 && up.rows.is_multiple_of(n));
        let latent = latent.ok_or_else(|| self.inconsistent())?;
        Ok(Heads {
            count: up.rows / latent,
            up,
            latent,
            plain: up.columns,
        })
    }

    /// For each token and head, the query led into the latent, and behind it the part that positions turn.
    pub(super) async fn latent_queries(&mut self, input: &Activations) -> Result<Response, Error> {
        let heads = self.heads()?;
        let queries = match self.slice(Role::QueryUp) {
            Ok(queries) => queries,
            Err(_) => self.slice(Role::Q)?,
        };
        let width = queries.rows / heads.count.max(1);
        if width < heads.plain || width * heads.count != queries.rows {
            return Err(self.inconsistent());
        }
        let tokens = input.tokens();
        let rows = self.product(&queries, input).await?;
        let turned = width - heads.plain;
        let each = heads.latent + turned;
        let mut values = zeros(tokens, heads.count * each)?;
        for head in 0..heads.count {
            let query = |token: usize| &rows[(token * heads.count + head) * width..][..width];
            let plain: Vec<f32> = (0..tokens)
                .flat_map(|token| &query(token)[..heads.plain])
                .copied()
                .collect();
            let up = share(&heads.up, head, heads.count);
            let plain = self.encode(&up, plain)?;
            let led = self.product(&up, &plain).await?;
            for token in 0..tokens {
                let (latent, rest) = values[(token * heads.count + head) * each..][..each]
                    .split_at_mut(heads.latent);
                latent.copy_from_slice(&led[token * heads.latent..][..heads.latent]);
                rest.copy_from_slice(&query(token)[heads.plain..]);
            }
        }
        Ok(self.response(tokens, heads.count * each, values))
    }

    /// What each head sees in the latent, led out of it and through the output projection.
    pub(super) async fn latent_output(&mut self, input: &Activations) -> Result<Response, Error> {
        let (values, output) = (
            self.slice(Role::ValueUp)?,
            self.slice(Role::AttentionOutput)?,
        );
        let latent = values.columns;
        let heads = input.width() / latent.max(1);
        let width = values.rows / heads.max(1);
        if heads * latent != input.width() || width * heads != values.rows || width == 0 {
            return Err(Error::Width {
                expected: self.heads()?.count * latent,
                found: input.width(),
            });
        }
        if output.columns != values.rows {
            return Err(self.inconsistent());
        }
        let tokens = input.tokens();
        let mut seen = zeros(tokens, values.rows)?;
        let bytes = input.to_bytes();
        for head in 0..heads {
            // A head's share of a row is whole blocks, since it is a row of the weights it meets.
            let each = bytes.len() / (tokens * heads);
            let rows: Vec<u8> = (0..tokens)
                .flat_map(|token| &bytes[(token * heads + head) * each..][..each])
                .copied()
                .collect();
            let rows = Activations::from_bytes(input.encoding(), latent, tokens, &rows)?;
            let led = self.product(&share(&values, head, heads), &rows).await?;
            for (token, led) in led.chunks_exact(width).enumerate() {
                seen[token * values.rows + head * width..][..width].copy_from_slice(led);
            }
        }
        let seen = self.encode(&output, seen)?;
        let values = self.product(&output, &seen).await?;
        Ok(self.response(tokens, output.rows, values))
    }
}

/// One head's rows of weights that have equally many for each.
fn share<'a>(weights: &Weights<'a>, head: usize, heads: usize) -> Weights<'a> {
    let (rows, len) = (weights.rows / heads, weights.bytes.len() / heads);
    Weights {
        rows,
        start: weights.start + head * len,
        bytes: &weights.bytes[head * len..][..len],
        ..*weights
    }
}
