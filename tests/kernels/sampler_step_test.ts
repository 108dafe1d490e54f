import assert from "node:assert/strict";
import { samplerStep, slotInputs, slotNoise, type SlotShape } from "../../kernels/sampler_step.ts";
import { encodeAsks, encodeSlots, type Slot } from "../../kernels/records/sampling.ts";
import { planSampling } from "../../lib/diffusion/sampler.ts";
import { NoiseSchedule } from "../../lib/diffusion/schedule.ts";
import { assertClose } from "../support/close.ts";
import { type HostArray, runOnArrays, testGpu } from "../support/gpu.ts";
import { packChannels, unpackChannels } from "../support/layout.ts";
import { guidanceReference, samplerStepReference, samplingNoise } from "../reference/sampler_step.ts";
import { STORAGES } from "../support/storage.ts";

const INITIAL = 2 ** 32 - 1;
const schedule = new NoiseSchedule();
const ddpm = planSampling("ddpm", schedule, { steps: 10 });
const ddim = planSampling("ddim", schedule, { steps: 5, eta: 1, clip: false });
const steps = [...ddpm, ...ddim];

/** `row` is the step's place in `steps`. */
function slot({ row = 0, ...change }: Partial<Slot> & { row?: number } = {}): Slot {
  const plain = { step: 0, seedLo: 11, seedHi: 12, label: 3, guidance: 1, conditional: 0 };
  return { ...plain, coefficients: steps[row], ...change };
}

function slotWords(slots: (Slot | undefined)[]): Uint32Array {
  return new Uint32Array(encodeSlots(slots));
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
  { slots: 4, height: 8, width: 8, channels: 3 },
  { slots: 4, height: 5, width: 7, channels: 3 },
  { slots: 4, height: 3, width: 2, channels: 6 },
  { slots: 4, height: 1, width: 1, channels: 1 },
];

for (const { storage, shape } of STORAGES.flatMap((storage) => shapes.map((shape) => ({ storage, shape })))) {
  const { height, width, channels } = shape;
  const pixels = height * width;
  const name = `${JSON.stringify(shape)}${storage.suffix}`;
  Deno.test(`sampler_step matches reference: ${name}`, async () => {
    // A middle step of one trajectory, an idle slot, the noiseless last step of it without guidance, and a step of
    // another plan; rows of the network in no order, one of them idle.
    const slots = [
      slot({ step: 4, row: 4, guidance: 2.5, conditional: 3, unconditional: 1 }),
      undefined,
      slot({ step: 9, row: 9, seedHi: 2 ** 21 - 1, guidance: 7, conditional: 0 }),
      slot({ step: 2, row: 12, guidance: 0, conditional: 5, unconditional: 4 }),
    ];
    const before = values(4, shape, 0);
    const out = [...storage.rounded(values(6, shape, 1))];
    const x = packChannels(before, channels);
    const preview = new Float32Array(x.length);
    await storage.run(
      samplerStep<HostArray>(shape, {
        slots: slotWords(slots),
        model_out: storage.array(packChannels(out, channels)),
        x,
        preview,
      }),
    );
    const after = unpackChannels(x, channels);
    const estimate = unpackChannels(preview, channels);
    for (const [s, occupant] of slots.entries()) {
      if (!occupant) {
        assert.deepEqual(sampleOf(after, s, shape), sampleOf(before, s, shape).map(Math.fround));
        continue;
      }
      const conditional = sampleOf(out, occupant.conditional, shape);
      const guidedOut = occupant.unconditional === undefined
        ? conditional
        : guidanceReference(conditional, sampleOf(out, occupant.unconditional, shape), occupant.guidance);
      const noise = samplingNoise(pixels, channels, occupant.step, [occupant.seedLo, occupant.seedHi]);
      const expected = samplerStepReference(
        occupant.coefficients,
        sampleOf(before, s, shape),
        guidedOut,
        noise,
      );
      // Unclipped estimates at high noise are differences of numbers 100 times their inputs.
      const tolerance = { absolute: 1e-5, relative: 2e-6 };
      assertClose(sampleOf(after, s, shape), expected.next, tolerance, `x of slot ${s}`);
      assertClose(sampleOf(estimate, s, shape), expected.x0, tolerance, `preview of slot ${s}`);
    }
  });

  Deno.test(`slot_inputs asks each row about its slot: ${name}`, async () => {
    const slots = [
      slot({ row: 3, label: 9, conditional: 2 }),
      slot({ row: 14, label: 0, conditional: 0, unconditional: 5 }),
      undefined,
      slot({ row: 0, label: 10, conditional: 1 }),
    ];
    const asked: (readonly [slot: number, label: number] | undefined)[] = [
      [1, 0],
      [3, 10],
      [0, 9],
      undefined,
      undefined,
      [1, 10],
    ];
    const x = packChannels(values(4, shape, 0), channels);
    const size = x.length / 4;
    const input = storage.empty(asked.length * size).fill(7);
    const timestep = new Float32Array(asked.length).fill(7);
    const label = new Uint32Array(asked.length).fill(99);
    const asks = encodeAsks(slots, asked.length);
    await storage.run(
      slotInputs<HostArray>(shape, asked.length, 10, {
        slots: slotWords(slots),
        asks,
        x,
        input,
        timestep,
        label,
      }),
    );
    asked.forEach((ask, row) => {
      const got = input.slice(row * size, (row + 1) * size);
      if (!ask) {
        assert.deepEqual([timestep[row], label[row], ...new Set(got)], [7, 99, 7], `idle row ${row}`);
        return;
      }
      const [s, wanted] = ask;
      assert.deepEqual(got, storage.array(x.slice(s * size, (s + 1) * size)), `input of row ${row}`);
      assert.equal(timestep[row], slots[s]?.coefficients.timestep);
      assert.equal(label[row], wanted);
    });
  });
}

