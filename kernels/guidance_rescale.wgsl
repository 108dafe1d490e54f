// Rescaled guidance (Lin et al. 2024, equations 15 and 16): guidance raises the contrast of the output; a part of it is scaled
// back to the standard deviation of the conditional output.
//
//   conditional[s] = sum over rows r of slot s of conditional_r * model_out[r]
//   out[s] *= rescale * std(conditional[s]) / std(out[s]) + 1 - rescale
//
// std is over all pixels and channels of the image; a learned variance in further channels is kept. slots [S]; rows [R];
// model_out [R, H, W, Op] as stored; out [S, H, W, Op] float32, from guidance.wgsl, updated in place. Arithmetic in float32.
// Slots with rescale 0 and idle slots keep out.
//
// One workgroup per slot. A lane sums every 256th vec4 of channels, then lane 0 sums the lanes in order, so results do not
// depend on the batch. The variance is the mean of squared differences from the mean, in a pass of its own.

// include: records/sampling.wgsl
// include: include/keep_channels.wgsl
// include: include/storage.wgsl

struct Params {
  per_slot: u32, // vec4s per output
  columns: u32,  // vec4s per pixel
  channels: u32, // of an image
  values: u32,   // numbers in an image, without padding
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> slots: array<Slot>;
@group(0) @binding(2) var<storage, read> rows: array<Row>;
@group(0) @binding(3) var<storage, read> model_out: array<Stored4>;
@group(0) @binding(4) var<storage, read_write> out: array<vec4f>;

const LANES = 256u;

// Sums over the conditional and the guided output.
var<workgroup> partials: array<vec2f, LANES>;

fn total(lane: u32, partial: vec2f) -> vec2f {
  partials[lane] = partial;
  workgroupBarrier();
  if (lane == 0u) {
    var sum = partials[0];
    for (var i = 1u; i < LANES; i++) {
      sum += partials[i];
    }
    partials[0] = sum;
  }
  workgroupBarrier();
  let sum = partials[0];
  workgroupBarrier();
  return sum;
}

fn conditional_at(slot: Slot, index: u32) -> vec4f {
  var sum = vec4f(0.0);
  for (var r = slot.first_row; r < slot.first_row + slot.rows; r++) {
    sum += rows[r].conditional * vec4f(model_out[r * params.per_slot + index]);
  }
  return sum;
}

fn sum_of(values: vec4f) -> f32 {
  return (values.x + values.y) + (values.z + values.w);
}

// Zeroes padding, and channels that are not the image's.
fn kept(values: vec4f, index: u32) -> vec4f {
  return keep_channels(values, 4u * (index % params.columns), params.channels);
}

@compute @workgroup_size(LANES)
fn guidance_rescale(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let slot = slots[group.x];
  if (slot.rescale == 0.0) {
    return;
  }
  let start = group.x * params.per_slot;
  // 1. Means
  var sums = vec2f(0.0);
  for (var index = lane; index < params.per_slot; index += LANES) {
    sums += vec2f(sum_of(kept(conditional_at(slot, index), index)), sum_of(kept(out[start + index], index)));
  }
  let mean = total(lane, sums) / f32(params.values);
  // 2. Variances
  var squares = vec2f(0.0);
  for (var index = lane; index < params.per_slot; index += LANES) {
    let conditional = kept(conditional_at(slot, index) - mean.x, index);
    let guided = kept(out[start + index] - mean.y, index);
    squares += vec2f(dot(conditional, conditional), dot(guided, guided));
  }
  let deviation = sqrt(total(lane, squares));
  // 3. Equations 15 and 16; an output without contrast cannot be scaled to any
  let ratio = select(1.0, deviation.x / deviation.y, deviation.y > 0.0);
  let factor = slot.rescale * ratio + (1.0 - slot.rescale);
  for (var index = lane; index < params.per_slot; index += LANES) {
    let value = out[start + index];
    out[start + index] = value + kept((factor - 1.0) * value, index);
  }
}
