import assert from "node:assert/strict";
import {
  matmul,
  type MatmulInput,
  type MatmulOutput,
  type MatmulShape,
} from "../../../kernels/products/matmul.ts";
import { assertClose } from "../../support/close.ts";
import { runOnArrays, testGpu, testTargets } from "../../support/gpu.ts";
import { noise as noise64 } from "../../reference/differences.ts";
import { matmulReference } from "../../reference/matmul.ts";

const TARGETS = await testTargets();

const noise = (count: number, seed: number) => Float32Array.from(noise64(count, seed));

const padded = (count: number) => 4 * Math.ceil(count / 4);

/** Heads as slices of `width` channels of [N, T, C]. */
const slices = (tokens: number, heads: number, width: number): MatmulOutput => ({
  rowStride: padded(heads * width),
  batchStride: tokens * padded(heads * width),
  headStride: width,
});

/** One [rows, columns] matrix per head, rows padded. */
const matrices = (heads: number, rows: number, columns: number): MatmulOutput => ({
  rowStride: padded(columns),
  batchStride: heads * rows * padded(columns),
  headStride: rows * padded(columns),
});

const plain = (layout: MatmulOutput): MatmulInput => ({ ...layout, transposed: false });
const transposed = (layout: MatmulOutput): MatmulInput => ({ ...layout, transposed: true });

/** The products of attention over T tokens with head size d: which one, and its shape. */
function attention(batch: number, heads: number, tokens: number, d: number): [string, MatmulShape][] {
  const x = slices(tokens, heads, d);
  const p = matrices(heads, tokens, tokens);
  const scores = { batch, heads, m: tokens, n: tokens, k: d, alpha: 0.5 };
  const values = { batch, heads, m: tokens, n: d, k: tokens, alpha: 2 };
  return [
    ["Q K^T", { ...scores, a: plain(x), b: transposed(x), c: p }],
    ["P V", { ...values, a: plain(p), b: plain(x), c: x }],
    ["P^T dO", { ...values, a: transposed(p), b: plain(x), c: x }],
  ];
}

/** Products of query, key and value that lie side by side in one tensor, three of `width` channels. */
function sideBySide(heads: number, tokens: number, d: number): [string, MatmulShape][] {
  const width = padded(heads * d);
  const part = (i: number): MatmulOutput => ({
    first: i * width,
    rowStride: 3 * width,
    batchStride: tokens * 3 * width,
    headStride: d,
  });
  const p = matrices(heads, tokens, tokens);
  const product = { batch: 2, heads, alpha: 1, m: tokens };
  return [
    ["Q K^T side by side", { ...product, n: tokens, k: d, a: plain(part(0)), b: transposed(part(1)), c: p }],
    ["P V side by side", {
      ...product,
      n: d,
      k: tokens,
      a: plain(p),
      b: plain(part(2)),
      c: slices(tokens, heads, d),
    }],
  ];
}

/** A result of few columns: A B and A B^T. */
function narrow(n: number): [string, MatmulShape][] {
  const shape = { batch: 2, heads: 2, m: 41, n, k: 10, alpha: 2 };
  const [a, c] = [plain(matrices(2, 41, 10)), matrices(2, 41, n)];
  return [
    ["A B", { ...shape, a, b: plain(matrices(2, 10, n)), c }],
    ["A B^T", { ...shape, a, b: transposed(matrices(2, n, 10)), c }],
  ];
}

const CASES: [string, MatmulShape][] = [
  ...attention(2, 1, 64, 32),
  ...attention(2, 4, 16, 8),
  ...attention(1, 2, 35, 3),
  ...attention(2, 1, 25, 6),
  ...attention(1, 1, 1, 1),
  ...attention(1, 3, 7, 20),
  ...attention(1, 1, 256, 36),
  ...attention(2, 2, 36, 8),
  ...attention(2, 2, 36, 16),
  ...[3, 4, 8, 9, 12, 16, 20].flatMap(narrow),
  ...sideBySide(2, 20, 16),
  ...sideBySide(1, 9, 3),
  ["A^T B^T", {
    ...{ batch: 2, heads: 1, m: 19, n: 22, k: 13, alpha: -1 },
    ...{ a: transposed(matrices(1, 13, 19)), b: transposed(matrices(1, 22, 13)), c: matrices(1, 19, 22) },
  }],
];

const describe = (s: MatmulShape) =>
  `batch=${s.batch} heads=${s.heads} [${s.m},${s.k}]x[${s.k},${s.n}] alpha=${s.alpha}`;

/** Floats that an operand of `rows` stored rows takes. */
const sizeOf = (s: MatmulShape, layout: MatmulOutput, rows: number) =>
  s.batch * layout.batchStride * Number(layout.first !== undefined) + (s.batch - 1) * layout.batchStride +
  (layout.headStride < layout.rowStride ? 0 : (s.heads - 1) * layout.headStride) + rows * layout.rowStride;

for (const target of TARGETS) {
  for (const [what, s] of CASES) {
    // Loads of single floats are the same in both layouts; one product of them is enough to compile twice.
    if (target.path === "tile" && s.a.headStride % 4 + s.c.headStride % 4 > 0 && what !== "Q K^T") continue;
    Deno.test(`matmul matches reference: ${what} ${describe(s)} ${target.path}`, async () => {
      // Garbage in the padding of the inputs: only what belongs to the product may be used.
      const a = noise(sizeOf(s, s.a, s.a.transposed ? s.k : s.m), 1);
      const b = noise(sizeOf(s, s.b, s.b.transposed ? s.n : s.k), 2);
      const size = sizeOf(s, s.c, s.m);
      const unit = matmulReference({ ...s, k: 1, alpha: 1 }, a.map(() => 1), b.map(() => 1), undefined, size);
      const addend = noise(size, 3).map((value, i) => value * unit[i]);
      const c = new Float32Array(size).fill(NaN);
      const sum = c.slice();
      await runOnArrays(await testGpu(), [
        ...matmul(target, s, { a, b, c }, "plain"),
        ...matmul(target, s, { a, b, addend, c: sum }, "added"),
      ]);
      // float32 sums of k products in [-1, 1), times |alpha| <= 2.
      const tolerance = { absolute: 8 * s.k * 2 ** -24 + 2 ** -22 };
      assertClose(c, matmulReference(s, a, b, undefined, size), tolerance, "c");
      assertClose(sum, matmulReference(s, a, b, addend, size), tolerance, "c + addend");
      for (let i = 0; i < size; i++) if (unit[i] === 0) assert.equal(c[i], 0, `padding of c at ${i}`);
    });
  }
}
