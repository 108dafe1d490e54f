// Guided output of a sampling step: the weighted sum over the rows that evaluate a slot. Classifier-free guidance (Ho &
// Salimans 2022, equation 6) is the sum of two rows, with weights s and 1 - s; lib/diffusion/guidance.ts has the weights.
//
//   out[s] = sum over rows r of slot s of weight_r * model_out[r]
//
// slots [S]; rows [R]; model_out [R, H, W, Op] as stored; out [S, H, W, Op] float32, written `=`, computed in float32 in the
// order of the rows; a second dispatch adds the rows of a guiding network (Karras et al. 2024), if there is one. One row of weight 1 is copied to the bit. Idle slots keep out. Zero padding stays zero. One invocation
// per vec4 of channels.

// include: records/sampling.wgsl
// include: include/storage.wgsl

struct Params {
  slots: u32,
  per_slot: u32, // vec4s per output
  guide: u32,    // 1: add the rows of the guiding network to out
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> slots: array<Slot>;
@group(0) @binding(2) var<storage, read> rows: array<Row>;
@group(0) @binding(3) var<storage, read> model_out: array<Stored4>;
@group(0) @binding(4) var<storage, read_write> out: array<vec4f>;

@compute @workgroup_size(64)
fn guidance(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let i = (group.y * groups.x + group.x) * 64u + lane;
  if (i >= params.slots * params.per_slot) {
    return;
  }
  let slot = slots[i / params.per_slot];
  let add = params.guide == 1u;
  let first = select(slot.first_row, slot.guide_first_row, add);
  let count = select(slot.rows, slot.guide_rows, add);
  if (count == 0u) {
    return;
  }
  let index = i % params.per_slot;
  var sum = rows[first].weight * vec4f(model_out[first * params.per_slot + index]);
  for (var r = first + 1u; r < first + count; r++) {
    sum += rows[r].weight * vec4f(model_out[r * params.per_slot + index]);
  }
  if (add) {
    sum += out[i];
  }
  out[i] = sum;
}
