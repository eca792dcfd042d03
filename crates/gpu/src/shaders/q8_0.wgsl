// Blocks of 32: scale (f16, padded to a word), 32 signed bytes.
const BLOCK_WORDS: u32 = 9u;

fn weight_group(row: u32, group: u32) -> Group {
    let at = row + group * BLOCK_WORDS;
    let scale = unpack2x16float(weights[at]).x;
    var values: Group;
    for (var i = 0u; i < 8u; i++) {
        values[i] = scale * signed_bytes(weights[at + 1u + i]);
    }
    return values;
}
