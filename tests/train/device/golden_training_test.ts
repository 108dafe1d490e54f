/** Ten training steps, recorded and updated as a training step is but for their given batches, against PyTorch's. */
import assert from "node:assert/strict";
import { adamw } from "../../../kernels/adamw.ts";
import { gradNormScratchBytes } from "../../../kernels/grad_norm.ts";
import {
  DrawLayout,
  HealthLayout,
  LogRecordLayout,
  ScheduleRowLayout,
  StepStateLayout,
} from "../../../kernels/records/layouts.ts";
import { encodeRecord } from "../../../kernels/records/record.ts";
import { decodeLog, encodeScheduleTables } from "../../../kernels/records/training.ts";
import { objectiveTables } from "../../../lib/diffusion/objective.ts";
import { NoiseSchedule } from "../../../lib/diffusion/schedule.ts";
import { ResourceScope } from "../../../lib/gpu/memory.ts";
import { buildProgram, runPrograms } from "../../../lib/gpu/program.ts";
import { readBack } from "../../../lib/gpu/readback.ts";
import { recordBackward } from "../../../lib/graph/gradients.ts";
import { Graph } from "../../../lib/graph/graph.ts";
import { recordLoss, trainingLoss } from "../../../lib/graph/training_ops.ts";
import { unetConfigFromJson } from "../../../lib/model/config.ts";
import { unet, unetInputs } from "../../../lib/model/unet.ts";
import { assertClose } from "../../support/close.ts";
import { type Digest, goldenScaled } from "../../golden/formula.ts";
import {
  assertDigest,
  goldenWeights,
  loadTrainingCase,
  toDevice,
  type TrainingCase,
} from "../../golden/tensors.ts";
import { testGpu } from "../../support/gpu.ts";
import { decodeHealth, gradNorm } from "../../support/grad_norm.ts";
import { DeviceGraph } from "../../support/device_graph.ts";

/** Allowed error relative to PyTorch's in float32: our sums run in another order. */
const FACTOR = 4;

const schedule = new NoiseSchedule();
const tables = objectiveTables(schedule);

