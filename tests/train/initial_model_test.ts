/** Fine-tuning: runs that start from trained models. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { imageDataset } from "../../lib/data/image_dataset.ts";
import { loadLatestCheckpoint, loadPipeline } from "../../lib/files/checkpoint.ts";
import { CheckpointError, ConfigError } from "../../lib/errors.ts";
import { unetParameters } from "../../lib/model/network.ts";
import type { HostTensor } from "../../lib/model/parameters.ts";
import type { TrainOptions } from "../../lib/train/trainer.ts";
import { EdmProcess } from "../../lib/diffusion/edm_process.ts";
import { RectifiedFlow } from "../../lib/diffusion/rectified_flow.ts";
import { NoiseSchedule } from "../../lib/diffusion/schedule.ts";
import type { TrainedProcess } from "../../lib/diffusion/trained_process.ts";
import { readInitialModel } from "../../lib/train/read_initial_model.ts";
import {
  OBJECTIVE_SETTINGS,
  type ObjectiveSettings,
  processOf,
  processSettingsOf,
} from "../../lib/train/objective_settings.ts";
import { planRun } from "../../lib/train/run_plan.ts";
import { SOFTWARE } from "../support/adapters.ts";
import { assertClose } from "../support/close.ts";
import { foreignTensors, writeForeignPipeline } from "../support/foreign_pipeline.ts";
import { inTemporaryDirectory } from "../support/train/directories.ts";
import {
  digests,
  endOf,
  microNetwork,
  microOptions,
  ofType,
  patternImages,
  run,
  stateOf,
} from "../support/train/micro.ts";

const CLASS_TABLE = "class_embedding.weight";
/** A run of one step that changes no weight in float32, to see what it started from. */
const STILL = { model: undefined, lr: 1e-30, warmup: 0, steps: 1 };

/** Weights that a run started from, which its first step left as they were. */
async function startOf(out: string): Promise<Map<string, HostTensor>> {
  const { trainerTensors } = await loadLatestCheckpoint(out);
  return new Map(
    [...trainerTensors].filter(([name]) => name.startsWith("raw."))
      .map(([name, { shape, data }]) => [name.slice(4), { shape, data: data as Float32Array }]),
  );
}

async function modelIn(directory: string): Promise<Map<string, HostTensor>> {
  return (await loadPipeline(directory)).tensors;
}

function row({ shape, data }: HostTensor, index: number): number[] {
  return [...data.subarray(index * shape[1]!, (index + 1) * shape[1]!)];
}

function withClasses(...classes: string[]) {
  return imageDataset({ ...patternImages(40, classes.length), classes });
}

/** The message of the error that a run's options are refused with. */
async function refusal(options: Partial<TrainOptions>, type: typeof ConfigError | typeof CheckpointError) {
  let message = "";
  await assert.rejects(run({ ...STILL, ...options }), (error: Error) => {
    message = error.message;
    return error instanceof type;
  });
  return message;
}

Deno.test("a run starts from the averaged weights of another, with its network, and with a new optimizer", async () => {
  await inTemporaryDirectory(async (directory) => {
    const [init, out] = [join(directory, "a"), join(directory, "b")];
    const model = microNetwork({ layersPerBlock: 2 });
    await run({ model, out: init, steps: 6 });
    const events = await run({ ...STILL, init, out });
    assert.deepEqual(digests(await startOf(out)), digests(await modelIn(init)));
    const [start] = ofType(events, "start");
    assert.equal(start!.settings.model.layersPerBlock, 2);
    assert.equal((await loadLatestCheckpoint(out)).trainer.init, init);
    assert.deepEqual(ofType(events, "warning"), []);
    // After one step without history, the moments are a tenth of the gradient and a thousandth of its square.
    const { trainerTensors } = await loadLatestCheckpoint(out);
    const [m, v] = ["m", "v"].map((prefix) => trainerTensors.get(`${prefix}.conv_in.weight`)!.data);
    assertClose([...v!], [...m!].map((value) => 0.001 * (value / 0.1) ** 2), {
      absolute: 1e-30,
      relative: 1e-5,
    }, "v");
  });
});

