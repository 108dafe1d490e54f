/**
 * WGSL of the forward transforms of Winograd convolutions for software adapters: the sums of winograd_source.ts, in loops.
 *
 * llvmpipe makes some sixty basic blocks of each load and store, with a branch for every lane and element, and LLVM takes more than a
 * second for those of a tile. Here a turn of a loop loads two columns, and one of a second loop stores two rows of an output
 * tile. In between, values are in variables that move along by two a turn; an array would be written and read lane by lane.
 *
 * @module
 */
import { range } from "../range.ts";
import {
  fromPoints,
  MATRICES,
  type Matrix,
  type Multiply,
  POINT_SIDE,
  TILE_SIDE,
  toPoints,
} from "./winograd_matrices.ts";
import {
  BIASES,
  columnAddress,
  inputDeclarations,
  lineAddress,
  loadPixel,
  outputDeclarations,
} from "./winograd_source.ts";

/** Columns, or rows, of a turn. */
const LINES = 2;

/**
 * WGSL of a loop. Counting from `id.y` hides the number of turns from Mesa, which would unroll it. The exit test is at the bottom: with one at the
 * top, llvmpipe runs the body once more with all lanes off.
 *
 * @param counter declared by the loop
 */
function loop(counter: string, turns: number, body: readonly string[]): string {
  return `var ${counter} = id.y;
  loop {
    ${body.join("\n    ")}
    continuing { ${counter}++; break if ${counter} == id.y + ${turns}u; }
  }`;
}

/**
 * WGSL from the columns of an operand to `half<i>_<j>`, element i, j of their product with M.
 *
 * @param load WGSL that declares the next {@linkcode LINES} columns, `in<i>_0` and `in<i>_1`
 */
function multiplyColumns(multiply: Multiply, matrix: Matrix, load: readonly string[]): string {
  const [rows, columns, lines] = [range(matrix.length), range(matrix[0].length), range(LINES)];
  const last = columns.length - LINES;
  const body = [
    ...load,
    ...lines.flatMap((j) => multiply(matrix, columns.map((i) => `in${i}_${j}`), (i) => `next${i}_${j}`)),
    ...rows.flatMap((i) => columns.slice(0, last).map((j) => `half${i}_${j} = half${i}_${j + LINES};`)),
    ...rows.flatMap((i) => lines.map((j) => `half${i}_${last + j} = next${i}_${j};`)),
  ];
  return `${rows.flatMap((i) => columns.map((j) => `var half${i}_${j} = Channels();`)).join(" ")}
  ${loop("column", columns.length / LINES, body)}`;
}

/** WGSL from `half<i>_<j>` to `out<i>_<j>`, row i of the product with M^T. */
function multiplyRow(multiply: Multiply, matrix: Matrix, i: number, half = "half"): string[] {
  return multiply(matrix, range(matrix[0].length).map((j) => `${half}${i}_${j}`), (j) => `out${i}_${j}`);
}

/** `inputTransform` of an image that is not upsampled. */
export function inputTransformInLoops(): string {
  const load = [
    ...range(LINES).map((j) => columnAddress(j, `x + ${j}u`)),
    ...range(LINES).flatMap((j) => range(POINT_SIDE).map((i) => loadPixel(i, j))),
    `x += ${LINES}u;`,
  ];
  const store = range(POINT_SIDE).flatMap((i) => [
    ...multiplyRow(toPoints, MATRICES.inputs, i),
    ...range(POINT_SIDE).map((j) => `transformed[at] = out${i}_${j}; at += stride;`),
  ]);
  return `${inputDeclarations("corner")}
  // Coordinates before the first wrap around to beyond the last.
  var x = corner.z - params.padding;
  ${range(POINT_SIDE).map((i) => lineAddress(i, "params.padding")).join("\n  ")}
  ${multiplyColumns(toPoints, MATRICES.inputs, load)}
  var at = id.y * params.channels + id.x;
  let stride = params.rows * params.channels;
  ${store.join("\n  ")}
}`;
}

/** `outputTransform`. Its stores are the largest part, and in a loop. */
export function outputTransformInLoops(): string {
  const load = range(LINES).flatMap((j) => [
    `var at${j} = at + ${j}u * stride;`,
    ...range(POINT_SIDE).map((i) => `let in${i}_${j} = products[at${j}]; at${j} += ${POINT_SIDE}u * stride;`),
  ]);
  const turns = TILE_SIDE / LINES;
  const ofTurn = (i: number, j: number) =>
    range(turns).map((turn) => `half${turn * LINES + i}_${j}`)
      .reduceRight((later, half, turn) => `select(${later}, ${half}, row == id.y + ${turn}u)`);
  const store = range(LINES).flatMap((i) => [
    ...range(POINT_SIDE).map((j) => `let row${i}_${j} = ${ofTurn(i, j)};`),
    ...multiplyRow(fromPoints, MATRICES.outputs, i, "row"),
    `let line${i} = (corner.x * params.height + y + ${i}u) * params.width * params.channels;`,
    ...range(TILE_SIDE).map((j) =>
      `store((y + ${i}u < params.height) & (corner.z + ${j}u < params.width), line${i} + column${j}, out${i}_${j} + biases);`
    ),
  ]);
  return `${outputDeclarations()}
  ${BIASES}
  ${multiplyColumns(fromPoints, MATRICES.outputs, [...load, `at += ${LINES}u * stride;`])}
  ${range(TILE_SIDE).map((j) => `let column${j} = (corner.z + ${j}u) * params.channels + id.x;`).join("\n  ")}
  var y = corner.y;
  ${loop("row", turns, [...store, `y += ${LINES}u;`])}
}`;
}
