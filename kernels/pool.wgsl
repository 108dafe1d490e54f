// Pooling over windows: largest value, or mean of the values inside the image.
//
//   max       y[n, i, j, c] = max over u, v of x[n, i s + u - pad_top, j s + v - pad_left, c]
//   average   y[n, i, j, c] = mean over the same u, v; pixels outside of x do not count (count_include_pad=False)
//
// u below window_h, v below window_w, only pixels inside x; every window has one. x [N, H, W, Cp], y [N, H', W', Cp], as
// stored, written `=`; zero padding stays zero. Means in float32. Each invocation writes 4 vec4s of y, 256 apart. Forward
// only.

// include: include/storage.wgsl

struct Params {
  count: u32,   // vec4s of y
  columns: u32, // vec4s per pixel: Cp / 4
  in_h: u32, in_w: u32,
  out_h: u32, out_w: u32,
  window_h: u32, window_w: u32,
  stride: u32,
  pad_top: u32, pad_left: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<Stored4>;
@group(0) @binding(2) var<storage, read_write> y: array<Stored4>;

// Part of a window inside the image: first and last (exclusive) row and column, and the vec4 at row and column 0.
struct Window {
  first: vec2u,
  end: vec2u,
  at: u32,
}

fn window_of(i: u32) -> Window {
  let pixel = i / params.columns;
  let line = pixel / params.out_w;
  let sample = line / params.out_h;
  let place = vec2u(line - sample * params.out_h, pixel - line * params.out_w) * params.stride;
  let pad = vec2u(params.pad_top, params.pad_left);
  let end = min(place + vec2u(params.window_h, params.window_w) - pad, vec2u(params.in_h, params.in_w));
  let origin = sample * params.in_h * params.in_w * params.columns + i - pixel * params.columns;
  return Window(max(place, pad) - pad, end, origin);
}

@compute @workgroup_size(256)
fn largest(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let first = (group.y * groups.x + group.x) * 1024u + lane;
  for (var i = first; i < min(params.count, first + 1024u); i += 256u) {
    let window = window_of(i);
    var most = vec4f(-3.4e38);
    for (var row = window.first.x; row < window.end.x; row++) {
      for (var column = window.first.y; column < window.end.y; column++) {
        most = max(most, vec4f(x[window.at + (row * params.in_w + column) * params.columns]));
      }
    }
    y[i] = Stored4(most);
  }
}

@compute @workgroup_size(256)
fn average(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let first = (group.y * groups.x + group.x) * 1024u + lane;
  for (var i = first; i < min(params.count, first + 1024u); i += 256u) {
    let window = window_of(i);
    var sum = vec4f();
    for (var row = window.first.x; row < window.end.x; row++) {
      for (var column = window.first.y; column < window.end.y; column++) {
        sum += vec4f(x[window.at + (row * params.in_w + column) * params.columns]);
      }
    }
    let sides = window.end - window.first;
    y[i] = Stored4(sum / f32(sides.x * sides.y));
  }
}
