// Sums over samples: gradients of parameters that are added to every pixel or scale it (norms, biases), from a value per
// sample and channel. One dispatch computes those of many layers.
//
//   sums[block.result + c] = sum over rows r of values[block.first + block.stride r + c],   c < block.columns
//
// values, sums: vec4s of float32, in the places that `blocks` names; sums written `=`, in float32.
// One workgroup per block. An invocation adds every 16th row of one column, so that enough loads are in flight to hide their
// latency; then the 16 partial sums are added in order. The order depends on the number of rows alone.

// include: records/sample_sums.wgsl

struct Params {
  blocks: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> blocks: array<SumBlock>;
@group(0) @binding(2) var<storage, read> values: array<vec4f>;
@group(0) @binding(3) var<storage, read_write> sums: array<vec4f>;

// Invocations per column.
const LANES = 16u;

var<workgroup> partial_sums: array<vec4f, 256>; // LANES * SUM_COLUMNS

@compute @workgroup_size(256)
fn add(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let index = group.y * groups.x + group.x;
  if (index >= params.blocks) {
    return;
  }
  let block = blocks[index];
  let column = lane % SUM_COLUMNS;
  let step = LANES * block.stride;
  let rows = select(0u, block.rows, column < block.columns);
  var at = block.first + column + lane / SUM_COLUMNS * block.stride;
  var sum0 = vec4f();
  var sum1 = vec4f();
  var sum2 = vec4f();
  var sum3 = vec4f();
  var row = lane / SUM_COLUMNS;
  for (; row + 3u * LANES < rows; row += 4u * LANES) {
    sum0 += values[at];
    sum1 += values[at + step];
    sum2 += values[at + 2u * step];
    sum3 += values[at + 3u * step];
    at += 4u * step;
  }
  for (; row < rows; row += LANES) {
    sum0 += values[at];
    at += step;
  }
  partial_sums[lane] = (sum0 + sum1) + (sum2 + sum3);
  workgroupBarrier();
  if (lane < block.columns) {
    var sum = partial_sums[lane];
    // Counting from `lane` hides the trip count from Mesa, which would unroll the loop.
    for (var other = lane + SUM_COLUMNS; other < LANES * SUM_COLUMNS; other += SUM_COLUMNS) {
      sum += partial_sums[other];
    }
    sums[block.result + lane] = sum;
  }
}