for (const shape of shapes) {
  const { height, width, channels } = shape;
  const pixels = height * width;
  Deno.test(`slot_noise fills slots at step 0 alone: ${JSON.stringify(shape)}`, async () => {
    const slots = [slot(), undefined, slot({ step: 1 }), slot({ seedLo: 5, seedHi: 0 })];
    const before = values(4, shape, 0);
    const x = packChannels(before, channels);
    await runOnArrays(await testGpu(), slotNoise<HostArray>(shape, { slots: slotWords(slots), x }));
    const after = unpackChannels(x, channels);
    for (const [s, key] of [[0, [11, 12]], [3, [5, 0]]] as [number, [number, number]][]) {
      const expected = samplingNoise(pixels, channels, INITIAL, key);
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
  const shape: SlotShape = { slots: slotCount, height: 5, width: 7, channels: 3 };
  const gpu = await testGpu();
  const x = new Float32Array(slotCount * 35 * 4);
  const preview = new Float32Array(x.length);
  for (let round = 0; round < 10 + Math.max(...images.map(({ enters }) => enters)); round++) {
    const slots: (Slot | undefined)[] = Array(slotCount).fill(undefined);
    for (const { at, enters, image } of images) {
      const step = round - enters;
      if (step >= 0 && step < 10) slots[at] = { ...image, step, coefficients: steps[step], conditional: at };
    }
    const words = slotWords(slots);
    await runOnArrays(gpu, slotNoise<HostArray>(shape, { slots: words, x }));
    const model_out = x.map((value) => value / 3);
    await runOnArrays(gpu, samplerStep<HostArray>(shape, { slots: words, model_out, x, preview }));
  }
  return x.slice(wanted * 35 * 4, (wanted + 1) * 35 * 4);
}

Deno.test("an image has the same bits in any slot, beside any neighbours, whenever it enters", async () => {
  const image = slot({ seedLo: 77 });
  const alone = await trajectory(1, [{ at: 0, enters: 0, image }], 0);
  const among = await trajectory(3, [
    { at: 0, enters: 0, image: slot({ seedLo: 1 }) },
    { at: 2, enters: 3, image },
  ], 2);
  assert.deepEqual(among, alone);
  const other = await trajectory(1, [{ at: 0, enters: 0, image: slot({ seedLo: 78 }) }], 0);
  assert.notDeepEqual(other, alone);
});
