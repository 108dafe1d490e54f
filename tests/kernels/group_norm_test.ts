import assert from "node:assert/strict";
import { groupNormBackward, groupNormForward, type GroupNormShape } from "../../kernels/group_norm.ts";
import { SumBlockLayout } from "../../kernels/records/layouts.ts";
import { encodeSampleSums, sampleSums } from "../../kernels/sample_sums.ts";
import { assertClose, type Tolerance } from "../support/close.ts";
import type { HostArray } from "../support/gpu.ts";
import { packChannels, unpackChannels } from "../support/layout.ts";
import { differences, noise } from "../reference/differences.ts";
import {
  groupNormGradientReference,
  groupNormReference,
  groupNormStatsReference,
} from "../reference/group_norm.ts";
import { activationReference } from "../reference/activation.ts";
import type { Activation } from "../../kernels/activation_source.ts";
import { FLOAT16, FLOAT32, type Storage, STORAGES } from "../support/storage.ts";

function shape(
  [batch, height, width, channels]: [number, number, number, number],
  groups: number,
  activation?: Activation,
  eps = 1e-6,
): GroupNormShape {
  return { batch, spatial: height * width, channels, groups, eps, activation };
}

/** The layouts for GPUs and for software adapters. */
const PATHS = ["tile", "subgroup"] as const;

function inputs({ batch, spatial, channels }: GroupNormShape, seed = 1, storage = FLOAT32) {
  const x = storage.rounded(noise(batch * spatial * channels, seed));
  const gamma = noise(channels, seed + 1).map((v) => 1 + v / 2);
  const beta = noise(channels, seed + 2);
  const dy = storage.rounded(noise(x.length, seed + 3));
  return { x, gamma, beta, dy };
}

/**
 * Runs forward and backward, with the addend where one is given.
 *
 * @param stored of a concatenation: x is one tensor; otherwise it is read from the two
 */
async function runGroupNorm(
  s: GroupNormShape,
  { x, gamma, beta, dy, addend, addendSecond }: ReturnType<typeof inputs> & {
    addend?: Float64Array | undefined;
    addendSecond?: Float64Array | undefined;
  },
  storage: Storage = FLOAT32,
  stored = true,
) {
  const { channels: c, first = c } = s;
  const host = {
    x: storage.array(packChannels(x, c)),
    gamma: packChannels(gamma, c),
    beta: packChannels(beta, c),
    dy: storage.array(packChannels(dy, c)),
  };
  const stats = new Float32Array(s.batch * 4 * host.gamma.length);
  const pixels = s.batch * s.spatial;
  const channelsOf = (from: number, to: number) =>
    storage.array(packChannels(x.filter((_, i) => i % c >= from && i % c < to), to - from));
  const ofX = stored ? { x: host.x } : { x: channelsOf(0, first), xSecond: channelsOf(first, c) };
  const y = storage.empty(host.x.length);
  const dx = storage.empty(pixels * 4 * Math.ceil(first / 4));
  const dxSecond = first < c ? storage.empty(host.x.length - dx.length) : undefined;
  const width = host.gamma.length;
  const ofSamples = new Float32Array(s.batch * 2 * width).fill(NaN);
  const gradients = new Float32Array(2 * width).fill(NaN);
  const sum = { first: 0, stride: width / 2, rows: s.batch, columns: width / 2, result: 0 };
  const blocks = new Uint32Array(encodeSampleSums([sum]));
  await storage.run([
    ...groupNormForward<HostArray>(s, { ...ofX, gamma: host.gamma, beta: host.beta, stats, y }),
    ...groupNormBackward<HostArray>(
      s,
      {
        ...ofX,
        dy: host.dy,
        stats,
        addend: addend && storage.array(packChannels(addend, c)),
        addendSecond: addendSecond && storage.array(packChannels(addendSecond, c)),
        dx,
        dxSecond,
        sums: ofSamples,
      },
      "test",
    ),
    ...sampleSums<HostArray>(4 * blocks.length / SumBlockLayout.bytes, {
      blocks,
      values: ofSamples,
      sums: gradients,
    }),
  ]);
  // Unpacking checks that padding lanes are zero.
  return {
    y: unpackChannels(y, c),
    stats: ofGroups(s, stats),
    dx: joined(unpackChannels(dx, first), dxSecond && unpackChannels(dxSecond, c - first), pixels),
    dgamma: unpackChannels(gradients.subarray(width), c),
    dbeta: unpackChannels(gradients.subarray(0, width), c),
  };
}

