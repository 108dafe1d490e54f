// Network inputs from the sampling slots: each row of the network's batch evaluates one slot with one label; guidance takes
// several rows a slot, with and without the class (Ho & Salimans 2022). Rows are reassigned at every step, so guided images
// and others share a batch.
//
//   input[r]    = x[slot of r]
//   timestep[r] = timestep of its slot
//   label[r]    = class_label of r
//   estimate[r] = h1[slot of r], and 0 in the first step of an image, for networks with self-conditioning (Chen, Zhang & Hinton
//                 2022, algorithm 2)
//
// rows [R]: an idle row keeps its old input, and its output is ignored. slots [S]; x [S, H, W, Cp] float32; input
// and estimate [R, H, W, Cp] as stored, timestep [R] f32, label [R] u32, h1 [S, H, W, Cp] float32, written `=`; values are copied. One
// invocation per vec4 of channels of input; the first of each row writes timestep and label.

// include: records/sampling.wgsl
// include: include/storage.wgsl

struct Params {
  rows: u32,
  per_slot: u32, // vec4s per image
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> slots: array<Slot>;
@group(0) @binding(2) var<storage, read> rows: array<Row>;
@group(0) @binding(3) var<storage, read> x: array<vec4f>;
@group(0) @binding(4) var<storage, read_write> input: array<Stored4>;
@group(0) @binding(5) var<storage, read_write> timestep: array<f32>;
@group(0) @binding(6) var<storage, read_write> label: array<u32>;
@group(0) @binding(7) var<storage, read> h1: array<vec4f>;
@group(0) @binding(8) var<storage, read_write> estimate: array<Stored4>;

@compute @workgroup_size(64)
fn slot_inputs(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let i = (group.y * groups.x + group.x) * 64u + lane;
  if (i >= params.rows * params.per_slot) {
    return;
  }
  let r = i / params.per_slot;
  let row = rows[r];
  if (row.slot == NONE) {
    return;
  }
  let index = i - r * params.per_slot;
  input[i] = Stored4(x[row.slot * params.per_slot + index]);
  if (index == 0u) {
    timestep[r] = slots[row.slot].timestep;
    label[r] = row.class_label;
  }
}

@compute @workgroup_size(64)
fn slot_estimates(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let i = (group.y * groups.x + group.x) * 64u + lane;
  if (i >= params.rows * params.per_slot) {
    return;
  }
  let r = i / params.per_slot;
  let row = rows[r];
  if (row.slot == NONE) {
    return;
  }
  // A slot's first step finds the estimate of its last image.
  if (slots[row.slot].step == 0u) {
    estimate[i] = Stored4(vec4f(0.0));
    return;
  }
  estimate[i] = Stored4(h1[row.slot * params.per_slot + i - r * params.per_slot]);
}
