/** Dropout after a normalisation: its masks, and both passes through them. */
import assert from "node:assert/strict";
import type { Activation } from "../../kernels/activation_source.ts";
import { groupNormBackward, groupNormForward, type GroupNormShape } from "../../kernels/group_norm.ts";
import { threefry4x32, type Words2 } from "../../lib/random.ts";
import type { StepState } from "../../kernels/records/step_state.ts";
import { noise } from "../reference/differences.ts";
import { groupNormGradientReference, groupNormReference } from "../reference/group_norm.ts";
import { assertClose, type Tolerance } from "../support/close.ts";
import type { HostArray } from "../support/gpu.ts";
import { stepWords } from "../support/step.ts";
import { FLOAT32, type Storage, STORAGES } from "../support/storage.ts";

type Dropped = GroupNormShape & { dropout: NonNullable<GroupNormShape["dropout"]> };

const STATE: Partial<StepState> = { step: 7, seedLo: 0x89abcdef, seedHi: 0x1234567 };
const PATHS = ["tile", "subgroup"] as const;

function shape(
  [batch, spatial, channels]: [number, number, number],
  rate: number,
  options: { layer?: number; activation?: Activation; path?: "tile" | "subgroup" } = {},
): Dropped {
  const { layer = 0, activation, path = "tile" } = options;
  return { batch, spatial, channels, groups: 2, eps: 1e-6, activation, path, dropout: { rate, layer } };
}

/** Forward and backward of x and dy, whose channels are a multiple of 4. */
async function run(
  s: Dropped,
  operands: { x: ArrayLike<number>; gamma: Float32Array; beta: Float32Array; dy: ArrayLike<number> },
  { state = {}, storage = FLOAT32 }: { state?: Partial<StepState>; storage?: Storage } = {},
) {
  const { gamma, beta } = operands;
  const [x, dy] = [operands.x, operands.dy].map((values) => storage.array(values));
  const stepState = stepWords({ ...STATE, ...state });
  const [y, dx] = [x, x].map(({ length }) => storage.empty(length));
  const stats = new Float32Array(4 * s.batch * s.channels);
  const sums = new Float32Array(2 * s.batch * s.channels);
  await storage.run([
    ...groupNormForward<HostArray>(s, { x, gamma, beta, stats, y, stepState }),
    ...groupNormBackward<HostArray>(s, { x, stats, dy, dx, sums, stepState }),
  ]);
  return { y, dx, sums };
}

/** With gamma 0 and beta 1 the output is the mask times its scale; so are dbeta's sums if a sample has one pixel. */
function masks(s: Dropped, options: { state?: Partial<StepState>; storage?: Storage } = {}) {
  const elements = s.batch * s.spatial * s.channels;
  const ones = new Float32Array(elements).fill(1);
  const [gamma, beta] = [0, 1].map((value) => new Float32Array(s.channels).fill(value));
  return run(s, { x: noise(elements, 1), gamma, beta, dy: ones }, options);
}

/** The rate that is drawn: the nearest multiple of 2^-16. */
const drawn = (rate: number) => Math.round(65536 * rate) / 65536;

/** The mask as lib/random.ts draws it: a call serves two vec4s, 512 apart, with the halves of its words. */
function expectedMask(s: Dropped, state: Partial<StepState> = {}): boolean[] {
  const { step = 0, stream = 0, seedLo = 0, seedHi = 0 } = { ...STATE, ...state };
  const { dropout: { rate, layer } } = s;
  const key: Words2 = [seedLo, seedHi];
  return Array.from({ length: s.batch * s.spatial * s.channels }, (_, i) => {
    const vec4 = Math.floor(i / 4);
    const [block, within] = [Math.floor(vec4 / 1024), vec4 % 1024];
    const words = threefry4x32([512 * block + within % 512, 16 + layer, step, stream], key);
    const bits = within < 512 ? words[i % 4]! % 65536 : Math.floor(words[i % 4]! / 65536);
    return bits / 65536 >= drawn(rate);
  });
}

const scaleOf = (rate: number) => Math.fround(1 / (1 - drawn(rate)));

const CASES: { s: Dropped; state?: Partial<StepState> }[] = PATHS.flatMap((path) => [
  { s: shape([1, 1, 4], 0.5, { path }) },
  { s: shape([1, 99, 16], 0.1, { path }) },
  { s: shape([3, 128, 16], 0.1, { layer: 3, path }) },
  { s: shape([2, 1024, 8], 0.9, { path }), state: { stream: 1, step: 0xffffffff } },
  // On a GPU an invocation has both vec4s of a call.
  { s: shape([2, 64, 256], 0.4, { path }) },
  // A GPU loops over so many pixels.
  { s: shape([1, 1500, 16], 0.25, { path }) },
]);
for (const { storage, s, state } of STORAGES.flatMap((storage) => CASES.map((c) => ({ storage, ...c })))) {
  const { batch, spatial, channels, path, dropout: { rate, layer } } = s;
  const name = `[${batch},${spatial},${channels}] rate=${rate} layer=${layer} ${path}${storage.suffix}`;
  Deno.test(`dropout draws the mask of lib/random.ts: ${name}`, async () => {
    const { y } = await masks(s, { ...state ? { state } : {}, storage });
    const scale = scaleOf(rate);
    assert.deepEqual(y, storage.array(expectedMask(s, state).map((kept) => kept ? scale : 0)));
  });
}

