// Sizes and buffers. A group is 32 consecutive weights of a row; every format here is made of whole groups.
struct Sizes {
    rows: u32,
    // Groups in a row.
    groups: u32,
    tokens: u32,
    // Words (32 bits) in a row of weights.
    stride: u32,
}

@group(0) @binding(0) var<uniform> sizes: Sizes;
@group(0) @binding(1) var<storage, read> weights: array<u32>;
// One row of activations for each token.
@group(0) @binding(2) var<storage, read> x: array<vec4<f32>>;
// One row of results for each token.
@group(0) @binding(3) var<storage, read_write> y: array<f32>;

alias Group = array<vec4<f32>, 8>;

fn unsigned_bytes(word: u32) -> vec4<f32> {
    return vec4<f32>(vec4<u32>(word, word >> 8u, word >> 16u, word >> 24u) & vec4<u32>(0xffu));
}

fn signed_bytes(word: u32) -> vec4<f32> {
    let bytes = bitcast<vec4<i32>>(vec4<u32>(word << 24u, word << 16u, word << 8u, word));
    return vec4<f32>(bytes >> vec4<u32>(24u));
}

// Byte `index` of the bytes that begin at word `at`.
fn byte(at: u32, index: u32) -> u32 {
    return (weights[at + index / 4u] >> (8u * (index % 4u))) & 0xffu;
}
