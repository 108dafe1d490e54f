import assert from "node:assert/strict";
import {
  guidance,
  guidanceRescale,
  samplerStep,
  slotInputs,
  slotNoise,
  type SlotShape,
} from "../../kernels/sampler_step.ts";
import { encodeRows, encodeSlots, type Slot } from "../../kernels/records/sampling.ts";
import { planSampling } from "../../lib/diffusion/sampler.ts";
import { NoiseSchedule } from "../../lib/diffusion/schedule.ts";
import { assertClose } from "../support/close.ts";
import { type HostArray, runOnArrays, testGpu } from "../support/gpu.ts";
import { packChannels, unpackChannels } from "../support/layout.ts";
import {
  rescaledGuidance,
  samplerStepReference,
  samplingNoise,
  weightedSum,
} from "../reference/sampler_step.ts";
import { STORAGES } from "../support/storage.ts";

const INITIAL = 2 ** 32 - 1;
const schedule = new NoiseSchedule();
const ddpm = planSampling("ddpm", schedule, { steps: 10 });
const ddim = planSampling("ddim", schedule, { steps: 5, eta: 1, clip: false });
const unipc = planSampling("unipc", schedule, { steps: 6 });
const learned = planSampling("ddpm", schedule, { steps: 10, variance: "learned_range" });
const steps = [...ddpm, ...ddim, unipc[3]];

const PLAIN = { label: 3, weight: 1, conditional: 1 };

/** `row` is the step's place in `steps`. */
function slot({ row = 0, ...change }: Partial<Slot> & { row?: number } = {}): Slot {
  const plain = { step: 0, seedLo: 11, seedHi: 12, rows: [PLAIN], rescale: 0 };
  return { ...plain, coefficients: steps[row], ...change };
}

function slotWords(slots: (Slot | undefined)[]): Uint32Array {
  return new Uint32Array(encodeSlots(slots));
}

function rowWords(slots: (Slot | undefined)[], batch: number): Uint32Array {
  return new Uint32Array(encodeRows(slots, batch));
}

/** Deterministic plain [rows, pixels, channels] values. */
function values(rows: number, { height, width, channels }: SlotShape, phase: number): number[] {
  return Array.from({ length: rows * height * width * channels }, (_, i) => 1.5 * Math.sin(i * 0.77 + phase));
}

function sampleOf<T extends ArrayLike<number>>(data: T, n: number, { height, width, channels }: SlotShape) {
  const size = height * width * channels;
  return Array.prototype.slice.call(data, n * size, (n + 1) * size) as number[];
}

const shapes: SlotShape[] = [
  { slots: 4, height: 8, width: 8, channels: 3, outChannels: 3 },
  { slots: 4, height: 5, width: 7, channels: 3, outChannels: 3 },
  { slots: 4, height: 3, width: 2, channels: 6, outChannels: 6 },
  { slots: 4, height: 1, width: 1, channels: 1, outChannels: 1 },
];

