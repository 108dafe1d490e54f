// Scale and shift of adaptive group normalisation (Dhariwal & Nichol 2021, section 3.1: "AdaGN"): the affine parameters of a
// norm, modulated for each sample by a projection of its embedding.
//
//   forward    beta'[n, c] = beta[c] (1 + s[n, c]) + t[n, c],   gamma'[n, c] = gamma[c] (1 + s[n, c])
//              so that gamma' xhat + beta' = (gamma xhat + beta) (1 + s) + t
//   backward   ds = dgamma' gamma + dbeta' beta,   dt = dbeta'
//              dgamma[c] = sum over n of dgamma' (1 + s),   dbeta[c] = sum over n of dbeta' (1 + s)
//
// gamma, beta, dgamma, dbeta [Cp]; affine, daffine [N, 2, Cp]: beta', then gamma', as group_norm.wgsl reads them and writes
// their gradients; rows, drows [N, W]: s in columns first to first + C - 1, then t. All float32; outputs written `=`, padding
// lanes zero, also those of drows up to a multiple of 4 columns. One invocation per channel; backward adds up the samples in
// order, as they are few.

struct Params {
  batch: u32,
  channels: u32, // C
  padded: u32,   // Cp
  first: u32,    // column of s
  width: u32,    // W
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> gamma: array<f32>;
@group(0) @binding(2) var<storage, read> beta: array<f32>;
@group(0) @binding(3) var<storage, read> rows: array<f32>;
@group(0) @binding(4) var<storage, read_write> affine: array<f32>;
@group(0) @binding(5) var<storage, read> daffine: array<f32>;
@group(0) @binding(6) var<storage, read_write> dgamma: array<f32>;
@group(0) @binding(7) var<storage, read_write> dbeta: array<f32>;
@group(0) @binding(8) var<storage, read_write> drows: array<f32>;

@compute @workgroup_size(64)
fn forward(@builtin(global_invocation_id) id: vec3u) {
  let c = id.x;
  if (c >= params.padded) {
    return;
  }
  for (var n = 0u; n < params.batch; n++) {
    var scaled_gamma = 0.0;
    var shifted_beta = 0.0;
    if (c < params.channels) {
      let row = n * params.width + params.first + c;
      let scale = 1.0 + rows[row];
      scaled_gamma = gamma[c] * scale;
      shifted_beta = beta[c] * scale + rows[row + params.channels];
    }
    affine[2u * n * params.padded + c] = shifted_beta;
    affine[(2u * n + 1u) * params.padded + c] = scaled_gamma;
  }
}

@compute @workgroup_size(64)
fn backward(@builtin(global_invocation_id) id: vec3u) {
  let c = id.x;
  if (c >= params.padded) {
    return;
  }
  var sum_gamma = 0.0;
  var sum_beta = 0.0;
  if (c < params.channels) {
    for (var n = 0u; n < params.batch; n++) {
      let row = n * params.width + params.first + c;
      let scale = 1.0 + rows[row];
      let of_beta = daffine[2u * n * params.padded + c];
      let of_gamma = daffine[(2u * n + 1u) * params.padded + c];
      sum_gamma += of_gamma * scale;
      sum_beta += of_beta * scale;
      drows[row] = of_gamma * gamma[c] + of_beta * beta[c];
      drows[row + params.channels] = of_beta;
    }
  }
  dgamma[c] = sum_gamma;
  dbeta[c] = sum_beta;
  // The columns that pad those of t: fewer than four, for the first invocations.
  let padding = 2u * params.channels + c;
  if (padding < ((2u * params.channels + 3u) & ~3u)) {
    for (var n = 0u; n < params.batch; n++) {
      drows[n * params.width + params.first + padding] = 0.0;
    }
  }
}
