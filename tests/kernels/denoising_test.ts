import assert from "node:assert/strict";
import { denoisingErrors, noiseRows } from "../../kernels/denoising.ts";
import { decodeDenoisingErrors, encodeNoisedRows, type NoisedRow } from "../../kernels/records/evaluation.ts";
import { noClip } from "../../lib/diffusion/samplers/step.ts";
import { denoisingErrorReference, noiseRowReference, type RowReference } from "../reference/denoising.ts";
import { assertClose } from "../support/close.ts";
import type { HostArray } from "../support/gpu.ts";
import { packChannels, unpackChannels } from "../support/layout.ts";
import { FLOAT32, type Storage, STORAGES } from "../support/storage.ts";

interface Case {
  height: number;
  width: number;
  channels: number;
  rows: RowReference[];
  learned?: boolean;
}

const row = (over: Partial<RowReference>): RowReference => ({
  image: 0,
  level: 0,
  key: [7, 9],
  signal: 0.8,
  noise: 0.6,
  targetFromX0: 0,
  targetFromNoise: 1,
  x0FromOut: -0.75,
  clip: 1,
  logRatio: 0,
  ...over,
});

/** A row that is fed v, one with a large estimate that is clipped, and one without clipping. */
const ROWS = [
  row({ image: 3, level: 2, targetFromX0: -0.6, targetFromNoise: 0.8, x0FromOut: -0.6 }),
  row({ image: 4_000_000_000, level: 999, signal: 0.01, noise: 1, x0FromOut: -100 }),
  row({ image: 3, level: 5, clip: noClip }),
];

const cases: Case[] = [
  { height: 8, width: 4, channels: 3, rows: ROWS },
  { height: 5, width: 7, channels: 6, rows: ROWS.slice(0, 2) },
  { height: 1, width: 1, channels: 1, rows: ROWS.slice(0, 1) },
  { height: 5, width: 7, channels: 3, rows: [row({ logRatio: 3 }), row({ logRatio: 0.02 })], learned: true },
  { height: 32, width: 32, channels: 3, rows: ROWS.slice(0, 1) },
];

const recordOf = ({ key: [seedLo, seedHi], ...rest }: RowReference, result: number): NoisedRow => ({
  ...rest,
  seedLo,
  seedHi,
  result,
});

const SPARE = 2;

/** Channels of each pixel, one after the other. */
function joined(first: ArrayLike<number>, second: ArrayLike<number>, channels: number): Float64Array {
  return Float64Array.from({ length: 2 * first.length }, (_, i) => {
    const [pixel, c] = [Math.floor(i / (2 * channels)), i % (2 * channels)];
    return c < channels ? first[pixel * channels + c] : second[pixel * channels + c - channels];
  });
}

/** Padding lanes are not written, and read by nothing. */
function withPadding(values: Float32Array): Float32Array {
  return values.map((value) => Number.isNaN(value) ? 0 : value);
}

/** Runs both kernels with a made-up prediction; results go to the records in reverse order. */
async function run({ rows, learned = false, ...size }: Case, storage: Storage, unused = 0) {
  const { height, width, channels } = size;
  const elements = height * width * channels;
  const shape = { ...size, rows: rows.length + unused };
  const x0 = Float32Array.from({ length: shape.rows * elements }, (_, i) => Math.sin(1.3 * i));
  const prediction = storage.rounded(Array.from(x0, (_, i) => Math.cos(0.7 * i)));
  const v = storage.rounded(Array.from(x0, (_, i) => 1.2 * Math.sin(0.3 * i)));
  const output = learned ? joined(prediction, v, channels) : prediction;
  const padded = packChannels(x0, channels);
  const records = rows.map((one, n) => recordOf(one, rows.length - 1 - n));
  const buffers = {
    rows: new Uint32Array(encodeNoisedRows(records, shape.rows)),
    x_0: padded,
    targets: new Float32Array(padded.length).fill(NaN),
  };
  const x = storage.empty(padded.length);
  const estimates = new Float32Array(padded.length).fill(NaN);
  const log_ratios = new Float32Array(padded.length).fill(NaN);
  const errors = new Float32Array(4 * (rows.length + SPARE)).fill(42);
  await storage.run([
    ...noiseRows<HostArray>(shape, { ...buffers, x }),
    ...denoisingErrors<HostArray>(shape, {
      ...buffers,
      prediction: storage.array(packChannels(output, learned ? 2 * channels : channels)),
      estimates,
      log_ratios,
      errors,
    }, learned),
  ]);
  const of = (values: ArrayLike<number>, n: number) =>
    unpackChannels(values, channels).subarray(n * elements, (n + 1) * elements);
  return rows.map((one, n) => ({
    one,
    x0: of(padded, n),
    prediction: prediction.subarray(n * elements, (n + 1) * elements),
    x: of(x, n),
    targets: of(buffers.targets, n),
    estimates: of(withPadding(estimates), n),
    logRatios: of(withPadding(log_ratios), n),
    v: learned ? v.subarray(n * elements, (n + 1) * elements) : undefined,
    error: decodeDenoisingErrors(errors.buffer)[rows.length - 1 - n],
    spare: decodeDenoisingErrors(errors.buffer).slice(rows.length),
  }));
}

