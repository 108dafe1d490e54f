// Network inputs from the sampling slots: each row of the network's batch evaluates one slot, with its class or, for
// classifier-free guidance, without it (Ho & Salimans 2022). Rows are reassigned at every step, so guided images, which
// need two rows, and others share a batch.
//
//   input[r]    = x[slot of r]
//   timestep[r] = slot.timestep
//   label[r]    = slot.class_label, or the null label `classes` if r is an unconditional row
//
// asks [R] u32: slot index and unconditional flag of each row, or NONE for an idle row, which keeps its old input and whose
// output is ignored. slots [S]; x [S, H, W, Cp] float32; input [R, H, W, Cp] as stored, timestep [R] f32, label [R] u32,
// written `=`; values are copied. One invocation per vec4 of channels of input; the first of each row writes timestep and
// label.

// include: records/sampling.wgsl
// include: include/storage.wgsl

struct Params {
  rows: u32,
  per_slot: u32, // vec4s per image
  classes: u32,  // the null label
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> slots: array<Slot>;
@group(0) @binding(2) var<storage, read> asks: array<u32>;
@group(0) @binding(3) var<storage, read> x: array<vec4f>;
@group(0) @binding(4) var<storage, read_write> input: array<Stored4>;
@group(0) @binding(5) var<storage, read_write> timestep: array<f32>;
@group(0) @binding(6) var<storage, read_write> label: array<u32>;

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
  let row = i / params.per_slot;
  let ask = asks[row];
  if (ask == NONE) {
    return;
  }
  let index = i - row * params.per_slot;
  let at = ask & ~WITHOUT_CLASS;
  input[i] = Stored4(x[at * params.per_slot + index]);
  if (index == 0u) {
    timestep[row] = slots[at].timestep;
    label[row] = select(slots[at].class_label, params.classes, (ask & WITHOUT_CLASS) != 0u);
  }
}