for (const path of PATHS) {
  Deno.test(`dropout's gradient has the mask of the forward pass: [700,1,16] rate=0.3 ${path}`, async () => {
    const s = shape([700, 1, 16], 0.3, { path });
    const { y, sums } = await masks(s);
    const dbeta = y.map((_, i) => sums[2 * s.channels * Math.floor(i / s.channels) + i % s.channels]!);
    assert.deepEqual(dbeta, y);
    assert.deepEqual(y.map(Number), Float32Array.from(expectedMask(s), (kept) => kept ? scaleOf(0.3) : 0));
  });
}

// As in group_norm_test.ts, times the mask's scale.
const ROUNDING: Tolerance = { absolute: 2e-6, relative: 6e-6 };

for (const activation of [undefined, "silu"] as const) {
  for (const path of PATHS) {
    for (
      const [storage, size] of STORAGES.flatMap((storage) =>
        ([[2, 35, 8], [1, 1024, 16], [1, 1024, 128], [3, 16, 512], [1, 1500, 16]] as [
          number,
          number,
          number,
        ][]).map((size) => [storage, size] as const)
      )
    ) {
      const other = activation && size[1] === 35 ? "gelu" : activation;
      const s = shape(size, 0.5, { activation: other, path, layer: 2 });
      const name = `x=[${size}]${other ? ` ${other}` : ""} ${path}${storage.suffix}`;
      Deno.test(`group_norm with dropout matches reference, forward and backward: ${name}`, async () => {
        const elements = s.batch * s.spatial * s.channels;
        const x = storage.rounded(noise(elements, 1));
        const dy = storage.rounded(noise(elements, 4));
        const gamma = Float32Array.from(noise(s.channels, 2), (v) => 1 + v / 2);
        const beta = Float32Array.from(noise(s.channels, 3));
        const got = await run(s, { x, gamma, beta, dy }, { storage });
        const mask = Float64Array.from(expectedMask(s), (kept) => kept ? 2 : 0);
        const y = groupNormReference(s, x, gamma, beta).map((v, i) => mask[i]! * v);
        assertClose(got.y, y, storage.stored(ROUNDING), "y");
        const { dx } = groupNormGradientReference(s, x, gamma, beta, dy.map((v, i) => mask[i]! * v));
        assertClose(got.dx, dx, storage.stored(ROUNDING), "dx");
      });
    }
  }
}

Deno.test("dropout keeps a share of 1 - rate: [400000] rate=0.3", async () => {
  const { y } = await masks(shape([400, 125, 8], 0.3));
  const kept = [...y].filter((v) => v !== 0).length / y.length;
  // Five standard deviations of a binomial share: 5 sqrt(0.3 * 0.7 / 400000).
  assert.ok(Math.abs(kept - 0.7) < 0.0037, `${kept} kept`);
});

Deno.test("dropout draws an independent mask at another step, layer, stream and seed: [8000] rate=0.5", async () => {
  const size: [number, number, number] = [10, 100, 8];
  const { y } = await masks(shape(size, 0.5));
  const others: [Dropped, Partial<StepState>][] = [
    [shape(size, 0.5), { step: 8 }],
    [shape(size, 0.5, { layer: 1 }), {}],
    [shape(size, 0.5), { stream: 1 }],
    [shape(size, 0.5), { seedLo: 1 }],
    [shape(size, 0.5), { seedHi: 1 }],
  ];
  for (const [other, state] of others) {
    const { y: mask } = await masks(other, { state });
    const differing = [...mask].filter((v, i) => v !== y[i]).length / y.length;
    // Half of two independent masks differs; 0.03 is five standard deviations.
    assert.ok(differing > 0.47 && differing < 0.53, `${differing} of the mask differs`);
  }
});

Deno.test("dropout of a rate next to 1 keeps 2^-16 of the values, and stays finite", async () => {
  const { y } = await masks(shape([128, 1024, 8], 1 - 2 ** -20));
  const kept = [...y].filter((v) => v !== 0);
  // 16 expected; outside of 1 to 40 once in a million seeds.
  assert.ok(kept.length > 0 && kept.length <= 40, `${kept.length} kept`);
  assert.ok(kept.every((v) => v === 65536));
});

Deno.test("dropout refuses a rate outside [0, 1)", () => {
  const buffers = { x: 0, gamma: 0, beta: 0, stats: 0, y: 0, stepState: 0 };
  for (const rate of [1, -0.1, NaN]) {
    assert.throws(() => groupNormForward(shape([1, 1, 4], rate), buffers), RangeError);
  }
});
