import assert from "node:assert/strict";
import { dropoutBackward, dropoutForward } from "../../kernels/dropout.ts";
import { StepStateLayout } from "../../kernels/records/layouts.ts";
import { encodeRecord } from "../../kernels/records/record.ts";
import type { StepState } from "../../kernels/records/step_state.ts";
import { threefry4x32, type Words2 } from "../../lib/random.ts";
import { type HostArray, runOnArrays, testGpu } from "../support/gpu.ts";
import { noise } from "../reference/differences.ts";
import { FLOAT32, type Storage, STORAGES } from "../support/storage.ts";

const STATE: StepState = {
  step: 7,
  seedLo: 0x89abcdef,
  seedHi: 0x1234567,
  stream: 0,
  position: 0,
  count: 0,
  logSlot: 0,
  accumulate: 0,
  learningRate: 0,
  biasCorrection1: 1,
  biasCorrection2: 1,
  emaDecay: 0,
};

interface Case {
  elements: number;
  rate: number;
  layer?: number;
  state?: Partial<StepState>;
}

/** Forward and backward of ones, which gives the mask times its scale. */
async function masks({ elements, rate, layer = 0, state = {} }: Case, storage: Storage = FLOAT32) {
  const ones = storage.empty(elements).fill(1);
  const step_state = new Uint32Array(encodeRecord(StepStateLayout, { ...STATE, ...state }));
  const [y, dx] = [ones, ones].map(({ length }) => storage.empty(length));
  const shape = { elements, rate, layer };
  await storage.run([
    ...dropoutForward<HostArray>(shape, { x: ones, step_state, y }),
    ...dropoutBackward<HostArray>(shape, { dy: ones, step_state, dx }),
  ]);
  return { y, dx };
}

/** What a rate is drawn as: the nearest multiple of 2^-16. */
const drawn = (rate: number) => Math.round(65536 * rate) / 65536;

/** The mask as lib/random.ts draws it: a call serves two vec4s, 512 apart, with the halves of its words. */
function expectedMask({ elements, rate, layer = 0, state = {} }: Case): boolean[] {
  const { step, stream, seedLo, seedHi } = { ...STATE, ...state };
  const key: Words2 = [seedLo, seedHi];
  return Array.from({ length: elements }, (_, i) => {
    const vec4 = Math.floor(i / 4);
    const [block, within] = [Math.floor(vec4 / 1024), vec4 % 1024];
    const words = threefry4x32([512 * block + within % 512, 16 + layer, step, stream], key);
    const bits = within < 512 ? words[i % 4] % 65536 : Math.floor(words[i % 4] / 65536);
    return bits / 65536 >= drawn(rate);
  });
}

const CASES: Case[] = [
  { elements: 4, rate: 0.5 },
  { elements: 5000, rate: 0.1 },
  { elements: 5000, rate: 0.1, layer: 3 },
  { elements: 4100, rate: 0.9, state: { stream: 1, step: 0xffffffff } },
  // Cut off in each quarter of a workgroup's 4096 elements.
  { elements: 500, rate: 0.25 },
  { elements: 1500, rate: 0.25 },
  { elements: 2500, rate: 0.25 },
  { elements: 3 * 4096 + 3500, rate: 0.25 },
];
for (const { storage, c } of STORAGES.flatMap((storage) => CASES.map((c) => ({ storage, c })))) {
  const { elements, rate, layer = 0 } = c;
  const name = `[${elements}] rate=${rate} layer=${layer}${storage.suffix}`;
  Deno.test(`dropout draws the mask of lib/random.ts, forward and backward: ${name}`, async () => {
    const { y, dx } = await masks(c, storage);
    const scale = Math.fround(1 / (1 - drawn(rate)));
    const want = storage.array(expectedMask(c).map((kept) => kept ? scale : 0));
    assert.deepEqual(y, want);
    assert.deepEqual(dx, want);
  });
}

Deno.test("dropout keeps a share of 1 - rate: [400000] rate=0.3", async () => {
  const { y } = await masks({ elements: 400_000, rate: 0.3 });
  const kept = [...y].filter((v) => v !== 0).length / y.length;
  // Five standard deviations of a binomial share: 5 sqrt(0.3 * 0.7 / 400000).
  assert.ok(Math.abs(kept - 0.7) < 0.0037, `${kept} kept`);
});

Deno.test("dropout of rate 0 changes nothing, bit for bit", async () => {
  const x = Float32Array.from(noise(1000, 1));
  const y = new Float32Array(1000);
  const step_state = new Uint32Array(encodeRecord(StepStateLayout, STATE));
  const shape = { elements: 1000, rate: 0, layer: 0 };
  await runOnArrays(await testGpu(), dropoutForward<HostArray>(shape, { x, step_state, y }));
  assert.deepEqual(y, x);
});

Deno.test("dropout draws an independent mask at another step, layer, stream and seed: [8000] rate=0.5", async () => {
  const base = { elements: 8000, rate: 0.5 };
  const { y } = await masks(base);
  const others: Case[] = [
    { ...base, state: { step: 8 } },
    { ...base, layer: 1 },
    { ...base, state: { stream: 1 } },
    { ...base, state: { seedLo: 1 } },
    { ...base, state: { seedHi: 1 } },
  ];
  for (const other of others) {
    const { y: mask } = await masks(other);
    const differing = [...mask].filter((v, i) => v !== y[i]).length / y.length;
    // Half of two independent masks differs; 0.03 is five standard deviations.
    assert.ok(differing > 0.47 && differing < 0.53, `${differing} of the mask differs`);
  }
});

for (const storage of STORAGES) {
  Deno.test(`dropout backward adds to the gradient so far${storage.suffix}`, async () => {
    const c = { elements: 64, rate: 0.5, layer: 0 };
    const [dy, addend] = [noise(64, 2), noise(64, 3)].map((v) => storage.array(v));
    const dx = storage.empty(64);
    const step_state = new Uint32Array(encodeRecord(StepStateLayout, STATE));
    await storage.run(dropoutBackward<HostArray>(c, { dy, step_state, addend, dx }));
    const want = Float32Array.from(expectedMask(c), (kept, i) => (kept ? 2 * dy[i] : 0) + addend[i]);
    assert.deepEqual(dx, storage.array(want));
  });
}

Deno.test("dropout of a rate next to 1 keeps 2^-16 of the values, and stays finite", async () => {
  const { y } = await masks({ elements: 1 << 20, rate: 1 - 2 ** -20 });
  const kept = [...y].filter((v) => v !== 0);
  // 16 expected; outside of 1 to 40 once in a million seeds.
  assert.ok(kept.length > 0 && kept.length <= 40, `${kept.length} kept`);
  assert.ok(kept.every((v) => v === 65536));
});

Deno.test("dropout refuses a rate outside [0, 1)", () => {
  for (const rate of [1, -0.1, NaN]) {
    assert.throws(
      () => dropoutForward({ elements: 4, rate, layer: 0 }, { x: 0, step_state: 0, y: 0 }),
      RangeError,
    );
  }
});
