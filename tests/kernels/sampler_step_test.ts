import assert from "node:assert/strict";
import { samplerStep, slotInputs, slotNoise, type SlotShape } from "../../kernels/sampler_step.ts";
import { encodePlan, encodeSlots, type Slot } from "../../kernels/sampling.ts";
import { planSampling } from "../../lib/diffusion/sampler.ts";
import { NoiseSchedule } from "../../lib/diffusion/schedule.ts";
import { assertClose } from "../close.ts";
import { type HostArray, runOnArrays, testGpu } from "../gpu.ts";
import { packChannels, unpackChannels } from "../layout.ts";
import { guidanceReference, samplerStepReference, samplingNoise } from "../reference/sampler_step.ts";

const INITIAL = 2 ** 32 - 1;
const schedule = new NoiseSchedule();
const ddpm = planSampling("ddpm", schedule, { steps: 10 });
const ddim = planSampling("ddim", schedule, { steps: 5, eta: 1, clip: false });
const steps = [...ddpm, ...ddim];
const plan = encodePlan(steps);

function slot(change: Partial<Slot> = {}): Slot {
  return { step: 0, row: 0, seedLo: 11, seedHi: 12, label: 3, guidance: 1, ...change };
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
  { slots: 4, height: 8, width: 8, channels: 3, guided: true },
  { slots: 4, height: 5, width: 7, channels: 3, guided: false },
  { slots: 4, height: 3, width: 2, channels: 6, guided: true },
  { slots: 4, height: 1, width: 1, channels: 1, guided: true },
];

for (const shape of shapes) {
  const { height, width, channels, guided } = shape;
  const pixels = height * width;
  Deno.test(`sampler_step matches reference: ${JSON.stringify(shape)}`, async () => {
    // A middle step of one trajectory, an idle slot, the noiseless last step of it, and a step of another plan.
    const slots = [
      slot({ step: 4, row: 4, guidance: 2.5 }),
      undefined,
      slot({ step: 9, row: 9, seedHi: 2 ** 21 - 1, guidance: 0 }),
      slot({ step: 2, row: 12, guidance: 1.5 }),
    ];
    const before = values(4, shape, 0);
    const out = values(guided ? 8 : 4, shape, 1);
    const x = packChannels(before, channels);
    const preview = new Float32Array(x.length);
    await runOnArrays(
      await testGpu(),
      samplerStep<HostArray>(shape, {
        slots: slotWords(slots),
        plan,
        model_out: packChannels(out, channels),
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
      const conditional = sampleOf(out, s, shape);
      const guidedOut = guided
        ? guidanceReference(conditional, sampleOf(out, 4 + s, shape), occupant.guidance)
        : conditional;
      const noise = samplingNoise(pixels, channels, occupant.step, [occupant.seedLo, occupant.seedHi]);
      const expected = samplerStepReference(
        steps[occupant.row],
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

  Deno.test(`slot_inputs asks about every slot: ${JSON.stringify(shape)}`, async () => {
    const copies = guided ? 2 : 1;
    const slots = [
      slot({ row: 3, label: 9 }),
      slot({ row: 14, label: 0 }),
      undefined,
      slot({ row: 0, label: 10 }),
    ];
    const x = packChannels(values(4, shape, 0), channels);
    const input = new Float32Array(copies * x.length);
    const timestep = new Float32Array(copies * 4);
    const label = new Uint32Array(copies * 4).fill(99);
    await runOnArrays(
      await testGpu(),
      slotInputs<HostArray>(shape, 10, { slots: slotWords(slots), plan, x, input, timestep, label }),
    );
    for (let copy = 0; copy < copies; copy++) {
      assert.deepEqual(input.slice(copy * x.length, (copy + 1) * x.length), x);
      for (const [s, occupant] of slots.entries()) {
        if (!occupant) continue;
        assert.equal(timestep[4 * copy + s], steps[occupant.row].timestep);
        assert.equal(label[4 * copy + s], copy === 0 ? occupant.label : 10);
      }
    }
  });

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
  const shape: SlotShape = { slots: slotCount, height: 5, width: 7, channels: 3, guided: false };
  const gpu = await testGpu();
  const x = new Float32Array(slotCount * 35 * 4);
  const preview = new Float32Array(x.length);
  for (let round = 0; round < 10 + Math.max(...images.map(({ enters }) => enters)); round++) {
    const slots: (Slot | undefined)[] = Array(slotCount).fill(undefined);
    for (const { at, enters, image } of images) {
      const step = round - enters;
      if (step >= 0 && step < 10) slots[at] = { ...image, step, row: step };
    }
    const words = slotWords(slots);
    await runOnArrays(gpu, slotNoise<HostArray>(shape, { slots: words, x }));
    const model_out = x.map((value) => value / 3);
    await runOnArrays(gpu, samplerStep<HostArray>(shape, { slots: words, plan, model_out, x, preview }));
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
