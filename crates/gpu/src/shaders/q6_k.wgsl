// Blocks of 256: low nibbles (128 bytes), high pairs of bits (64 bytes), 16 signed scales, scale (f16, padded to a word).
const BLOCK_WORDS: u32 = 53u;

fn weight_group(row: u32, group: u32) -> Group {
    let at = row + (group / 8u) * BLOCK_WORDS;
    let half = (group % 8u) / 4u;
    let quarter = group % 4u;
    let scale = unpack2x16float(weights[at + 52u]).x;
    let scales = signed_bytes(weights[at + 48u + half * 2u + quarter / 2u]);
    let first = 2u * (quarter % 2u);
    let low = at + half * 16u + (quarter % 2u) * 8u;
    let high = at + 32u + half * 8u;
    var values: Group;
    for (var i = 0u; i < 8u; i++) {
        let lows = (weights[low + i] >> (4u * (quarter / 2u))) & 0x0f0f0f0fu;
        let highs = (weights[high + i] >> (2u * quarter)) & 0x03030303u;
        let factor = scale * scales[first + i / 4u];
        values[i] = factor * (unsigned_bytes(lows | (highs << 4u)) - vec4<f32>(32.0));
    }
    return values;
}
