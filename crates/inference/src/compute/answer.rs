use fragments::{Fragment, PartKind, Role, StoredPart};
use kernels::{Activations, Encoding, Isa, encoding_for, math, reference};

use super::{
    Arithmetic, Error, Exactness, MAX_TOKENS, Operation, Request, Response,
    multiply::{Cpu, Multiplier, Product, Weights, immediate},
};
use crate::tokenizer::Token;

/// Values of the largest answer, 64 MiB of them: more than any request needs.
const MAX_VALUES: usize = 16 << 20;

/// Answers a request about a fragment: a pure function, the same bits on every machine.
pub fn answer<B: AsRef<[u8]>>(
    fragment: &Fragment<B>,
    request: &Request,
) -> Result<Response, Error> {
    answer_with(Isa::best(), fragment, request)
}

/// [`answer`] with chosen instructions, for tests: the bits are the same.
pub fn answer_with<B: AsRef<[u8]>>(
    isa: Isa,
    fragment: &Fragment<B>,
    request: &Request,
) -> Result<Response, Error> {
    immediate(Part::new(&Cpu::with(isa), fragment, request)?.answer())
}

/// Answers a request about a fragment with products of another device, if the request allows that they are approximate;
/// otherwise as [`answer`] does.
pub async fn answer_by<M: Multiplier, B: AsRef<[u8]>>(
    multiplier: &M,
    fragment: &Fragment<B>,
    request: &Request,
) -> Result<Response, Error> {
    match request.arithmetic {
        Arithmetic::Approximate => Part::new(multiplier, fragment, request)?.answer().await,
        Arithmetic::Quantised | Arithmetic::Reference => answer(fragment, request),
    }
}

pub(super) struct Part<'a, M, B> {
    multiplier: &'a M,
    fragment: &'a Fragment<B>,
    part: &'a StoredPart,
    request: &'a Request,
    /// Of all products so far.
    exactness: Exactness,
}

impl<'a, M: Multiplier, B: AsRef<[u8]>> Part<'a, M, B> {
    fn new(
        multiplier: &'a M,
        fragment: &'a Fragment<B>,
        request: &'a Request,
    ) -> Result<Self, Error> {
        let tokens = request.tokens();
        if !(1..=MAX_TOKENS).contains(&tokens) {
            return Err(Error::Tokens(tokens));
        }
        let part = fragment.parts().get(usize::from(request.part));
        Ok(Self {
            multiplier,
            fragment,
            part: part.ok_or(Error::NoSuchPart(request.part))?,
            request,
            exactness: Exactness::Exact,
        })
    }

    async fn answer(mut self) -> Result<Response, Error> {
        if let Operation::Embed(tokens) = &self.request.operation {
            return self.embed(tokens);
        }
        let input = self.request.input.as_deref().ok_or(Error::Input)?;
        match &self.request.operation {
            Operation::Embed(tokens) => self.embed(tokens),
            Operation::Qkv => self.products(&[Role::Q, Role::K, Role::V], input).await,
            Operation::AttentionOutput => match self.part.kind {
                PartKind::LatentAttention { .. } => self.latent_output(input).await,
                _ => self.products(&[Role::AttentionOutput], input).await,
            },
            Operation::Latent => self.products(&[self.latent()?], input).await,
            Operation::LatentQueries => self.latent_queries(input).await,
            Operation::FeedForward => self.feed_forward(input).await,
            Operation::Logits => self.products(&[self.head()], input).await,
        }
    }

    pub(super) fn response(&self, tokens: usize, width: usize, values: Vec<f32>) -> Response {
        Response {
            tokens,
            width,
            values,
            exactness: self.exactness,
        }
    }

