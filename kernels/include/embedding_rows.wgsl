// Rows of sines and cosines. An include: uses `params` with `batch` and `columns` (vec4s per row), `y`, and `value(n, i)`,
// number i of row n, 0 in padding lanes.

// Writes vec4 j of y.
fn write_four(j: u32) {
  if (j >= params.batch * params.columns) {
    return;
  }
  let n = j / params.columns;
  let i = 4u * (j - n * params.columns);
  y[j] = Stored4(vec4f(value(n, i), value(n, i + 1u), value(n, i + 2u), value(n, i + 3u)));
}
