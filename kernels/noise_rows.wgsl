// Forward process at chosen noise levels, for evaluation (Ho et al. 2020, equation 4):
//
//   x       = signal x_0 + noise eps                      the network's input
//   targets = target_from_x0 x_0 + target_from_noise eps  what it should give
//   eps     : counter = (index of the vec4 within the image, level, image, 3), key = seed
//
// The noise of an image at a level does not depend on its row or on the batch. rows [N]; x_0 [N, H, W, Cp] float32 with zero
// padding lanes; x [N, H, W, Cp] as stored, targets the same in float32, written `=`, computed in float32. One invocation per
// vec4 of channels.

// include: records/evaluation.wgsl
// include: include/image_noise.wgsl
// include: include/storage.wgsl

struct Params {
  rows: u32,
  per_row: u32,  // vec4s per image
  channels: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> rows: array<NoisedRow>;
@group(0) @binding(2) var<storage, read> x_0: array<vec4f>;
@group(0) @binding(3) var<storage, read_write> x: array<Stored4>;
@group(0) @binding(4) var<storage, read_write> targets: array<vec4f>;

@compute @workgroup_size(64)
fn noise_rows(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let i = (group.y * groups.x + group.x) * 64u + lane;
  if (i >= params.rows * params.per_row) {
    return;
  }
  let row = rows[i / params.per_row];
  let index = i % params.per_row;
  let first = 4u * (index % ((params.channels + 3u) / 4u));
  let key = vec2u(row.seed_lo, row.seed_hi);
  let eps = image_noise(vec4u(index, row.level, row.image, 3u), key, first, params.channels);
  x[i] = Stored4(row.signal * x_0[i] + row.noise * eps);
  targets[i] = row.target_from_x0 * x_0[i] + row.target_from_noise * eps;
}