for (const shape of shapes) {
  const { height, width, channels } = shape;
  const pixels = height * width;
  for (const outChannels of [channels, 2 * channels]) {
    Deno.test(`sampler_step matches reference: ${JSON.stringify({ ...shape, outChannels })}`, async () => {
      // A middle step of one trajectory, an idle slot, the noiseless last step of it, and a step of another plan, which
      // reads the history.
      const learns = outChannels > channels;
      const slots = [
        slot({ step: 4, coefficients: learns ? learned[4] : steps[4] }),
        undefined,
        slot({ step: 9, row: 9, seedHi: 2 ** 21 - 1 }),
        slot({ step: 2, row: 15, knownSignal: 0.6, knownNoise: 0.8 }),
      ];
      const outShape = { ...shape, channels: outChannels };
      const [before, h1, h2, known] = [0, 2, 3, 4].map((phase) => values(4, shape, phase));
      const kept = slots.map((occupant) => occupant?.knownSignal !== undefined);
      // Every third pixel is drawn anew, every third is kept, and the others are blended.
      const mask = Float32Array.from({ length: 4 * pixels }, (_, i) => [1, 0, 0.25][i % 3]);
      const outputs = values(4, outShape, 1);
      const state = {
        x: packChannels(before, channels),
        h1: packChannels(h1, channels),
        h2: packChannels(h2, channels),
      };
      const given = { known: packChannels(known, channels), mask };
      const buffers = {
        slots: slotWords(slots),
        out: packChannels(outputs, outChannels),
        ...given,
        ...state,
      };
      await runOnArrays(await testGpu(), samplerStep<HostArray>({ ...shape, outChannels }, buffers));
      const [after, estimate, earlier] = [state.x, state.h1, state.h2].map((x) =>
        unpackChannels(x, channels)
      );
      for (const [s, occupant] of slots.entries()) {
        const own = { x: sampleOf(before, s, shape), h1: sampleOf(h1, s, shape), h2: sampleOf(h2, s, shape) };
        if (!occupant) {
          assert.deepEqual(sampleOf(after, s, shape), own.x.map(Math.fround));
          assert.deepEqual(sampleOf(estimate, s, shape), own.h1.map(Math.fround));
          assert.deepEqual(sampleOf(earlier, s, shape), own.h2.map(Math.fround));
          continue;
        }
        const half = (which: number) =>
          sampleOf(outputs, s, outShape).filter((_, i) => Math.floor(i % outChannels / channels) === which);
        const noise = samplingNoise(pixels, channels, occupant.step, [occupant.seedLo, occupant.seedHi]);
        const expected = samplerStepReference(occupant.coefficients, own, half(0), noise, half(1));
        // Unclipped estimates at high noise are differences of numbers 100 times their inputs.
        const tolerance = { absolute: 1e-5, relative: 2e-6 };
        const level = { signal: occupant.knownSignal ?? 0, noise: occupant.knownNoise ?? 0 };
        const ofKnown = samplingNoise(pixels, channels, occupant.step, [occupant.seedLo, occupant.seedHi], 1);
        const next = expected.next.map((value, i) => {
          if (!kept[s]) return value;
          const anew = mask[s * pixels + Math.floor(i / channels)];
          const own = level.signal * sampleOf(known, s, shape)[i] + level.noise * ofKnown[i];
          return anew * value + (1 - anew) * own;
        });
        assertClose(sampleOf(after, s, shape), next, tolerance, `x of slot ${s}`);
        assertClose(sampleOf(estimate, s, shape), expected.x0, tolerance, `estimate of slot ${s}`);
        assert.deepEqual(sampleOf(earlier, s, shape), own.h1.map(Math.fround), `history of slot ${s}`);
      }
    });
  }
}

Deno.test("sampler_step reads no history of weight 0, no variance that is not learned, and no known image where there is none", async () => {
  const shape: SlotShape = { slots: 1, height: 2, width: 2, channels: 3, outChannels: 3 };
  const nan = (length = 16) => new Float32Array(length).fill(NaN);
  const [x, out] = [packChannels(values(1, shape, 0), 3), packChannels(values(1, shape, 1), 3)];
  const unread = { h1: nan(), h2: nan(), known: nan(), mask: nan(4) };
  const buffers = { slots: slotWords([slot({ step: 1, row: 1 })]), out, x, ...unread };
  await runOnArrays(await testGpu(), samplerStep<HostArray>(shape, buffers));
  assert.ok(x.every(Number.isFinite) && buffers.h1.every(Number.isFinite));
});