/** Concatenates along channels. */
function joined(first: Float32Array, second: Float32Array | undefined, pixels: number): Float32Array {
  if (!second) return first;
  const row = (of: Float32Array, pixel: number) =>
    of.subarray(pixel * of.length / pixels, (pixel + 1) * of.length / pixels);
  return Float32Array.from(
    Array.from({ length: pixels }, (_, pixel) => [...row(first, pixel), ...row(second, pixel)]).flat(),
  );
}

/** Mean and 1 / sqrt(var + eps) of each group, [N, groups, 2], from statistics by channel [N, 4, Cp]. */
function ofGroups({ batch, channels, groups }: GroupNormShape, stats: Float32Array): Float32Array {
  const width = stats.length / batch / 4;
  const size = channels / groups;
  return Float32Array.from({ length: batch * groups * 2 }, (_, i) => {
    const [group, sample] = [Math.floor(i / 2) % groups, Math.floor(i / 2 / groups)];
    const at = (channel: number) => stats[(4 * sample + i % 2) * width + group * size + channel]!;
    for (let channel = 1; channel < size; channel++) assert.equal(at(channel), at(0));
    return at(0);
  });
}

const name = (s: GroupNormShape) =>
  `x=[${s.batch},${s.spatial},${s.channels}] groups=${s.groups}${s.activation ? ` ${s.activation}` : ""}${
    s.path === undefined ? "" : ` ${s.path}`
  }`;

for (const s of [shape([2, 2, 3, 6], 2), shape([2, 3, 2, 4], 4, "silu"), shape([1, 3, 1, 9], 3, "silu")]) {
  Deno.test(`group_norm reference gradients match central differences: ${name(s)}`, () => {
    const { x, gamma, beta, dy } = inputs(s);
    const f = () => groupNormReference(s, x, gamma, beta);
    const { dx, dgamma, dbeta } = groupNormGradientReference(s, x, gamma, beta, dy);
    // Differences of step 1e-4 are off by its square times the third derivative.
    assertClose(dx, differences(f, x, dy), { absolute: 1e-5, relative: 1e-5 }, "dx");
    assertClose(dgamma, differences(f, gamma, dy), { absolute: 1e-6 }, "dgamma");
    assertClose(dbeta, differences(f, beta, dy), { absolute: 1e-6 }, "dbeta");
  });
}

// Errors are a few float32 roundings (6e-8) of values up to 5, and grow with the square root of the summed count.
const ROUNDING: Tolerance = { absolute: 1e-6, relative: 3e-6 };

const SHAPES = [
  shape([2, 8, 8, 12], 4),
  shape([2, 8, 8, 12], 4, "silu"),
  shape([1, 5, 7, 3], 1, "silu"),
  shape([2, 5, 7, 6], 2),
  shape([2, 5, 7, 6], 6, "silu"),
  shape([3, 4, 4, 10], 5, "mish"),
  shape([2, 3, 3, 20], 2, "relu"),
  shape([1, 1, 1, 8], 2),
  shape([1, 1, 1, 12], 1, "silu"),
  shape([2, 16, 16, 32], 32, "silu"),
  shape([2, 16, 16, 64], 32, "silu"),
  shape([1, 8, 8, 256], 32, "silu"),
  shape([1, 4, 4, 72], 3, "silu"),
  shape([1, 2, 2, 1024], 1, "silu"),
  shape([1, 32, 40, 4], 1, "silu"),
  shape([2, 10, 13, 40], 5),
  shape([16, 11, 12, 128], 32, "silu"),
  // On a GPU: pixels that rows and registers do not divide evenly, and so many that it loops.
  shape([2, 33, 31, 12], 3, "silu"),
  shape([1, 32, 32, 16], 4, "silu"),
  shape([1, 40, 40, 16], 4, "silu"),
];
const CASES = STORAGES.flatMap((storage) =>
  SHAPES.flatMap((s) => PATHS.map((path) => ({ storage, s: { ...s, path } })))
);
for (const { storage, s } of CASES) {
  Deno.test(`group_norm forward and backward match reference: ${name(s)}${storage.suffix}`, async () => {
    const { x, gamma, beta, dy } = inputs(s, 11, storage);
    const got = await runGroupNorm(s, { x, gamma, beta, dy }, storage);
    assertClose(got.stats, groupNormStatsReference(s, x), ROUNDING, "stats");
    assertClose(got.y, groupNormReference(s, x, gamma, beta), storage.stored(ROUNDING), "y");
    const want = groupNormGradientReference(s, x, gamma, beta, dy);
    assertClose(got.dx, want.dx, storage.stored(ROUNDING), "dx");
    assertClose(got.dgamma, want.dgamma, ROUNDING, "dgamma");
    assertClose(got.dbeta, want.dbeta, ROUNDING, "dbeta");
  });
}

