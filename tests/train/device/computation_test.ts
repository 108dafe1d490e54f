/** Adapter and kernels of a run are stored with it, and a resume with others warns. */
import assert from "node:assert/strict";
import { type Launch, parseKernel } from "../../../kernels/source.ts";
import { objectiveTables } from "../../../lib/diffusion/objective.ts";
import { NoiseSchedule } from "../../../lib/diffusion/schedule.ts";
import type { Gpu } from "../../../lib/gpu/device.ts";
import type { BufferView } from "../../../lib/gpu/memory.ts";
import { type Checkpoint, loadLatestCheckpoint, saveCheckpoint } from "../../../lib/files/checkpoint.ts";
import { type Computation, digestOf } from "../../../lib/train/device/computation.ts";
import { ResidentDataset } from "../../../lib/train/device/resident.ts";
import { TrainingStep } from "../../../lib/train/device/step.ts";
import { testGpu, TILE } from "../../support/gpu.ts";
import { inTemporaryDirectory } from "../../support/train/directories.ts";
import { microNetwork, ofType, patternImages, run } from "../../support/train/micro.ts";

const CODE = "@compute @workgroup_size(1) fn main() {}";

function launch(changes: Partial<Launch<BufferView>> = {}, code = CODE): Launch<BufferView> {
  return {
    kernel: parseKernel("test", code),
    entry: "main",
    constants: { a: 1, b: 2 },
    params: { rows: 3 },
    buffers: {},
    workgroups: [1, 1, 1],
    label: "first",
    ...{ flops: 0, operations: 0 },
    ...changes,
  };
}

Deno.test("the digest of dispatches is that of what they compute, and of nothing else", async () => {
  const other = launch({ params: { rows: 4 } });
  const digest = await digestOf([launch(), other]);
  const same = [
    [other, launch()],
    [launch(), other, launch({ label: "again" })],
    [launch({ constants: { b: 2, a: 1 } }), other],
    [launch({}, `${CODE.replace("fn", "\n  fn")} // about it`), other],
  ];
  for (const launches of same) assert.equal(await digestOf(launches), digest);
  const different = [
    [launch()],
    [launch({ constants: { a: 1, b: 3 } }), other],
    [launch({ workgroups: [2, 1, 1] }), other],
    [launch({}, CODE.replace("{}", "{ let n = 1; }")), other],
  ];
  for (const launches of different) assert.notEqual(await digestOf(launches), digest);
});

/** The warnings of a resumed run whose newest checkpoint says that it was computed with something. */
async function warningsAfter(
  out: string,
  change: (computation: Computation) => Computation,
): Promise<string[]> {
  const { path: _, trainer, ...rest } = await loadLatestCheckpoint(out);
  const computation = change(trainer.computation as Computation);
  await saveCheckpoint(out, { ...rest, trainer: { ...trainer, computation } } as Checkpoint);
  const steps = rest.step + 1;
  const events = await run({ out, resume: true, steps, epochs: 9 });
  return ofType(events, "warning").map(({ message }) => message);
}

Deno.test("a run resumed with another adapter or other kernels warns once", async () => {
  await inTemporaryDirectory(async (out) => {
    await run({ out, steps: 1, epochs: 9 });
    const first = (await loadLatestCheckpoint(out)).trainer.computation as Computation;
    assert.equal(first.adapter, (await testGpu()).adapter.name);
    assert.match(first.kernels, /^[\da-f]{16}$/);
    assert.deepEqual(await warningsAfter(out, (computation) => computation), []);

    const changes: [(computation: Computation) => Computation, RegExp][] = [
      [(it) => ({ ...it, adapter: "Toy GPU" }), /^this run was computed on Toy GPU so far/],
      [(it) => ({ ...it, kernels: "0" }), /^the kernels differ from those that computed this run so far/],
    ];
    for (const [change, message] of changes) {
      const warnings = await warningsAfter(out, change);
      assert.equal(warnings.length, 1);
      assert.match(warnings[0], message);
      assert.deepEqual((await loadLatestCheckpoint(out)).trainer.computation, first);
      assert.deepEqual(await warningsAfter(out, (computation) => computation), [], "told once");
    }
  });
});

Deno.test("activation checkpointing does not count as another computation", async () => {
  await inTemporaryDirectory(async (out) => {
    await run({ out, steps: 1, checkpointActivations: false });
    const events = await run({ out, resume: true, steps: 2, checkpointActivations: true });
    assert.deepEqual(ofType(events, "warning"), []);
  });
});

Deno.test("launches left separate for want of memory do not count as another computation", async () => {
  const gpu = await testGpu();
  const { adapter, limits, device, pipelines } = gpu;
  // Counts nothing and refuses nothing, but says that none is left.
  const memory = { limit: 0, used: 0, live: 0, require() {}, add() {}, remove() {} };
  const full = { adapter, limits, device, pipelines, memory } as unknown as Gpu;
  const data = patternImages(8, 2, 16);
  const config = microNetwork({ numClassEmbeds: 2, sampleSize: 16, blockOutChannels: [16, 32] });
  const steps = [];
  for (const on of [gpu, full]) {
    const resident = ResidentDataset.upload(on, data, Uint32Array.from({ length: data.count }, (_, i) => i));
    const options = { config, batch: 4, microBatches: 1, target: TILE };
    const batches = { labelDropout: 0.1, flip: true };
    const adam = { beta1: 0.9, beta2: 0.999, eps: 1e-8, clip: 0, weightDecay: 0, stopAtNonFinite: true };
    const tables = objectiveTables(new NoiseSchedule());
    const step = await TrainingStep.build(on, { ...options, ...batches, ...adam }, tables, resident);
    const { dispatches } = step.programs.micro;
    steps.push({
      kernels: step.kernels,
      dispatches: dispatches.length,
      combined: dispatches.filter(({ label }) => label === "combined layers").length,
    });
    step.destroy();
    resident.destroy();
  }
  const [roomy, cramped] = steps;
  assert.ok(cramped.dispatches > roomy.dispatches);
  assert.deepEqual([roomy.combined, cramped.combined], [2, 0]);
  assert.equal(cramped.kernels, roomy.kernels);
});
