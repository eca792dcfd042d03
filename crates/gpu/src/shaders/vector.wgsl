// One token: a workgroup for each row, whose invocations take every 64th group.
const INVOCATIONS: u32 = 64u;

var<workgroup> sums: array<f32, INVOCATIONS>;

@compute @workgroup_size(INVOCATIONS)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_id) local: vec3<u32>,
) {
    let row = workgroup.y * workgroups.x + workgroup.x;
    let token = workgroup.z;
    var sum = 0.0;
    if row < sizes.rows {
        for (var group = local.x; group < sizes.groups; group += INVOCATIONS) {
            let values = weight_group(row * sizes.stride, group);
            let at = (token * sizes.groups + group) * 8u;
            for (var i = 0u; i < 8u; i++) {
                sum += dot(values[i], x[at + i]);
            }
        }
    }
    sums[local.x] = sum;
    for (var step = INVOCATIONS / 2u; step > 0u; step /= 2u) {
        workgroupBarrier();
        if local.x < step {
            sums[local.x] += sums[local.x + step];
        }
    }
    if local.x == 0u && row < sizes.rows {
        y[token * sizes.rows + row] = sums[0];
    }
}