Deno.test("group_norm of one element per group is beta, and its input gets no gradient", async () => {
  const s = shape([2, 1, 1, 5], 5);
  const { x, gamma, beta, dy } = inputs(s);
  const got = await runGroupNorm(s, { x, gamma, beta, dy });
  assert.deepEqual(got.y, new Float32Array([...beta, ...beta]));
  // Nothing, but for what an adapter that contracts to fma rounds: rstd is 1/sqrt(eps), 1000 here.
  assertClose(got.dx, new Float64Array(10), { absolute: 1000 * 2 ** -23 * 3 }, "dx");
});

for (const [storage, path] of STORAGES.flatMap((storage) => PATHS.map((path) => [storage, path] as const))) {
  Deno.test(`group_norm backward adds to the gradient so far: x=[2,6,6] groups=3 ${path}${storage.suffix}`, async () => {
    const s = { ...shape([2, 2, 3, 6], 3, "silu"), path };
    const { x, gamma, beta, dy } = inputs(s, 1, storage);
    const [addend, addendSecond] = [77, 78].map((seed) => storage.rounded(noise(x.length, seed)));
    const { dx } = groupNormGradientReference(s, x, gamma, beta, dy);
    const one = await runGroupNorm(s, { x, gamma, beta, dy, addend }, storage);
    assertClose(one.dx, dx.map((v, i) => v + addend![i]!), storage.stored(ROUNDING), "dx");
    const two = await runGroupNorm(s, { x, gamma, beta, dy, addend, addendSecond }, storage);
    assertClose(
      two.dx,
      dx.map((v, i) => v + addend![i]! + addendSecond![i]!),
      storage.stored(ROUNDING),
      "dx",
    );
  });
}

for (const storage of STORAGES) {
  // Columns of both parts in a workgroup; one pixel; the largest a GPU holds in registers, and one that it loops over.
  for (
    const [size, first] of [[[2, 5, 7, 12], 8], [[3, 1, 1, 20], 4], [[1, 32, 32, 48], 16], [
      [1, 40, 40, 22],
      12,
    ]] as const
  ) {
    for (const path of PATHS) {
      const s = { ...shape([...size], 2, "silu"), path };
      Deno.test(`group_norm of a concatenation at ${first}, stored or not: ${name(s)}${storage.suffix}`, async () => {
        const { x, gamma, beta, dy } = inputs(s, 1, storage);
        const addend = storage.rounded(noise(x.length, 77));
        const whole = await runGroupNorm(s, { x, gamma, beta, dy, addend }, storage);
        for (const stored of [true, false]) {
          const parts = await runGroupNorm({ ...s, first }, { x, gamma, beta, dy, addend }, storage, stored);
          assert.deepEqual(parts, whole, stored ? "stored" : "not stored");
        }
      });
    }
  }
}

for (const [mean, path] of [1e3, -1e4].flatMap((mean) => PATHS.map((path) => [mean, path] as const))) {
  Deno.test(`group_norm keeps the variance with a mean of ${mean}: x=[2,256,12] groups=3 ${path}`, async () => {
    const s = { ...shape([2, 16, 16, 12], 3), path };
    const { x, gamma, beta, dy } = inputs(s);
    x.forEach((v, i) => x[i] = Math.fround(v + mean));
    const got = await runGroupNorm(s, { x, gamma, beta, dy });
    const want = groupNormStatsReference(s, x);
    // E[x^2] - E[x]^2 would lose every digit: mean^2 / variance is 3e6 and 3e8.
    assertClose(got.stats.filter((_, i) => i % 2 === 1), want.filter((_, i) => i % 2 === 1), {
      absolute: 2e-6,
    }, "rstd");
    // Rounding of the float32 mean itself, times rstd (1.7) and gamma (1.5).
    const rounding = Math.abs(mean) * 2 ** -24 * 3;
    assertClose(got.y, groupNormReference(s, x, gamma, beta), { absolute: rounding + 1e-6 }, "y");
    const gradients = groupNormGradientReference(s, x, gamma, beta, dy);
    assertClose(got.dx, gradients.dx, { absolute: 2 * rounding + 1e-5 }, "dx");
    assertClose(got.dgamma, gradients.dgamma, { absolute: 256 * rounding, relative: 1e-5 }, "dgamma");
  });
}

