// Gradient accumulation over the micro-batches of one optimizer step.
//
//   sum = gradients              if step_state.accumulate is 0 (the first micro-batch)
//   sum = sum + gradients        if it is 1
//
// gradients, sum: flat buffers [blocks] of vec4f; sum is written `=` or `+=`, in float32. One invocation per vec4.

// include: records/step_state.wgsl

struct Params {
  blocks: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> step_state: StepState;
@group(0) @binding(2) var<storage, read> gradients: array<vec4f>;
@group(0) @binding(3) var<storage, read_write> sum: array<vec4f>;

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
  if (step_state.accumulate == 1u) {
    sum[i] += gradients[i];
  } else {
    sum[i] = gradients[i];
  }
}