Deno.test("rows of classes of the same name carry over, and that of the null class; others start anew", async () => {
  await inTemporaryDirectory(async (directory) => {
    const [init, out] = [join(directory, "a"), join(directory, "b")];
    await run({ data: withClasses("cat", "dog", "cow"), out: init, steps: 3 });
    const events = await run({ ...STILL, data: withClasses("dog", "bird"), init, out, seed: 7 });
    const [before, after] = [await modelIn(init), await startOf(out)];
    const [from, to] = [before.get(CLASS_TABLE)!, after.get(CLASS_TABLE)!];
    const config = ofType(events, "start")[0]!.settings.model;
    const table = unetParameters(config);
    const fresh = table.fromMemory(table.initialize(7)).get(CLASS_TABLE)!;
    assert.deepEqual([from.shape[0], to.shape[0], config.numClassEmbeds], [4, 3, 3]);
    assert.deepEqual(row(to, 0), row(from, 1), "dog");
    assert.deepEqual(row(to, 1), row(fresh, 1), "bird");
    assert.deepEqual(row(to, 2), row(from, 3), "null class");
    for (const tensors of [before, after]) tensors.delete(CLASS_TABLE);
    assert.deepEqual(digests(after), digests(before));
    assert.deepEqual(ofType(events, "warning").map(({ message }) => message), [
      `1 of the 2 classes are not in the initial model ${init}: their embeddings start anew`,
    ]);
  });
});

Deno.test("a network that embeds the numbers of its classes starts a run with the same classes only", async () => {
  await inTemporaryDirectory(async (directory) => {
    const init = join(directory, "model");
    const config = microNetwork({ numClassEmbeds: 3, classEmbedType: "timestep" });
    const index = { _class_name: "DDPMPipeline", _class_labels: ["cat", "dog"] };
    await writeForeignPipeline(init, { config, index });
    const out = join(directory, "out");
    await run({ ...STILL, data: withClasses("cat", "dog"), init, out });
    const name = "class_embedding.linear_2.weight";
    assert.deepEqual((await startOf(out)).get(name)!.data, foreignTensors(config).get(name)!.data);
    const message = await refusal(
      { data: withClasses("dog", "cat"), init, out: join(directory, "other") },
      ConfigError,
    );
    assert.match(
      message,
      /^init: expected a model with the run's classes in the same order, .*: dog, cat, got/,
    );
  });
});

Deno.test("all weights carry over to another image size", async () => {
  await inTemporaryDirectory(async (directory) => {
    const [init, out] = [join(directory, "a"), join(directory, "b")];
    await run({ out: init, steps: 3 });
    const events = await run({ ...STILL, data: patternImages(40, 2, 16), init, out });
    assert.equal(ofType(events, "start")[0]!.settings.model.sampleSize, 16);
    assert.deepEqual(digests(await startOf(out)), digests(await modelIn(init)));
    const message = await refusal({ data: patternImages(40, 2, 9), init }, ConfigError);
    assert.match(
      message,
      /^init: expected a model whose network fits 9x9 images \(sample_size: .* a multiple of 2, .*got 9\)/,
    );
  });
});

Deno.test("an unconditional run starts as the model does without a class", async () => {
  await inTemporaryDirectory(async (directory) => {
    const [init, out] = [join(directory, "a"), join(directory, "b")];
    await run({ out: init, steps: 3 });
    await run({ ...STILL, init, out, conditional: false });
    const [before, after] = [await modelIn(init), await startOf(out)];
    const bias = "time_embedding.linear_2.bias";
    const nullRow = row(before.get(CLASS_TABLE)!, 2);
    const folded = [...before.get(bias)!.data].map((value, i) => Math.fround(value + nullRow[i]!));
    assert.deepEqual([...after.get(bias)!.data], folded);
    for (const name of [CLASS_TABLE, bias]) for (const tensors of [before, after]) tensors.delete(name);
    assert.deepEqual(digests(after), digests(before));
  });
});

Deno.test("a model of another program, without classes, is fine-tuned with classes, and for its objective", async () => {
  await inTemporaryDirectory(async (directory) => {
    const [init, out] = [join(directory, "a"), join(directory, "b")];
    const config = microNetwork();
    const scheduler = {
      _class_name: "DDPMScheduler",
      prediction_type: "v_prediction",
      variance_type: "fixed_large",
    };
    await writeForeignPipeline(init, { config, scheduler });
    const events = await run({ ...STILL, init, out });
    const [start] = ofType(events, "start");
    assert.deepEqual([start!.settings.objective, start!.settings.model.numClassEmbeds], ["v", 3]);
    const after = await startOf(out);
    for (const [name, { data }] of foreignTensors(config)) {
      // A step of 1e-30 from a bias of 0 leaves it different from 0.
      assertClose(after.get(name)!.data, data as Float32Array, { absolute: 1e-29 }, name);
    }
    const messages = ofType(events, "warning").map(({ message }) => message);
    assert.ok(
      messages.includes(
        `none of the classes is in the initial model ${init}: all class embeddings start anew`,
      ),
    );
    assert.match(
      await refusal({ init, objective: "epsilon" }, ConfigError),
      /^objective: expected v, with which the model in .* was trained, got "epsilon"$/,
    );
  });
});

