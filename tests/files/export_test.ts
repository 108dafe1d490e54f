import assert from "node:assert/strict";
import { join } from "node:path";
import { ConfigError } from "../../lib/errors.ts";
import { decodeSafetensors } from "../../lib/files/safetensors.ts";
import { loadPipeline, saveCheckpoint } from "../../lib/files/checkpoint.ts";
import { exportModel } from "../../lib/files/export.ts";
import { inTemporaryDirectory } from "../support/train/directories.ts";
import { assertModelOf, exampleCheckpoint } from "../support/train/example_checkpoint.ts";

/** All files below a directory. */
function filesIn(directory: string): string[] {
  return [...Deno.readDirSync(directory)].flatMap(({ name, isDirectory }) =>
    isDirectory ? filesIn(join(directory, name)).map((file) => `${name}/${file}`) : [name]
  ).sort();
}

/** The example with weights of an ordinary size: its own are any bits. */
function ordinaryCheckpoint(): ReturnType<typeof exampleCheckpoint> {
  const checkpoint = exampleCheckpoint(5);
  for (const { data } of checkpoint.ema.values()) data.forEach((_, i) => data[i] = Math.sin(i) / 3);
  return checkpoint;
}

Deno.test("a run is exported as the files that sampling needs, in float32 exactly", async () => {
  await inTemporaryDirectory(async (directory) => {
    const [run, out] = [join(directory, "run"), join(directory, "a", "model")];
    await saveCheckpoint(run, exampleCheckpoint(5));
    const { path, bytes, parameters } = await exportModel(run, out, { precision: "float32" });
    const files = filesIn(out);
    assert.deepEqual(files, [
      "model_index.json",
      "scheduler/scheduler_config.json",
      "unet/config.json",
      "unet/diffusion_pytorch_model.safetensors",
    ]);
    assert.equal(path, out);
    assert.equal(bytes, files.reduce((sum, name) => sum + Deno.statSync(join(out, name)).size, 0));
    const loaded = await loadPipeline(out);
    assertModelOf(loaded, exampleCheckpoint(5));
    assert.equal(parameters, [...loaded.tensors.values()].reduce((sum, { data }) => sum + data.length, 0));
  });
});

Deno.test("exports are float16 by default, every weight rounded to the nearest", async () => {
  await inTemporaryDirectory(async (directory) => {
    const [run, out] = [join(directory, "run"), join(directory, "model")];
    await saveCheckpoint(run, ordinaryCheckpoint());
    await exportModel(run, out);
    const [before, after] = [await loadPipeline(run), await loadPipeline(out)];
    assert.deepEqual([...after.tensors.keys()].sort(), [...before.tensors.keys()].sort());
    for (const [name, { shape, data }] of before.tensors) {
      assert.deepEqual(after.tensors.get(name), { shape, data: data.map((value) => Math.f16round(value)) });
    }
    const file = Deno.readFileSync(join(out, "unet/diffusion_pytorch_model.safetensors"));
    for (const { dtype } of decodeSafetensors(file, "export").tensors.values()) assert.equal(dtype, "F16");
  });
});

Deno.test("an unknown precision is refused by name", async () => {
  await inTemporaryDirectory(async (directory) => {
    const out = join(directory, "out");
    await assert.rejects(
      exportModel("nowhere", out, { precision: "int8" as "float16" }),
      (error) =>
        error instanceof ConfigError && /^precision: expected float16 or float32/.test(error.message),
    );
  });
});

Deno.test("a weight beyond float16 is named, and nothing is written", async () => {
  await inTemporaryDirectory(async (directory) => {
    const [run, out] = [join(directory, "run"), join(directory, "model")];
    const checkpoint = ordinaryCheckpoint();
    const name = "conv_in.bias";
    const { data } = checkpoint.ema.get(name)!;
    data[1] = -65520;
    await saveCheckpoint(run, checkpoint);
    await assert.rejects(exportModel(run, out), {
      name: "CheckpointError",
      message:
        `${run}/unet/diffusion_pytorch_model.safetensors: tensor "${name}" contains -65520, and the largest ` +
        "float16 is 65504; export it as float32",
    });
    assert.deepEqual([...Deno.readDirSync(directory)].map((entry) => entry.name), ["run"]);
    await exportModel(run, out, { precision: "float32" });
  });
});

Deno.test("an export overwrites nothing", async () => {
  await inTemporaryDirectory(async (directory) => {
    const [run, out] = [join(directory, "run"), join(directory, "model")];
    await saveCheckpoint(run, ordinaryCheckpoint());
    await Deno.mkdir(out);
    await Deno.writeTextFile(join(out, "mine.txt"), "keep");
    await assert.rejects(exportModel(run, out), {
      name: "ConfigError",
      message: /^out: expected a directory that does not exist, or is empty/,
    });
    assert.deepEqual(filesIn(out), ["mine.txt"]);
    await Deno.remove(join(out, "mine.txt"));
    await exportModel(run, out);
    await Deno.writeTextFile(join(directory, "file"), "");
    await assert.rejects(
      exportModel(run, join(directory, "file")),
      /^CheckpointError: cannot write .*file: /,
    );
  });
});

Deno.test("a run whose last save was interrupted is exported from its newest checkpoint, with a warning", async () => {
  await inTemporaryDirectory(async (directory) => {
    const [run, out] = [join(directory, "run"), join(directory, "model")];
    await saveCheckpoint(run, exampleCheckpoint(1));
    const weights = join(run, "unet/diffusion_pytorch_model.safetensors");
    const older = await Deno.readFile(weights);
    await saveCheckpoint(run, exampleCheckpoint(2));
    await Deno.writeFile(weights, older);
    const warnings: string[] = [];
    await exportModel(run, out, {
      precision: "float32",
      onWarning: (message) => void warnings.push(message),
    });
    assertModelOf(await loadPipeline(out), exampleCheckpoint(2));
    assert.equal(warnings.length, 1);
    assert.match(
      warnings[0],
      /run: its model is older than its newest checkpoint.*using .*step-00000002 instead$/,
    );
  });
});