for (const name of ["train_adam", "train_adamw"]) {
  const golden = loadTrainingCase(name);
  const { options, shape, float32 } = golden;

  Deno.test(`ten steps are PyTorch's: ${name} x=[${shape}] weightDecay=${options.weightDecay}`, async () => {
    const gpu = await testGpu();
    const [batch, channels, height, width] = shape;

    const g = new Graph();
    const config = unetConfigFromJson(golden.config);
    const inputs = unetInputs(g, config, batch, true);
    const stepState = inputs.stepState!;
    const draws = g.input("draws", [1, 1, 1, batch], DrawLayout);
    const scheduleRows = g.input("schedule", [1, 1, 1, tables.signal.length], ScheduleRowLayout);
    const targets = g.input("targets", [batch, height, width, channels], "float32");
    const log = g.input("log", [1, 1, 1, 10], LogRecordLayout);
    const prediction = unet(g, config, inputs);
    const operands = { stepState, draws, schedule: scheduleRows, prediction, targets };
    const loss = trainingLoss(g, operands, { gradientScale: 1 });
    recordLoss(g, { stepState, loss }, log);
    const forwardNodes = g.nodes.length;
    const recorded = recordBackward(g, loss);
    const graph = await DeviceGraph.build(gpu, g, { keep: [], gradients: recorded, forwardNodes });
    const { gradients, parameters, table: { elements } } = graph;

    const scope = new ResourceScope(gpu, name);
    const buffer = (bytes: number, label: string) => scope.buffer(bytes, label);
    const step_state = graph.compiled.view(stepState);
    const train_log = graph.compiled.view(log);
    const health = buffer(HealthLayout.bytes, "health");
    const first_moment = buffer(4 * elements, "first moment");
    const second_moment = buffer(4 * elements, "second moment");
    const ema = buffer(4 * elements, "ema");
    const partials = buffer(gradNormScratchBytes(elements), "partials");
    const { beta1, beta2, eps, weightDecay } = options;
    const update = scope.own(
      await buildProgram(gpu, [
        ...gradNorm({ elements, maxNorm: options.clip, sticky: true }, {
          step_state,
          gradients,
          partials,
          health,
          train_log,
        }),
        ...adamw({ elements, beta1, beta2, eps, weightDecay }, {
          step_state,
          health,
          gradients,
          parameters,
          first_moment,
          second_moment,
          ema,
        }),
      ]),
    );

    const weights = goldenWeights(golden.case, graph.table);
    graph.write(parameters, weights);
    graph.write(ema, weights);
    graph.write(scheduleRows, encodeScheduleTables(tables));
    for (let k = 0; k < 10; k++) {
      const { timesteps, labels, lr } = golden.steps[k];
      const { x_t, noise } = noisedBatch(golden, k);
      graph.write(inputs.x, toDevice(x_t, shape));
      graph.write(inputs.timesteps, new Float32Array(timesteps));
      graph.write(inputs.labels!, new Uint32Array(labels));
      graph.write(targets, toDevice(noise, shape));
      graph.write(draws, new Uint32Array(timesteps.flatMap((t, n) => [n, t, 0])));
      graph.write(
        step_state,
        new Uint32Array(encodeRecord(StepStateLayout, {
          ...{
            step: k,
            seedLo: 0,
            seedHi: 0,
            stream: 0,
            position: 0,
            count: batch,
            logSlot: k,
            accumulate: 0,
          },
          learningRate: lr,
          biasCorrection1: 1 - beta1 ** (k + 1),
          biasCorrection2: 1 - beta2 ** (k + 1),
          emaDecay: options.ema,
        })),
      );
      runPrograms(gpu, [graph.forward, graph.backward, update]);
    }

    const [logged, last, ...flat] = await readBack(gpu, [train_log, health, parameters, ema]);
    const records = decodeLog(logged);
    const of = (what: "loss" | "gradNorm") => Object.values(golden.steps).map((step) => step[what]);
    assertRelative(
      records.map(({ lossSum, count }) => lossSum / count),
      of("loss"),
      FACTOR * float32.loss,
      "loss",
    );
    const norms = records.map(({ gradientNorm }) => gradientNorm);
    assertRelative(norms, of("gradNorm"), FACTOR * float32.gradNorm, "gradient norm");
    assert.ok(records.every(({ nonFinite }) => !nonFinite));
    const { clipScale } = decodeHealth(last);
    assertRelative([clipScale], [Math.min(1, 1 / (norms[9] + 1e-6))], 0, "clip scale");

    const [finalWeights, finalEma] = flat.map((bytes) => graph.table.fromMemory(new Float32Array(bytes)));
    assertAll(finalWeights, golden.weights, FACTOR * float32.weights, "weight");
    assertAll(finalEma, golden.emaWeights, FACTOR * float32.ema, "averaged weight");
    scope.destroy();
    graph.destroy();
  });
}

/** x_t and the noise of one step, NCHW. */
function noisedBatch(golden: TrainingCase, step: number): { x_t: Float32Array; noise: Float32Array } {
  const count = golden.shape.reduce((a, b) => a * b);
  const x0 = goldenScaled(golden.case, `x0/${step}`, count, 1);
  const noise = goldenScaled(golden.case, `noise/${step}`, count, Math.sqrt(3));
  const { timesteps } = golden.steps[step];
  const perSample = count / timesteps.length;
  const x_t = x0.map((value, i) => {
    const t = timesteps[Math.floor(i / perSample)];
    return tables.signal[t] * value + tables.noise[t] * noise[i];
  });
  return { x_t, noise };
}

function assertRelative(actual: number[], expected: number[], relative: number, what: string): void {
  // One rounding of float32 is half of 2^-23; the value itself was rounded, and so was the expected one.
  const allowed = relative + 2 ** -23;
  assertClose(
    actual.map((value, k) => value / expected[k]),
    expected.map(() => 1),
    { absolute: allowed },
    what,
  );
}

function assertAll(
  actual: Map<string, { data: Float32Array }>,
  expected: Readonly<Record<string, Digest>>,
  absolute: number,
  what: string,
): void {
  const compared = [...actual.keys()].filter((name) => !name.endsWith("to_k.bias"));
  assert.deepEqual(compared.sort(), Object.keys(expected).sort());
  for (const name of compared) {
    assertDigest(actual.get(name)!.data, expected[name], absolute, `${what} ${name}`);
  }
}
