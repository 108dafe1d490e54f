// What the network is asked about the slots. With guidance every image is asked twice in one batch: conditional in rows
// 0 .. S - 1, with the null label in rows S .. 2S - 1 (Ho & Salimans 2022).
//
//   input[c, s]    = x[s]
//   timestep[c, s] = plan[slot.row].timestep
//   label[c, s]    = slot.class_label for c = 0, classes for c = 1
//
// slots [S]; plan [rows]; x [S, H, W, Cp] float32; input [copies * S, H, W, Cp] float32, timestep [copies * S] f32,
// label [copies * S] u32, written `=`. An idle slot asks about its old x at its old row: the answer is not used. One
// invocation per vec4 of channels of input; the first of each image writes timestep and label.

// include: sampling.wgsl

struct Params {
  slots: u32,
  copies: u32,   // 2 with guidance, else 1
  per_slot: u32, // vec4s per image
  classes: u32,  // the null label
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> slots: array<Slot>;
@group(0) @binding(2) var<storage, read> plan: array<PlanRow>;
@group(0) @binding(3) var<storage, read> x: array<vec4f>;
@group(0) @binding(4) var<storage, read_write> input: array<vec4f>;
@group(0) @binding(5) var<storage, read_write> timestep: array<f32>;
@group(0) @binding(6) var<storage, read_write> label: array<u32>;

@compute @workgroup_size(64)
fn slot_inputs(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let i = (group.y * groups.x + group.x) * 64u + lane;
  let size = params.slots * params.per_slot;
  if (i >= params.copies * size) {
    return;
  }
  input[i] = x[i % size];
  if (i % params.per_slot == 0u) {
    let n = i / params.per_slot;
    let slot = slots[n % params.slots];
    timestep[n] = plan[slot.row].timestep;
    label[n] = select(params.classes, slot.class_label, n < params.slots);
  }
}