Deno.test("group_norm keeps the variance when channels of a group differ by 1000: x=[1,64,8] groups=1", async () => {
  const s = shape([1, 8, 8, 8], 1);
  const { x, gamma, beta, dy } = inputs(s);
  x.forEach((v, i) => x[i] = v + (i % 8 === 0 ? 1000 : 0));
  const got = await runGroupNorm(s, { x, gamma, beta, dy });
  assertClose(got.stats, groupNormStatsReference(s, x), { absolute: 0, relative: 1e-6 }, "stats");
  const want = groupNormGradientReference(s, x, gamma, beta, dy);
  assertClose(got.dx, want.dx, ROUNDING, "dx");
  assertClose(got.dgamma, want.dgamma, { absolute: 1e-4, relative: 1e-5 }, "dgamma");
});

for (const path of PATHS) {
  // In float16 their sums would overflow at the second pixel, and any square at once.
  Deno.test(`group_norm of the largest numbers in float16 matches reference: x=[2,35,6] groups=2 ${path}`, async () => {
    const s = { ...shape([2, 5, 7, 6], 2), path };
    const { x, gamma, beta, dy } = inputs(s);
    const large = FLOAT16.rounded(x.map((v) => 65504 * v));
    const got = await runGroupNorm(s, { x: large, gamma, beta, dy: FLOAT16.rounded(dy) }, FLOAT16);
    assertClose(got.y, groupNormReference(s, large, gamma, beta), FLOAT16.stored(ROUNDING), "y");
    const want = groupNormGradientReference(s, large, gamma, beta, FLOAT16.rounded(dy));
    assertClose(got.dgamma, want.dgamma, ROUNDING, "dgamma");
    // So small that float16 has them in steps of 2^-24.
    assertClose(got.dx, want.dx, { absolute: 2 ** -25, relative: 1e-4 }, "dx");
  });
}

Deno.test("group_norm of a constant is finite: rstd = 1 / sqrt(eps)", async () => {
  const s = shape([1, 4, 4, 8], 2, "silu");
  const { x, gamma, beta, dy } = inputs(s);
  const got = await runGroupNorm(s, { x: x.fill(3), gamma, beta, dy });
  const want = activationReference("silu", x.map((_, i) => beta[i % 8]));
  assertClose(got.y, want, ROUNDING, "y");
  assertClose(got.stats, [3, 1000, 3, 1000], { absolute: 1e-3 }, "stats");
  const gradients = groupNormGradientReference(s, x, gamma, beta, dy);
  assertClose(got.dx, gradients.dx, { absolute: 1e-3, relative: 1e-5 }, "dx");
  assertClose(got.dgamma, new Float64Array(8), { absolute: 1e-6 }, "dgamma");
});

for (const path of PATHS) {
  Deno.test(`group_norm gives a sample the same bits in a batch of any size: x=[.,144,256] groups=32 ${path}`, async () => {
    // Large enough that a software adapter gets wider workgroups for more samples.
    const many = { ...shape([16, 12, 12, 256], 32, "silu"), path };
    const one = { ...many, batch: 1 };
    const { x, gamma, beta, dy } = inputs(many);
    const all = await runGroupNorm(many, { x, gamma, beta, dy });
    const first = 15 * x.length / 16;
    const last = await runGroupNorm(one, { x: x.subarray(first), gamma, beta, dy: dy.subarray(first) });
    assert.deepEqual(all.y.subarray(first), last.y);
    assert.deepEqual(all.dx.subarray(first), last.dx);
  });
}

Deno.test("group_norm refuses two addends to the gradients of a concatenation, and adds one given as either", () => {
  const s = { ...shape([2, 4, 4, 16], 2), first: 8 };
  const buffers = { x: "x", stats: "stats", dy: "dy", dx: "dx", dxSecond: "dxSecond", sums: "sums" };
  assert.throws(
    () => groupNormBackward(s, { ...buffers, addend: "a", addendSecond: "b" }),
    /^RangeError: group_norm: expected one addend with a second dx, got two$/,
  );
  for (const addends of [{ addend: "a" }, { addendSecond: "a" }, {}]) {
    const [{ constants, buffers: { addend } }] = groupNormBackward(s, { ...buffers, ...addends });
    assert.deepEqual(
      [constants.has_addend, addend],
      "addend" in addends || "addendSecond" in addends ? [1, "a"] : [0, "dy"],
    );
  }
});

Deno.test("group_norm refuses groups that do not divide the channels, and groups wider than a workgroup", () => {
  const buffers = { x: 0, gamma: 0, beta: 0, stats: 0, y: 0 };
  assert.throws(() => groupNormForward(shape([1, 1, 1, 6], 4), buffers), /4 groups do not divide 6 channels/);
  assert.throws(() => groupNormForward(shape([1, 1, 1, 2048], 1), buffers), /2048 channels/);
});