Deno.test("a run keeps the noise schedule that its initial model was trained with, unless it is given another", async () => {
  await inTemporaryDirectory(async (init) => {
    const settingsAfter = async (scheduler: object, given: Partial<TrainOptions> = {}, network = {}) => {
      await writeForeignPipeline(init, { config: microNetwork(network), scheduler });
      const model = await readInitialModel(init, () => {});
      const options = microOptions({ ...given, model: undefined });
      return planRun(options, SOFTWARE, { initial: model }).settings;
    };
    const cosine = {
      _class_name: "DDPMScheduler",
      beta_schedule: "squaredcos_cap_v2",
      num_train_timesteps: 500,
    };
    const ofCosine = await settingsAfter(cosine);
    assert.deepEqual([ofCosine.schedule, ofCosine.timesteps, ofCosine.betas], ["cosine", 500, null]);
    const linear = {
      _class_name: "DDPMScheduler",
      beta_start: 0.001,
      beta_end: 0.01,
      num_train_timesteps: 4,
    };
    const ofLinear = await settingsAfter(linear);
    assertClose(ofLinear.betas!, [0.001, 0.004, 0.007, 0.01], { absolute: 1e-12 }, "betas");
    const given = await settingsAfter(linear, { schedule: "sigmoid" });
    assert.deepEqual([given.schedule, given.timesteps, given.betas], ["sigmoid", 1000, null]);
  });
});

Deno.test("a process is that of its settings", () => {
  const defaults = Object.fromEntries(
    Object.entries(OBJECTIVE_SETTINGS).map(([name, each]) => [name, each.default]),
  );
  const again = (process: TrainedProcess) =>
    processOf({ ...defaults, ...processSettingsOf(process) } as ObjectiveSettings);
  for (
    const process of [
      new NoiseSchedule(),
      new NoiseSchedule({
        objective: "v",
        betaSchedule: "laplace",
        numTrainTimesteps: 30,
        zeroTerminalSnr: true,
      }),
      new NoiseSchedule({
        objective: "x0",
        betaSchedule: "scaled-linear",
        betaStart: 0.002,
        numTrainTimesteps: 9,
      }),
    ]
  ) {
    const { betas, objective } = again(process) as NoiseSchedule;
    assert.deepEqual([betas, objective], [process.betas, process.objective]);
  }
  const flow = again(new RectifiedFlow({ times: "logit-normal" })) as RectifiedFlow;
  assert.equal(flow.times, "logit-normal");
  assert.ok(again(new EdmProcess()) instanceof EdmProcess);
});

Deno.test("a fine-tuned run resumes without the model that it started from, to the same bits", async () => {
  await inTemporaryDirectory(async (directory) => {
    const [init, straight, resumed] = ["a", "b", "c"].map((name) => join(directory, name)) as [
      string,
      string,
      string,
    ];
    await run({ out: init, steps: 3 });
    const settings = { model: undefined, init, epochs: 2, logEvery: 1 };
    await run({ ...settings, out: straight });
    await run({ ...settings, out: resumed }, (event) => event.type === "step" && event.step === 5);
    await Deno.remove(init, { recursive: true });
    assert.equal(endOf(await run({ out: resumed, resume: true })).interrupted, false);
    assert.deepEqual(await stateOf(resumed), await stateOf(straight));
  });
});

Deno.test("what cannot be started from is refused, and nothing is left behind", async () => {
  await inTemporaryDirectory(async (directory) => {
    const [init, grey, scaled, out] = ["a", "grey", "scaled", "b"].map((name) => join(directory, name)) as [
      string,
      string,
      string,
      string,
    ];
    await run({ out: init, steps: 1 });
    await writeForeignPipeline(grey, { config: microNetwork({ inChannels: 1, outChannels: 1 }) });
    const scheduler = { _class_name: "EDMEulerScheduler", sigma_data: 0.7 };
    await writeForeignPipeline(scaled, { config: microNetwork(), scheduler });
    assert.match(
      await refusal({ init: scaled, out }, ConfigError),
      /^init: expected a model of EDM with sigma_data 0\.5, as runs have, not 0\.7, .*got ".*scaled"$/,
    );
    assert.match(
      await refusal({ init: join(directory, "none"), out }, CheckpointError),
      /none.*no such file or directory/,
    );
    assert.match(
      await refusal({ init: grey, out }, ConfigError),
      /^model: expected a network for 8x8x3 images/,
    );
    assert.match(
      await refusal({ init, out, model: microNetwork() }, ConfigError),
      /^init: expected no `model` beside it: the network is the initial model's, got /,
    );
    assert.match(
      await refusal({ init, out: init, resume: true }, ConfigError),
      /^init: expected no `resume` beside it: a resumed run continues from its own checkpoint, got /,
    );
    await assert.rejects(Deno.stat(out), Deno.errors.NotFound);
  });
});