for (const { storage, shape } of STORAGES.flatMap((storage) => shapes.map((shape) => ({ storage, shape })))) {
  const { channels } = shape;
  const name = `${JSON.stringify(shape)}${storage.suffix}`;
  Deno.test(`guidance adds up each slot's rows by their weights: ${name}`, async () => {
    const weights = [[2.5, -1.5], [], [1], [0.75, 2.25, -2]];
    const slots = weights.map((of) =>
      of.length > 0 ? slot({ rows: of.map((weight) => ({ ...PLAIN, weight })) }) : undefined
    );
    const outputs = [...storage.rounded(values(8, shape, 1))];
    const out = packChannels(values(4, shape, 2), channels);
    const before = out.slice();
    const buffers = {
      slots: slotWords(slots),
      rows: rowWords(slots, 8),
      model_out: storage.array(packChannels(outputs, channels)),
      out,
    };
    await storage.run(guidance<HostArray>(shape, buffers));
    let row = 0;
    for (const [s, of] of weights.entries()) {
      const terms = of.map((weight) => ({ weight, output: sampleOf(outputs, row++, shape) }));
      const got = sampleOf(unpackChannels(out, channels), s, shape);
      if (terms.length === 0) assert.deepEqual(got, sampleOf(unpackChannels(before, channels), s, shape));
      else if (terms.length === 1) assert.deepEqual(got, terms[0].output, "a row of weight 1 has other bits");
      else assertClose(got, weightedSum(terms), { absolute: 2e-6 }, `slot ${s}`);
    }
  });

  Deno.test(`guidance_rescale scales a part of the output to the conditional deviation: ${name}`, async () => {
    const terms = (...of: [weight: number, conditional: number][]) =>
      of.map(([weight, conditional]) => ({ label: 3, weight, conditional }));
    const slots = [
      slot({ rows: terms([2.5, 1], [-1.5, 0]), rescale: 0.7 }),
      slot({ rows: terms([4.5, 0.75], [1.5, 0.25], [-5, 0]), rescale: 1 }),
      undefined,
      slot({ rows: terms([2.5, 1], [-1.5, 0]) }),
    ];
    const outputs = [...storage.rounded(values(7, shape, 1).map((value) => 0.2 * value + 3))];
    const guided = values(4, shape, 2).map((value) => 5 * value - 40);
    const out = packChannels(guided, channels);
    const buffers = {
      slots: slotWords(slots),
      rows: rowWords(slots, 8),
      model_out: storage.array(packChannels([...outputs, ...sampleOf(outputs, 0, shape)], channels)),
      out,
    };
    await storage.run(guidanceRescale<HostArray>(shape, buffers));
    let row = 0;
    for (const [s, occupant] of slots.entries()) {
      const got = sampleOf(unpackChannels(out, channels), s, shape);
      const before = sampleOf(guided, s, shape);
      const parts = (occupant?.rows ?? []).map(({ conditional }) => {
        return { weight: conditional, output: sampleOf(outputs, row++, shape) };
      });
      if (!occupant?.rescale) assert.deepEqual(got, before.map(Math.fround), `slot ${s} asks for none`);
      else {
        const expected = rescaledGuidance(before, weightedSum(parts), occupant.rescale);
        assertClose(got, expected, { absolute: 2e-6, relative: 2e-6 }, `slot ${s}`);
      }
    }
    assert.deepEqual(packChannels(unpackChannels(out, channels), channels), out, "padding is zero");
  });

  Deno.test(`slot_inputs gives each row its slot and its label: ${name}`, async () => {
    const labelled = (row: number, ...labels: number[]) =>
      slot({ row, rows: labels.map((label) => ({ ...PLAIN, label })) });
    const slots = [labelled(3, 9), labelled(14, 0, 10, 4), undefined, labelled(0, 10)];
    const assigned: (readonly [slot: number, label: number] | undefined)[] = [
      [0, 9],
      [1, 0],
      [1, 10],
      [1, 4],
      [3, 10],
      undefined,
    ];
    const x = packChannels(values(4, shape, 0), channels);
    const size = x.length / 4;
    const batch = assigned.length;
    const input = storage.empty(batch * size).fill(7);
    const timestep = new Float32Array(batch).fill(7);
    const label = new Uint32Array(batch).fill(99);
    const rows = rowWords(slots, batch);
    const buffers = { slots: slotWords(slots), rows, x, input, timestep, label };
    await storage.run(slotInputs<HostArray>(shape, batch, buffers));
    assigned.forEach((at, row) => {
      const got = input.slice(row * size, (row + 1) * size);
      if (!at) {
        assert.deepEqual([timestep[row], label[row], ...new Set(got)], [7, 99, 7], `idle row ${row}`);
        return;
      }
      const [s, wanted] = at;
      assert.deepEqual(got, storage.array(x.slice(s * size, (s + 1) * size)), `input of row ${row}`);
      assert.equal(timestep[row], slots[s]?.coefficients.timestep);
      assert.equal(label[row], wanted);
    });
  });
}

