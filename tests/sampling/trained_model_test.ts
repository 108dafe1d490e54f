import assert from "node:assert/strict";
import { join } from "node:path";
import { CheckpointError, ConfigError } from "../../lib/errors.ts";
import { saveCheckpoint } from "../../lib/files/checkpoint.ts";
import type { SafeTensor } from "../../lib/files/dtypes.ts";
import { encodeSafetensors } from "../../lib/files/safetensors.ts";
import { type UNetConfig, unetConfigToJson } from "../../lib/model/config.ts";
import { readModel } from "../../lib/sampling/read_model.ts";
import type { TrainedModel } from "../../lib/sampling/trained_model.ts";
import {
  type ForeignPipeline,
  foreignTensors,
  WEIGHTS_NAME,
  writeForeignPipeline,
} from "../support/foreign_pipeline.ts";
import { exceptDigests, isDigestWarning } from "../support/digest_warning.ts";
import { inTemporaryDirectory } from "../support/train/directories.ts";
import type { NoiseSchedule } from "../../lib/diffusion/schedule.ts";
import { microNetwork } from "../support/train/micro.ts";

const config = microNetwork();

/** Reads a model, and what it was warned of besides missing digests. */
async function read(directory: string): Promise<{ model: TrainedModel; warnings: string[] }> {
  const warnings: string[] = [];
  const onWarning = exceptDigests((message) => void warnings.push(message.replaceAll(directory, "DIR")));
  return { model: await readModel(directory, "float32", { onWarning }), warnings };
}

/** Likewise, of a pipeline whose tensors were changed. */
async function readChanged(
  pipeline: ForeignPipeline,
  change: (tensors: Map<string, SafeTensor>) => Map<string, SafeTensor> = (tensors) => tensors,
): Promise<{ model: TrainedModel; warnings: string[] }> {
  return await inTemporaryDirectory(async (directory) => {
    await writeForeignPipeline(directory, pipeline);
    const tensors = encodeSafetensors(change(foreignTensors(pipeline.config)));
    await Deno.writeFile(join(directory, "unet", WEIGHTS_NAME), tensors);
    return await read(directory);
  });
}

Deno.test("a complete pipeline is read without warnings but for its missing digests", async () => {
  assert.deepEqual((await readChanged({ config })).warnings, []);
  await inTemporaryDirectory(async (directory) => {
    await writeForeignPipeline(directory, { config });
    const warnings: string[] = [];
    await readModel(directory, "float32", { onWarning: (message) => void warnings.push(message) });
    assert.deepEqual(warnings.map(isDigestWarning), [true]);
    assert.ok(warnings[0].startsWith(`${directory}: `));
  });
});

Deno.test("a missing scheduler is reported with the assumed schedule, and so is a missing model_index.json", async () => {
  const { model, warnings } = await readChanged({ config, scheduler: null, index: null });
  assert.deepEqual(warnings, [
    "DIR has no model_index.json, which lists the pipeline's components and class names",
    "DIR has no scheduler_config.json: assuming 1000 timesteps, linear betas from 0.0001 to 0.02, objective " +
    "epsilon, variance fixed_large",
  ]);
  const { numTrainTimesteps, varianceType } = (model.schedule as NoiseSchedule).config;
  assert.deepEqual([numTrainTimesteps, varianceType], [1000, "fixed_large"]);
});

Deno.test("ignored fields of a scheduler's file are reported by name", async () => {
  const { warnings } = await readChanged({ config, scheduler: { _class_name: "PNDMScheduler" } });
  assert.equal(warnings.length, 1);
  assert.match(warnings[0], /^DIR: scheduler_config\.json: the noise schedule is that of its PNDMScheduler/);
});

Deno.test("a field that is not supported is named with its file", async () => {
  const inScheduler = { config, scheduler: { _class_name: "DDPMScheduler", beta_schedule: "x" } };
  await assert.rejects(
    readChanged(inScheduler),
    /^ConfigError: \S+: scheduler_config\.json: beta_schedule: expected /,
  );
  await assert.rejects(
    inTemporaryDirectory(async (directory) => {
      await writeForeignPipeline(directory, { config });
      await Deno.writeTextFile(join(directory, "unet", "config.json"), '{"sample_size":"8"}');
      await read(directory);
    }),
    /^ConfigError: \S+: config\.json: sample_size: expected a number or \[height, width\], got "8"$/,
  );
});