    pub(super) fn slice(&self, role: Role) -> Result<Weights<'a>, Error> {
        self.optional(role)?.ok_or_else(|| self.wrong_operation())
    }

    fn optional(&self, role: Role) -> Result<Option<Weights<'a>>, Error> {
        let Some(slice) = self.part.slice(role) else {
            return Ok(None);
        };
        let len = |range: &std::ops::Range<u64>| {
            let len = range.end.checked_sub(range.start);
            usize::try_from(len.ok_or_else(|| self.inconsistent())?).map_err(|_| Error::TooLarge)
        };
        Ok(Some(Weights {
            slice,
            start: slice.offset as usize,
            bytes: self.fragment.slice_bytes(slice),
            rows: len(&slice.rows)?,
            columns: len(&slice.columns)?,
        }))
    }

    pub(super) fn wrong_operation(&self) -> Error {
        Error::WrongOperation {
            part: self.request.part,
            operation: self.request.operation.name(),
        }
    }

    pub(super) fn inconsistent(&self) -> Error {
        Error::Inconsistent(self.request.part)
    }

    /// What serves as the output head: where a model has none of its own, the embedding does.
    fn head(&self) -> Role {
        match self.part.kind {
            PartKind::Embedding { .. } => Role::Embedding,
            _ => Role::Output,
        }
    }

    fn embed(&self, tokens: &[Token]) -> Result<Response, Error> {
        if self.request.input.is_some() {
            return Err(Error::Input);
        }
        let weights = self.slice(Role::Embedding)?;
        let width = weights.columns;
        let row_bytes = weights.slice.ty.row_bytes(width as u64);
        let row_bytes = row_bytes.and_then(|bytes| usize::try_from(bytes).ok());
        let row_bytes = row_bytes.ok_or_else(|| self.inconsistent())?;
        let mut values = zeros(tokens.len(), width)?;
        for (&token, values) in tokens.iter().zip(values.chunks_exact_mut(width.max(1))) {
            let row = u64::from(token).checked_sub(weights.slice.rows.start);
            let row = row.filter(|&row| row < weights.rows as u64);
            let start = row.ok_or(Error::NoSuchRow(token))? as usize * row_bytes;
            let bytes = weights.bytes.get(start..start + row_bytes);
            let bytes = bytes.ok_or_else(|| self.inconsistent())?;
            reference::dequantise(weights.slice.ty, bytes, values)?;
        }
        Ok(self.response(tokens.len(), width, values))
    }

    /// The products of the input with several slices, side by side.
    async fn products(&mut self, roles: &[Role], input: &Activations) -> Result<Response, Error> {
        let mut results = Vec::with_capacity(roles.len());
        for &role in roles {
            let weights = self.slice(role)?;
            results.push((weights.rows, self.product(&weights, input).await?));
        }
        let tokens = input.tokens();
        let width = results.iter().map(|(rows, _)| rows).sum();
        if let [_] = results.as_slice()
            && let Some((_, values)) = results.pop()
        {
            return Ok(self.response(tokens, width, values));
        }
        let mut values = Vec::with_capacity(tokens * width);
        for token in 0..tokens {
            for (rows, result) in &results {
                values.extend_from_slice(&result[token * rows..(token + 1) * rows]);
            }
        }
        Ok(self.response(tokens, width, values))
    }

    async fn feed_forward(&mut self, input: &Activations) -> Result<Response, Error> {
        let (gate, up) = (self.slice(Role::Gate)?, self.slice(Role::Up)?);
        let down = self.slice(Role::Down)?;
        if gate.rows != up.rows || gate.rows != down.columns {
            return Err(self.inconsistent());
        }
        let mut hidden = self.product(&gate, input).await?;
        self.bias(&mut hidden, Role::GateBias, gate.rows)?;
        let mut factors = self.product(&up, input).await?;
        self.bias(&mut factors, Role::UpBias, up.rows)?;
        math::swiglu(&mut hidden, &factors)?;
        let hidden = self.encode(&down, hidden)?;
        let values = self.product(&down, &hidden).await?;
        Ok(self.response(input.tokens(), down.rows, values))
    }

    /// Adds a bias to each row of results, if the part has one.
    fn bias(&self, rows: &mut [f32], role: Role, width: usize) -> Result<(), Error> {
        let Some(bias) = self.optional(role)? else {
            return Ok(());
        };
        if bias.columns != width || bias.rows != 1 {
            return Err(self.inconsistent());
        }
        let mut values = zeros(1, width)?;
        reference::dequantise(bias.slice.ty, bias.bytes, &mut values)?;
        for row in rows.chunks_exact_mut(width.max(1)) {
            for (value, bias) in row.iter_mut().zip(&values) {
                *value += bias;
            }
        }
        Ok(())
    }

    /// Results on the way to the next weights, as these want them.
    pub(super) fn encode(&self, weights: &Weights, values: Vec<f32>) -> Result<Activations, Error> {
        let encoding = match self.request.arithmetic {
            Arithmetic::Quantised | Arithmetic::Approximate => needed(weights)?,
            Arithmetic::Reference => Encoding::F32,
        };
        Ok(Activations::encode(encoding, weights.columns, &values)?)
    }

    /// Which latent the part has rows of.
    fn latent(&self) -> Result<Role, Error> {
        let roles = [Role::QueryDown, Role::KeyValueDown];
        let found = roles
            .into_iter()
            .find(|&role| self.part.slice(role).is_some());
        found.ok_or_else(|| self.wrong_operation())
    }

    pub(super) async fn product(
        &mut self,
        weights: &Weights<'_>,
        input: &Activations,
    ) -> Result<Vec<f32>, Error> {
        if input.width() != weights.columns {
            return Err(Error::Width {
                expected: weights.columns,
                found: input.width(),
            });
        }
        match self.request.arithmetic {
            Arithmetic::Quantised | Arithmetic::Approximate => {
                let input = input.to_encoding(needed(weights)?)?;
                let Product { values, exactness } =
                    self.multiplier.multiply(weights, &input).await?;
                self.exactness = self.exactness.and(exactness);
                Ok(values)
            }
            Arithmetic::Reference if input.encoding() == Encoding::F32 => {
                let (x, tokens) = (input.decode(), input.tokens());
                let (rows, columns) = (weights.rows, weights.columns);
                let mut values = zeros(tokens, rows)?;
                reference::matmul(
                    weights.slice.ty,
                    weights.bytes,
                    rows,
                    columns,
                    &x,
                    tokens,
                    &mut values,
                )?;
                Ok(values)
            }
            Arithmetic::Reference => Err(Error::NotPlain(input.encoding())),
        }
    }
}

fn needed(weights: &Weights) -> Result<Encoding, Error> {
    let ty = weights.slice.ty;
    encoding_for(ty).ok_or(Error::Kernel(kernels::Error::Unsupported(ty)))
}

pub(super) fn zeros(tokens: usize, width: usize) -> Result<Vec<f32>, Error> {
    let len = tokens.checked_mul(width).filter(|&len| len <= MAX_VALUES);
    Ok(vec![0.0; len.ok_or(Error::TooLarge)?])
}