for (const storage of STORAGES) {
  for (const shape of cases) {
    const { height, width, channels, rows, learned } = shape;
    const name = `[${rows.length},${height},${width},${channels}]${
      learned ? " with a learned variance" : ""
    }${storage.suffix}`;
    Deno.test(`noise_rows and denoising_errors match their references: ${name}`, async () => {
      for (const { one, x0, prediction, v, x, targets, ...got } of await run(shape, storage)) {
        const { estimates, logRatios, error } = got;
        const noised = noiseRowReference(one, x0, channels);
        // Normals reach 5.8 and are good to 1e-6 of that.
        assertClose(x, noised.x, storage.stored({ absolute: 1e-5 }), "x");
        assertClose(targets, noised.targets, { absolute: 1e-5 }, "targets");
        const expected = denoisingErrorReference(one, x0, prediction, targets, v);
        const scale = Math.max(1, Math.abs(one.x0FromOut));
        assertClose(estimates, expected.estimates, { absolute: 1e-6 * scale }, "estimates");
        // Sums of up to 3,072 squares in float32
        assertClose([error.targetError], [expected.target], { absolute: 0, relative: 1e-5 }, "target error");
        assertClose([error.x0Error], [expected.x0], { absolute: 0, relative: 1e-5 }, "x_0 error");
        assertClose(logRatios, expected.logRatios, { absolute: 1e-5 }, "logarithms of the ratio");
        const relative = { absolute: 1e-9, relative: 1e-5 };
        assertClose([error.boundError], [expected.bound], relative, "error in the bound");
        assertClose([error.varianceTerm], [expected.variance], relative, "term of the variance");
      }
    });
  }
}

Deno.test("denoising_errors gives an exact network no error, however little noise there is", async () => {
  const faint = row({ signal: 1, noise: 1e-6, x0FromOut: -1e-6 });
  const [{ x0, targets }] = await run({ height: 4, width: 4, channels: 3, rows: [faint] }, FLOAT32);
  const errors = new Float32Array(4);
  const estimates = new Float32Array(64);
  await FLOAT32.run(denoisingErrors<HostArray>({ rows: 1, height: 4, width: 4, channels: 3 }, {
    rows: new Uint32Array(encodeNoisedRows([recordOf(faint, 0)], 1)),
    prediction: packChannels(targets, 3),
    targets: packChannels(targets, 3),
    x_0: packChannels(x0, 3),
    estimates,
    log_ratios: new Float32Array(64),
    errors,
  }));
  assert.deepEqual([...errors], [0, 0, 0, 0]);
  assert.deepEqual(unpackChannels(estimates, 3), x0);
});

Deno.test("denoising_errors writes no record for unused rows", async () => {
  const [{ spare }] = await run({ ...cases[0], rows: ROWS.slice(0, 1) }, FLOAT32, 2);
  assert.deepEqual(
    spare,
    Array(SPARE).fill({ targetError: 42, x0Error: 42, boundError: 42, varianceTerm: 42 }),
  );
});

Deno.test("the noise of an image at a level is the same in any row", async () => {
  const shape = { height: 4, width: 4, channels: 3 };
  const [first] = await run({ ...shape, rows: [ROWS[1]] }, FLOAT32);
  const [, second] = await run({ ...shape, rows: [ROWS[0], ROWS[1]] }, FLOAT32);
  assert.deepEqual(first.targets, second.targets);
});