for (const shape of shapes) {
  const { height, width, channels } = shape;
  const pixels = height * width;
  Deno.test(`slot_noise fills slots at their first step alone: ${JSON.stringify(shape)}`, async () => {
    const half = { ...steps[0], initialNoise: 0.5 };
    const slots = [
      slot(),
      undefined,
      slot({ step: 1, row: 1 }),
      slot({ seedLo: 5, seedHi: 0, coefficients: half }),
    ];
    const before = values(4, shape, 0);
    const x = packChannels(before, channels);
    await runOnArrays(await testGpu(), slotNoise<HostArray>(shape, { slots: slotWords(slots), x }));
    const after = unpackChannels(x, channels);
    for (
      const [s, scale, key] of [[0, 1, [11, 12]], [3, 0.5, [5, 0]]] as [number, number, [number, number]][]
    ) {
      const expected = samplingNoise(pixels, channels, INITIAL, key).map((value) => scale * value);
      assertClose(sampleOf(after, s, shape), expected, { absolute: 1e-5 }, `slot ${s}`);
    }
    for (const s of [1, 2]) {
      assert.deepEqual(sampleOf(after, s, shape), sampleOf(before, s, shape).map(Math.fround));
    }
  });
}

/** Draws the wanted images with a stand-in for the network, each in its slot and entering at its round. */
async function trajectory(
  slotCount: number,
  images: { at: number; enters: number; image: Slot }[],
  wanted: number,
) {
  const shape: SlotShape = { slots: slotCount, height: 5, width: 7, channels: 3, outChannels: 3 };
  const gpu = await testGpu();
  const x = new Float32Array(slotCount * 35 * 4);
  const [h1, h2] = [new Float32Array(x.length), new Float32Array(x.length)];
  for (let round = 0; round < 10 + Math.max(...images.map(({ enters }) => enters)); round++) {
    const slots: (Slot | undefined)[] = Array(slotCount).fill(undefined);
    for (const { at, enters, image } of images) {
      const step = round - enters;
      if (step >= 0 && step < 10) slots[at] = { ...image, step, coefficients: steps[step] };
    }
    const words = slotWords(slots);
    await runOnArrays(gpu, slotNoise<HostArray>(shape, { slots: words, x }));
    const out = x.map((value) => value / 3);
    const given = { known: x.map(() => 0.5), mask: new Float32Array(slotCount * 35) };
    await runOnArrays(gpu, samplerStep<HostArray>(shape, { slots: words, out, x, h1, h2, ...given }));
  }
  return x.slice(wanted * 35 * 4, (wanted + 1) * 35 * 4);
}

Deno.test("an image has the same bits in any slot, beside any neighbours, whenever it enters", async () => {
  const image = slot({ seedLo: 77 });
  const alone = await trajectory(1, [{ at: 0, enters: 0, image }], 0);
  const among = await trajectory(3, [
    { at: 0, enters: 0, image: slot({ seedLo: 1, knownSignal: 1 }) },
    { at: 2, enters: 3, image },
  ], 2);
  assert.deepEqual(among, alone);
  const other = await trajectory(1, [{ at: 0, enters: 0, image: slot({ seedLo: 78 }) }], 0);
  assert.notDeepEqual(other, alone);
});
