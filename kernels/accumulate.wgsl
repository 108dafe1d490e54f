// Addition of gradients over the micro-batches of one optimizer step: a node of their summation tree.
//
//   sum = addend             if add is 0 (a leaf that is kept)
//   sum = sum + addend       if it is 1
//
// addend, sum: flat buffers [blocks] of vec4f; sum is written `=` or `+=`, in float32. Subnormal operands and results are 0:
// some devices flush them and others do not, and a host adds the same sums (lib/train/device/host_sum.ts). One invocation per
// vec4.

struct Params {
  blocks: u32,
  add: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> addend: array<vec4f>;
@group(0) @binding(2) var<storage, read_write> sum: array<vec4f>;

const SMALLEST_NORMAL: f32 = 0x1p-126f;

fn flushed(x: vec4f) -> vec4f {
  return select(x, vec4f(0.0), abs(x) < vec4f(SMALLEST_NORMAL));
}

@compute @workgroup_size(64)
fn accumulate(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let i = (group.y * groups.x + group.x) * 64u + lane;
  if (i >= params.blocks) {
    return;
  }
  if (params.add == 1u) {
    sum[i] = flushed(flushed(sum[i]) + flushed(addend[i]));
  } else {
    sum[i] = flushed(addend[i]);
  }
}
