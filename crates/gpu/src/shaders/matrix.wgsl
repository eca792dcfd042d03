// Several tokens: each invocation has a row, decodes a group of it once and multiplies it with eight tokens, whose
// activations the workgroup has fetched together.
const INVOCATIONS: u32 = 64u;
const TOKENS: u32 = 8u;

// A group of each token: one vector for each invocation to fetch.
var<workgroup> tile: array<vec4<f32>, INVOCATIONS>;

@compute @workgroup_size(INVOCATIONS)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(local_invocation_id) local: vec3<u32>,
) {
    let row = workgroup.x * INVOCATIONS + local.x;
    let first = workgroup.y * TOKENS;
    let fetched = first + local.x / 8u;
    var sums: array<f32, TOKENS>;
    for (var group = 0u; group < sizes.groups; group++) {
        workgroupBarrier();
        if fetched < sizes.tokens {
            tile[local.x] = x[(fetched * sizes.groups + group) * 8u + local.x % 8u];
        }
        workgroupBarrier();
        if row < sizes.rows {
            let values = weight_group(row * sizes.stride, group);
            for (var token = 0u; token < TOKENS; token++) {
                var sum = 0.0;
                for (var i = 0u; i < 8u; i++) {
                    sum += dot(values[i], tile[token * 8u + i]);
                }
                sums[token] += sum;
            }
        }
    }
    if row < sizes.rows {
        for (var token = 0u; token < TOKENS && first + token < sizes.tokens; token++) {
            y[(first + token) * sizes.rows + row] = sums[token];
        }
    }
}
