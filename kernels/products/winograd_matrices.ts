/**
 * Transform matrices of Winograd's minimal filtering F(m x m, 3 x 3), and WGSL that multiplies by them (see
 * winograd_source.ts).
 *
 * @module
 */
import { range } from "../range.ts";

/** Side m of an output tile. */
export const TILE_SIDE = 4;

/** Side of a tile of inputs or of points. */
export const POINT_SIDE: number = TILE_SIDE + 2;

/**
 * Interpolation points: zero, then pairs p, -p; infinity comes last and is not listed. With the paper's 0, 1, -1, 2, -2 the
 * errors are twice as large (rms; the maximum three times).
 */
const POINTS: readonly number[] = [0, 0.75, -0.75, 1.5, -1.5];

/** Matrix as a list of rows. */
export type Matrix = readonly (readonly number[])[];

/** Matrices of the 1-D convolution y = A^T [(G w) (B^T x)] of m outputs with 3 weights. */
export interface WinogradMatrices {
  /** A^T, [m, m+2]. */
  readonly outputs: Matrix;
  /** G, [m+2, 3]. */
  readonly weights: Matrix;
  /** B^T, [m+2, m+2]. */
  readonly inputs: Matrix;
}

/** Matrices by the Cook-Toom construction (Lavin & Gray 2016, section 4). */
export const MATRICES: WinogradMatrices = cookToom(TILE_SIDE, POINTS);

function cookToom(outputs: number, points: readonly number[]): WinogradMatrices {
  const powers = (count: number) => points.map((p) => range(count).map((i) => p ** i));
  const infinity = (count: number) => range(count).map((i) => Number(i === count - 1));
  const others = (p: number) => points.filter((q) => q !== p);
  const scale = (p: number) => others(p).reduce((product, q) => product * (p - q), 1);
  return {
    outputs: transpose([...powers(outputs), infinity(outputs)]),
    weights: [...powers(3).map((row, j) => row.map((v) => v / scale(points[j]))), infinity(3)],
    inputs: [...points.map((p) => [...polynomial(others(p)), 0]), polynomial(points)],
  };
}

/**
 * Matrix of the 1-D input gradient, [m, m+4]: from the products of a tile, between the last point of the tile before and the
 * first of the tile after, to the gradient of its m inputs in the middle.
 *
 * dx = B [(G w) (A dy)] overlaps neighbouring tiles by one input on either side. At the first input of a tile, zero is the only
 * point with a coefficient, and at the last one infinity: the other interpolation polynomials have the roots 0 or a lower
 * degree. So all that a neighbour adds to a tile is the product of one of its points.
 */
export const INPUT_GRADIENT: Matrix = range(TILE_SIDE).map((i) => [
  i === 0 ? MATRICES.inputs.at(-1)!.at(-1)! : 0,
  ...MATRICES.inputs.map((row) => row[i + 1]),
  i === TILE_SIDE - 1 ? MATRICES.inputs[0][0] : 0,
]);

/** Coefficients of the product of (x - root), constant first. */
function polynomial(roots: readonly number[]): number[] {
  const times = (c: number[], root: number) =>
    range(c.length + 1).map((i) => (c[i - 1] ?? 0) - root * (c[i] ?? 0));
  return roots.reduce(times, [1]);
}

/** Transpose of a matrix. */
export function transpose(matrix: Matrix): Matrix {
  return matrix[0].map((_, j) => matrix.map((row) => row[j]));
}

/** WGSL statements that declare `out(i)` as element i of the product of a matrix and a vector of variables. */
export type Multiply = (matrix: Matrix, values: readonly string[], out: (i: number) => string) => string[];

/** Index of the first point of each pair p, -p, whose coefficients differ in the sign of odd terms. */
function pairs(points: number): number[] {
  return range((points - 2) / 2).map((i) => 2 * i + 1);
}

/** Product whose rows are points: rows of a pair share the sums of their even and odd terms. */
export const toPoints: Multiply = (matrix, values, out) => [
  ...[0, matrix.length - 1].map((i) => `let ${out(i)} = ${combination(matrix[i], values)};`),
  ...pairs(matrix.length).flatMap((i) => {
    const terms = (even: boolean) => matrix[i].map((c, j) => (c === matrix[i + 1][j]) === even ? c : 0);
    return [
      `let ${out(i)}_even = ${combination(terms(true), values)};`,
      `let ${out(i)}_odd = ${combination(terms(false), values)};`,
      `let ${out(i)} = ${out(i)}_even + ${out(i)}_odd;`,
      `let ${out(i + 1)} = ${out(i)}_even - ${out(i)}_odd;`,
    ];
  }),
];

/** Product whose columns are points: rows share the sum and difference of each pair's values. */
export const fromPoints: Multiply = (matrix, values, out) =>
  fromPairs(matrix, values, out, pairs(values.length));

/** Likewise with one more column before the first point and after the last: those of neighbouring tiles. */
export const fromNeighbours: Multiply = (matrix, values, out) =>
  fromPairs(matrix, values, out, pairs(values.length - 2).map((j) => j + 1));

function fromPairs(
  matrix: Matrix,
  values: readonly string[],
  out: (i: number) => string,
  firsts: readonly number[],
): string[] {
  const shared = firsts.flatMap((j) => [
    `let ${out(0)}_sum${j} = ${values[j]} + ${values[j + 1]};`,
    `let ${out(0)}_difference${j} = ${values[j]} - ${values[j + 1]};`,
  ]);
  const row = (coefficients: readonly number[]) => {
    const [left, names] = [[...coefficients], [...values]];
    for (const j of firsts) {
      names[j] = `${out(0)}_${left[j] === left[j + 1] ? "sum" : "difference"}${j}`;
      left[j + 1] = 0;
    }
    return combination(left, names);
  };
  return [...shared, ...matrix.map((coefficients, i) => `let ${out(i)} = ${row(coefficients)};`)];
}

/** WGSL of a linear combination. */
export function combination(coefficients: readonly number[], values: readonly string[]): string {
  const terms = coefficients.flatMap((c, i) => {
    if (c === 0) return [];
    const size = Math.abs(c);
    const factor = size === 1 ? "" : `${Number.isInteger(size) ? `${size}.0` : size} * `;
    return [`${c < 0 ? "-" : "+"} ${factor}${values[i]}`];
  });
  return terms.join(" ").replace(/^\+ /, "");
}

/**
 * WGSL from `in<i>_<j>` to `out<i>_<j>` = M in M^T.
 *
 * @param finish WGSL that consumes element i, j of the result, emitted as soon as the element is computed
 * @param begin WGSL that declares column j of the operand, emitted before its first use; absent: declared already
 */
export function multiplyBothSides(
  multiply: Multiply,
  matrix: Matrix,
  finish: (i: number, j: number) => string,
  begin: (j: number) => string = () => "",
): string {
  const [rows, columns] = [range(matrix.length), range(matrix[0].length)];
  const statements = [
    ...columns.flatMap((j) => [
      begin(j),
      ...multiply(matrix, columns.map((i) => `in${i}_${j}`), (i) => `half${i}_${j}`),
    ]),
    ...rows.flatMap((i) => [
      ...multiply(matrix, columns.map((j) => `half${i}_${j}`), (j) => `out${i}_${j}`),
      ...rows.map((j) => finish(i, j)),
    ]),
  ];
  return statements.join("\n  ");
}
