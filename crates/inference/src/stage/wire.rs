use std::ops::Range;

use prost::Message;

use super::{Request, Response};
use crate::{
    compute::{MAX_TOKENS, WireError},
    executor::CacheKind,
    wire::{ARITHMETICS, WireParts, number},
};

#[derive(Message)]
struct WireRequest {
    #[prost(uint32, tag = "1")]
    first_layer: u32,
    /// The first that does not belong to it.
    #[prost(uint32, tag = "2")]
    end_layer: u32,
    #[prost(uint32, tag = "3")]
    position: u32,
    #[prost(bytes = "vec", tag = "4")]
    states: Vec<u8>,
    #[prost(uint32, tag = "5")]
    wanted: u32,
    #[prost(uint32, tag = "6")]
    arithmetic: u32,
    #[prost(uint32, tag = "7")]
    cache: u32,
    #[prost(float, tag = "8")]
    least_experts: f32,
}

#[derive(Message)]
struct WireResponse {
    #[prost(bytes = "vec", tag = "1")]
    states: Vec<u8>,
    #[prost(message, optional, tag = "2")]
    parts: Option<WireParts>,
    /// When present, the fields above mean nothing.
    #[prost(uint32, optional, tag = "3")]
    behind: Option<u32>,
}

fn to_bytes(values: &[f32]) -> Vec<u8> {
    values
        .iter()
        .flat_map(|value| value.to_le_bytes())
        .collect()
}

fn from_bytes(bytes: &[u8]) -> Result<Vec<f32>, WireError> {
    let (values, rest) = bytes.as_chunks();
    if !rest.is_empty() {
        return Err(WireError::Range("the number of values"));
    }
    Ok(values.iter().map(|&it| f32::from_le_bytes(it)).collect())
}

/// A request as it travels.
pub fn encode_request(request: &Request) -> Vec<u8> {
    WireRequest {
        first_layer: request.layers.start,
        end_layer: request.layers.end,
        position: request.position as u32,
        states: to_bytes(&request.states),
        wanted: request.wanted as u32,
        arithmetic: number(&ARITHMETICS, &request.arithmetic),
        cache: number(&CacheKind::ALL, &request.cache),
        least_experts: request.least_experts,
    }
    .encode_to_vec()
}

/// Reads what [`encode_request`] wrote; the bytes may come from anybody.
pub fn decode_request(bytes: &[u8]) -> Result<Request, WireError> {
    let wire = WireRequest::decode(bytes)?;
    let layers: Range<u32> = wire.first_layer..wire.end_layer;
    if layers.is_empty() {
        return Err(WireError::Range("the range of layers"));
    }
    let wanted = wire.wanted as usize;
    if wanted > MAX_TOKENS {
        return Err(WireError::Range("the number of tokens"));
    }
    let arithmetic = ARITHMETICS.get(wire.arithmetic as usize);
    let cache = CacheKind::ALL.get(wire.cache as usize);
    if !(0.0..=1.0).contains(&wire.least_experts) {
        return Err(WireError::Range("the least share of experts"));
    }
    Ok(Request {
        layers,
        position: wire.position as usize,
        states: from_bytes(&wire.states)?,
        wanted,
        arithmetic: *arithmetic.ok_or(WireError::Range("the arithmetic"))?,
        cache: *cache.ok_or(WireError::Range("the kind of cache"))?,
        least_experts: wire.least_experts,
    })
}

/// A response as it travels.
pub fn encode_response(response: &Response) -> Vec<u8> {
    let wire = match response {
        Response::States { states, parts } => WireResponse {
            states: to_bytes(states),
            parts: Some((*parts).into()),
            behind: None,
        },
        Response::Behind { position } => WireResponse {
            behind: Some(*position as u32),
            ..WireResponse::default()
        },
    };
    wire.encode_to_vec()
}

/// Reads what [`encode_response`] wrote; the bytes may come from anybody.
pub fn decode_response(bytes: &[u8]) -> Result<Response, WireError> {
    let wire = WireResponse::decode(bytes)?;
    if let Some(position) = wire.behind {
        let position = position as usize;
        return Ok(Response::Behind { position });
    }
    let parts = wire.parts.unwrap_or_default();
    Ok(Response::States {
        states: from_bytes(&wire.states)?,
        parts: parts.into(),
    })
}
