use std::sync::Arc;

use fragments::FragmentId;
use kernels::{Activations, Encoding};
use prost::Message;

use super::{Arithmetic, Exactness, MAX_TOKENS, Operation, Request, Response};

/// Bytes are not a request or a response.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum WireError {
    /// Not the message at all.
    #[error("not a message of this protocol")]
    Protobuf(#[from] prost::DecodeError),
    /// A value outside its range.
    #[error("{0} is out of range")]
    Range(&'static str),
    /// The activations are not what the message says they are.
    #[error(transparent)]
    Activations(#[from] kernels::Error),
}

#[derive(Message)]
struct WireRequest {
    #[prost(bytes = "vec", tag = "1")]
    fragment: Vec<u8>,
    #[prost(uint32, tag = "2")]
    part: u32,
    #[prost(uint32, tag = "3")]
    operation: u32,
    #[prost(uint32, tag = "4")]
    arithmetic: u32,
    #[prost(uint32, repeated, tag = "5")]
    token_ids: Vec<u32>,
    #[prost(message, optional, tag = "6")]
    input: Option<WireActivations>,
    /// A leave, not a third arithmetic: nodes that do not know it answer exactly, which is as welcome.
    #[prost(bool, tag = "7")]
    may_be_approximate: bool,
}

#[derive(Message)]
struct WireActivations {
    #[prost(uint32, tag = "1")]
    encoding: u32,
    #[prost(uint32, tag = "2")]
    width: u32,
    #[prost(uint32, tag = "3")]
    tokens: u32,
    #[prost(bytes = "vec", tag = "4")]
    bytes: Vec<u8>,
}

#[derive(Message)]
struct WireResponse {
    #[prost(uint32, tag = "1")]
    tokens: u32,
    #[prost(uint32, tag = "2")]
    width: u32,
    #[prost(bytes = "vec", tag = "3")]
    values: Vec<u8>,
    #[prost(bool, tag = "4")]
    approximate: bool,
}

const ENCODINGS: [Encoding; 4] = [Encoding::F32, Encoding::F16, Encoding::Q8_0, Encoding::Q8_K];

/// A request as it travels.
pub fn encode_request(request: &Request) -> Vec<u8> {
    let (operation, token_ids) = match &request.operation {
        Operation::Embed(tokens) => (1, tokens.clone()),
        Operation::Qkv => (2, Vec::new()),
        Operation::AttentionOutput => (3, Vec::new()),
        Operation::FeedForward => (4, Vec::new()),
        Operation::Logits => (5, Vec::new()),
        Operation::Latent => (6, Vec::new()),
        Operation::LatentQueries => (7, Vec::new()),
    };
    let input = request.input.as_ref().map(|input| WireActivations {
        encoding: ENCODINGS
            .iter()
            .position(|&e| e == input.encoding())
            .map_or(0, |at| at as u32 + 1),
        width: input.width() as u32,
        tokens: input.tokens() as u32,
        bytes: input.to_bytes(),
    });
    WireRequest {
        fragment: request.fragment.digest().to_vec(),
        part: u32::from(request.part),
        operation,
        arithmetic: match request.arithmetic {
            Arithmetic::Quantised | Arithmetic::Approximate => 0,
            Arithmetic::Reference => 1,
        },
        token_ids,
        input,
        may_be_approximate: request.arithmetic == Arithmetic::Approximate,
    }
    .encode_to_vec()
}

/// Reads what [`encode_request`] wrote; the bytes may come from anybody.
pub fn decode_request(bytes: &[u8]) -> Result<Request, WireError> {
    let wire = WireRequest::decode(bytes)?;
    if wire.token_ids.len() > MAX_TOKENS {
        return Err(WireError::Range("the number of tokens"));
    }
    let digest = wire.fragment.try_into();
    Ok(Request {
        fragment: FragmentId(digest.map_err(|_| WireError::Range("the fragment's id"))?),
        part: u16::try_from(wire.part).map_err(|_| WireError::Range("the part"))?,
        operation: match wire.operation {
            1 => Operation::Embed(wire.token_ids),
            2 => Operation::Qkv,
            3 => Operation::AttentionOutput,
            4 => Operation::FeedForward,
            5 => Operation::Logits,
            6 => Operation::Latent,
            7 => Operation::LatentQueries,
            _ => return Err(WireError::Range("the operation")),
        },
        arithmetic: match (wire.arithmetic, wire.may_be_approximate) {
            (0, false) => Arithmetic::Quantised,
            (0, true) => Arithmetic::Approximate,
            (1, false) => Arithmetic::Reference,
            _ => return Err(WireError::Range("the arithmetic")),
        },
        input: wire.input.map(activations).transpose()?,
    })
}

fn activations(wire: WireActivations) -> Result<Arc<Activations>, WireError> {
    let encoding = (wire.encoding as usize)
        .checked_sub(1)
        .and_then(|at| ENCODINGS.get(at));
    let encoding = *encoding.ok_or(WireError::Range("the encoding"))?;
    let (width, tokens) = (wire.width as usize, wire.tokens as usize);
    if tokens > MAX_TOKENS {
        return Err(WireError::Range("the number of tokens"));
    }
    // Checks the length before it allocates.
    let activations = Activations::from_bytes(encoding, width, tokens, &wire.bytes)?;
    Ok(Arc::new(activations))
}

/// A response as it travels.
pub fn encode_response(response: &Response) -> Vec<u8> {
    WireResponse {
        tokens: response.tokens as u32,
        width: response.width as u32,
        values: response
            .values
            .iter()
            .flat_map(|value| value.to_le_bytes())
            .collect(),
        approximate: response.exactness == Exactness::Approximate,
    }
    .encode_to_vec()
}

/// Reads what [`encode_response`] wrote; the bytes may come from anybody.
pub fn decode_response(bytes: &[u8]) -> Result<Response, WireError> {
    let wire = WireResponse::decode(bytes)?;
    let (tokens, width) = (wire.tokens as usize, wire.width as usize);
    let (values, rest) = wire.values.as_chunks::<4>();
    if !rest.is_empty() || tokens.checked_mul(width) != Some(values.len()) {
        return Err(WireError::Range("the number of values"));
    }
    Ok(Response {
        tokens,
        width,
        values: values
            .iter()
            .map(|&value| f32::from_le_bytes(value))
            .collect(),
        exactness: match wire.approximate {
            false => Exactness::Exact,
            true => Exactness::Approximate,
        },
    })
}
