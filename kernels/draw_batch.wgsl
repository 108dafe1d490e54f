// Sampling of a training batch: images, noise levels, flips and labels (Ho et al. 2020, algorithm 1, lines 2 and 3:
// x_0 ~ q(x_0), t ~ Uniform), as a function of the step number.
//
//   w = Threefry(counter = (n, 0, step, stream), key = seed)       for sample n of the batch
//   image    = order[position + n]                                 for n < count, else order[position]
//   level    = floor((n % strata + w.x / 2^32) * levels / strata)  uniform in 0 .. levels - 1, or in the sample's stratum of
//                                                                  them if strata is the batch and not 1
//   timestep = schedule[level].timestep
//   flip     = lowest bit of w.y if flipping is enabled, else 0
//   label    = classes (the null label) with probability label_dropout, by w.z (Ho & Salimans 2022, algorithm 1),
//              else the image's label
//
// Strata: a batch covers all levels evenly, which lowers the variance of its loss. Kingma et al. 2021 (appendix I.1) have one
// random number for all strata; here each has its own.
//
// order [images] u32; labels [images] bytes, four per word, little-endian; schedule [levels]; draws [N]; timestep [N] f32
// and label [N] u32 are the network's inputs. Integer arithmetic, exact. One invocation per sample; all outputs written `=`.

// include: records/step_state.wgsl
// include: records/training.wgsl
// include: include/batch_image.wgsl
// include: include/step_words.wgsl
// include: include/uniform.wgsl

struct Params {
  batch: u32,
  levels: u32,
  strata: u32,         // 1, or at most 65535
  classes: u32,
  flip: u32,
  label_dropout: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> step_state: StepState;
@group(0) @binding(2) var<storage, read> order: array<u32>;
@group(0) @binding(3) var<storage, read> labels: array<u32>;
@group(0) @binding(4) var<storage, read> schedule: array<ScheduleRow>;
@group(0) @binding(5) var<storage, read_write> draws: array<Draw>;
@group(0) @binding(6) var<storage, read_write> timestep: array<f32>;
@group(0) @binding(7) var<storage, read_write> label: array<u32>;

@compute @workgroup_size(64)
fn draw(@builtin(global_invocation_id) id: vec3u) {
  let n = id.x;
  if (n >= params.batch) {
    return;
  }
  let words = step_words(n, 0u);
  let image = image_of(n);
  // In integers: levels = q strata + r, and n % strata times r stays below 2^32.
  let stratum = n % params.strata;
  let above = stratum * (params.levels % params.strata) + uniform_integer(words.x, params.levels);
  let level = stratum * (params.levels / params.strata) + above / params.strata;
  // Random horizontal flips (appendix B)
  draws[n] = Draw(image, level, words.y & params.flip);
  timestep[n] = schedule[level].timestep;
  let own_label = label_in(labels[image / 4u], image);
  label[n] = select(own_label, params.classes, uniform01(words.z) < params.label_dropout);
}
