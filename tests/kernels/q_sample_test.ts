import assert from "node:assert/strict";
import { qSampleForward } from "../../kernels/q_sample.ts";
import { encodeScheduleTables } from "../../kernels/records/training.ts";
import { assertClose } from "../support/close.ts";
import type { HostArray } from "../support/gpu.ts";
import { unpackChannels } from "../support/layout.ts";
import { qSampleReference } from "../reference/q_sample.ts";
import { packBytes, stepWords } from "../support/step.ts";
import { FLOAT32, STORAGES } from "../support/storage.ts";

const TIMESTEPS = 10;

/** v-prediction on a cosine: every column of the table matters. */
const tables = (() => {
  const angle = Array.from({ length: TIMESTEPS }, (_, t) => (t + 0.5) / TIMESTEPS * Math.PI / 2);
  return {
    timestep: angle.map((_, t) => t),
    signal: angle.map(Math.cos),
    noise: angle.map(Math.sin),
    targetFromX0: angle.map((a) => -Math.sin(a)),
    targetFromNoise: angle.map(Math.cos),
    weight: angle.map(() => 1),
  };
})();

interface Case {
  height: number;
  width: number;
  channels: number;
  images: number;
  /** image, timestep, flip of each sample */
  draws: [number, number, number][];
  /** Images in each chunk of the data set. */
  chunks: number[];
}

async function run(
  { height, width, channels, images, draws, chunks }: Case,
  { filled = 0, storage = FLOAT32 } = {},
) {
  const imageBytes = height * width * channels;
  const bytes = Uint8Array.from({ length: images * imageBytes }, (_, i) => (i * 37 + (i >> 3)) % 256);
  const size = draws.length * height * width * 4 * Math.ceil(channels / 4);
  const outputs = { x_t: storage.empty(size).fill(filled), targets: new Float32Array(size).fill(filled) };
  const shared = {
    step_state: stepWords({ step: 5, stream: 1, seedLo: 3, seedHi: 4 }),
    draws: Uint32Array.from(draws.flat()),
    schedule: encodeScheduleTables(tables),
    ...outputs,
  };
  let chunkFirst = 0;
  const launches = chunks.flatMap((chunkCount) => {
    const chunk = bytes.subarray(chunkFirst * imageBytes, (chunkFirst + chunkCount) * imageBytes);
    const shape = { batch: draws.length, height, width, channels, chunkFirst, chunkCount };
    chunkFirst += chunkCount;
    return qSampleForward<HostArray>(shape, { ...shared, images: packBytes(chunk) });
  });
  await storage.run(launches);
  const expected = qSampleReference({
    height,
    width,
    channels,
    step: 5,
    stream: 1,
    key: [3, 4],
    images: bytes,
    draws: draws.map(([image, timestep, flip]) => ({ image, timestep, flip })),
    schedule: tables.signal.map((signal, t) => [
      signal,
      tables.noise[t],
      tables.targetFromX0[t],
      tables.targetFromNoise[t],
    ]),
  });
  return { ...outputs, expected };
}

const cases: Record<string, Case> = {
  "images=[3,8,8,3], flipped and not": {
    height: 8,
    width: 8,
    channels: 3,
    images: 3,
    draws: [[2, 0, 0], [0, 9, 1], [2, 4, 1]],
    chunks: [3],
  },
  "images=[4,5,7,3]: rows and images start inside words": {
    height: 5,
    width: 7,
    channels: 3,
    images: 4,
    draws: [[3, 1, 0], [1, 5, 1], [2, 0, 1]],
    chunks: [4],
  },
  "images=[5,5,7,3] in chunks of 2, 1 and 2": {
    height: 5,
    width: 7,
    channels: 3,
    images: 5,
    draws: [[4, 1, 0], [1, 5, 1], [2, 0, 1], [3, 2, 0], [0, 9, 0]],
    chunks: [2, 1, 2],
  },
  "images=[1,1,1,3]": { height: 1, width: 1, channels: 3, images: 1, draws: [[0, 3, 1]], chunks: [1] },
  "images=[2,3,2,1], grey": {
    height: 3,
    width: 2,
    channels: 1,
    images: 2,
    draws: [[1, 2, 1], [0, 1, 0]],
    chunks: [2],
  },
  "images=[2,3,2,6]": {
    height: 3,
    width: 2,
    channels: 6,
    images: 2,
    draws: [[1, 2, 1], [0, 1, 0]],
    chunks: [1, 1],
  },
  "images=[2,18,35,5], larger than a workgroup either way": {
    height: 18,
    width: 35,
    channels: 5,
    images: 2,
    draws: [[1, 2, 1], [0, 1, 0]],
    chunks: [2],
  },
};

const ALL = STORAGES.flatMap((storage) => Object.entries(cases).map((named) => [storage, ...named] as const));
for (const [storage, name, shape] of ALL) {
  Deno.test(`q_sample matches reference: ${name}${storage.suffix}`, async () => {
    const { x_t, targets, expected } = await run(shape, { storage });
    // Normals reach 5.8 and are good to 1e-6 of that.
    const tolerance = { absolute: 1e-5 };
    assertClose(unpackChannels(x_t, shape.channels), expected.xT, storage.stored(tolerance), "x_t");
    assertClose(unpackChannels(targets, shape.channels), expected.targets, tolerance, "targets");
  });
}

Deno.test("q_sample leaves samples of other chunks alone", async () => {
  const shape = cases["images=[5,5,7,3] in chunks of 2, 1 and 2"];
  const { x_t, targets } = await run({ ...shape, chunks: [2] }, { filled: 42 });
  const perSample = 5 * 7 * 4;
  shape.draws.forEach(([image], n) => {
    const untouched = (values: HostArray) =>
      values.subarray(n * perSample, (n + 1) * perSample).every((value) => value === 42);
    assert.equal(untouched(x_t), image >= 2);
    assert.equal(untouched(targets), image >= 2);
  });
});

Deno.test("q_sample gives two samples of one image different noise, the same in any chunking", async () => {
  const shape = {
    ...cases["images=[3,8,8,3], flipped and not"],
    draws: [[1, 9, 0], [1, 9, 0]] as Case["draws"],
  };
  const whole = await run(shape);
  const cut = await run({ ...shape, chunks: [1, 1, 1] });
  assert.deepEqual(whole.x_t, cut.x_t);
  assert.notDeepEqual(whole.x_t.subarray(0, 256), whole.x_t.subarray(256));
});