Deno.test("a table of timesteps must have those of the process, and a logarithm's must be above 0", async () => {
  const fourier = microNetwork({ timeEmbeddingType: "fourier" });
  const learned = microNetwork({ timeEmbeddingType: "learned", numTrainTimesteps: 100 });
  const scheduler = (num_train_timesteps: number) => ({ _class_name: "DDPMScheduler", num_train_timesteps });
  const { model } = await readChanged({ config: learned, scheduler: scheduler(100) });
  assert.equal(model.config.numTrainTimesteps, 100);
  await readChanged({ config: fourier, scheduler: { _class_name: "FlowMatchEulerDiscreteScheduler" } });
  const refused: [object, RegExp, UNetConfig?][] = [
    [
      scheduler(10),
      /config.json: time_embedding_type: .* objective epsilon, whose last timestep is 0/,
      fourier,
    ],
    [
      { _class_name: "EDMEulerScheduler" },
      /time_embedding_type: .* objective edm, whose times are below 0/,
      fourier,
    ],
    [
      scheduler(101),
      /config.json: num_train_timesteps: expected at least the 101 of the noise schedule, got 100/,
    ],
    [
      { _class_name: "FlowMatchEulerDiscreteScheduler" },
      /config.json: time_embedding_type: .* objective flow, whose times/,
    ],
    [{ _class_name: "EDMEulerScheduler" }, /time_embedding_type: .* objective edm/],
  ];
  for (const [given, message, network = learned] of refused) {
    await assert.rejects(readChanged({ config: network, scheduler: given }), (error: Error) => {
      assert.match(error.message, message);
      return error instanceof ConfigError;
    });
  }
});

Deno.test("prefixes of torch.compile and parallel training are dropped", async () => {
  const { model: plain } = await readChanged({ config });
  const renamed = (rename: (name: string) => string) =>
    readChanged({ config }, (tensors) => new Map([...tensors].map(([name, data]) => [rename(name), data])));
  for (
    const rename of [
      (name: string) => `_orig_mod.${name}`,
      (name: string) => `module.${name}`,
      (name: string) => `module._orig_mod.${name}`,
      (name: string) => name.replace("mid_block.", "mid_block._orig_mod."),
    ]
  ) {
    assert.deepEqual((await renamed(rename)).model.flat, plain.flat);
  }
  await assert.rejects(
    readChanged(
      { config },
      (tensors) =>
        tensors.set("module.conv_in.bias", { dtype: "F32", shape: [8], data: new Float32Array(8) }),
    ),
    (error) =>
      error instanceof CheckpointError && /"module\.conv_in\.bias" is there twice/.test(error.message),
  );
});

Deno.test("weights that are not finite are named when they are read", async () => {
  for (const value of [NaN, Infinity]) {
    await assert.rejects(
      readChanged({ config }, (tensors) => {
        (tensors.get("conv_in.bias")!.data as Float32Array)[3] = value;
        return tensors;
      }),
      (error) =>
        error instanceof CheckpointError &&
        error.message.includes(`: tensor "conv_in.bias" holds ${value} at 3: expected finite weights`),
    );
  }
});

Deno.test("a table of our own has a null row, also where only the network is read", async () => {
  const config = microNetwork({ numClassEmbeds: 4 });
  const tensors = foreignTensors(config);
  await inTemporaryDirectory(async (run) => {
    await saveCheckpoint(run, {
      step: 1,
      ema: new Map(
        [...tensors].map(([name, { shape, data }]) => [name, { shape, data: data as Float32Array }]),
      ),
      trainerTensors: new Map(),
      trainer: {},
      unetConfig: unetConfigToJson(config),
      schedulerConfig: { _class_name: "DDPMScheduler" },
      modelIndex: { _class_name: "DDPMPipeline", _class_labels: ["a", "b", "c"] },
    });
    assert.deepEqual((await read(run)).model.classes, ["a", "b", "c"]);
    const { model, warnings } = await read(join(run, "unet"));
    assert.deepEqual(model.classes, ["0", "1", "2"]);
    assert.equal(warnings.length, 1);
    assert.match(warnings[0], /no scheduler_config\.json: assuming/);
  });
  const { model, warnings } = await readChanged({ config });
  assert.deepEqual(model.classes, ["0", "1", "2", "3"]);
  assert.deepEqual(warnings, [
    'DIR: all 4 rows of its class table are classes and none is a null class ("no class"), so guidance is off; ' +
    "if the last row is one, list the names of the other 3 as _class_labels in model_index.json",
  ]);
});

Deno.test("a network of more parameters than a buffer holds is refused before anything is laid out", async () => {
  await inTemporaryDirectory(async (directory) => {
    await writeForeignPipeline(directory, { config });
    const types = (kind: string) => Array(8).fill(`${kind}Block2D`);
    const wide = {
      ...{ ...unetConfigToJson(config), sample_size: 128, norm_num_groups: 32 },
      ...{
        block_out_channels: Array(8).fill(4096),
        down_block_types: types("Down"),
        up_block_types: types("Up"),
      },
    };
    await Deno.writeTextFile(join(directory, "unet/config.json"), JSON.stringify(wide));
    await assert.rejects(
      readModel(directory, "float32"),
      (error) =>
        error instanceof ConfigError && error.field === "parameters" && /1073741824/.test(error.allowed),
    );
  });
});
