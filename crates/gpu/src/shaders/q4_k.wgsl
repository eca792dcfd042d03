// Blocks of 256: scale and scale of the minima (2 f16), eight 6-bit scales and eight 6-bit minima in 12 bytes, 256 nibbles.
const BLOCK_WORDS: u32 = 36u;

fn weight_group(row: u32, group: u32) -> Group {
    let at = row + (group / 8u) * BLOCK_WORDS;
    let part = group % 8u;
    let scales = unpack2x16float(weights[at]);
    var scale: u32;
    var minimum: u32;
    if part < 4u {
        scale = byte(at + 1u, part) & 63u;
        minimum = byte(at + 1u, part + 4u) & 63u;
    } else {
        let low = byte(at + 1u, part + 4u);
        scale = (low & 15u) | ((byte(at + 1u, part - 4u) >> 6u) << 4u);
        minimum = (low >> 4u) | ((byte(at + 1u, part) >> 6u) << 4u);
    }
    let factor = scales.x * f32(scale);
    let offset = vec4<f32>(scales.y * f32(minimum));
    // Two groups share their bytes: the even one has the low nibbles.
    let nibbles = at + 4u + (part / 2u) * 8u;
    let shift = 4u * (part % 2u);
    var values: Group;
    for (var i = 0u; i < 8u; i++) {
        values[i] = factor * unsigned_bytes((weights[nibbles + i] >> shift) & 0x0f0f0f0fu) - offset;
    }
    return values;
}
