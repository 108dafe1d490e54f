import assert from "node:assert/strict";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { exportModel } from "../../lib/files/export.ts";
import { loadPipeline, saveCheckpoint } from "../../lib/files/checkpoint.ts";
import { CheckpointError } from "../../lib/errors.ts";
import { inTemporaryDirectory } from "../support/train/directories.ts";
import { assertModelOf, exampleCheckpoint } from "../support/train/example_checkpoint.ts";

const FILES = ["model_index.json", "scheduler/scheduler_config.json", "unet/config.json"];

/** An exported model in a directory of its own. */
async function withExport(body: (directory: string) => Promise<void>): Promise<void> {
  await inTemporaryDirectory(async (directory) => {
    await saveCheckpoint(join(directory, "run"), exampleCheckpoint(1));
    await exportModel(join(directory, "run"), join(directory, "model"), { precision: "float32" });
    await body(join(directory, "model"));
  });
}

async function change(path: string, from: string, to: string): Promise<void> {
  const text = await Deno.readTextFile(path);
  assert.ok(text.includes(from), `${from} in ${path}`);
  await Deno.writeTextFile(path, text.replace(from, to));
}

Deno.test("a changed digit in a model's JSON is an error that names the file", async () => {
  await withExport(async (model) => {
    for (
      const [name, from, to] of [
        [FILES[0], "UNet2DModel", "UNet2DModul"],
        [FILES[1], "1000", "1001"],
        [FILES[2], "32", "33"],
      ]
    ) {
      const path = join(model, name);
      await change(path, from, to);
      await assert.rejects(
        loadPipeline(model),
        (error) =>
          error instanceof CheckpointError && error.message.startsWith(`${path} is damaged or was changed`),
      );
      await change(path, to, from);
    }
    // A network alone is checked, too.
    await change(join(model, FILES[2]), "32", "33");
    await assert.rejects(loadPipeline(join(model, "unet")), CheckpointError);
  });
});

Deno.test("reformatted JSON passes, and a missing file is not an error", async () => {
  await withExport(async (model) => {
    for (const name of FILES) {
      const entries = Object.entries(JSON.parse(await Deno.readTextFile(join(model, name))));
      await Deno.writeTextFile(
        join(model, name),
        JSON.stringify(Object.fromEntries(entries.reverse()), null, 7),
      );
    }
    assertModelOf(await loadPipeline(model), exampleCheckpoint(1));
    await Deno.remove(join(model, "scheduler"), { recursive: true });
    const { schedulerConfig, metadata } = await loadPipeline(model);
    assert.deepEqual([schedulerConfig, metadata], [null, { format: "pt" }]);
  });
});

Deno.test("a run whose published schedule was changed is read from its checkpoint, with a warning", async () => {
  await inTemporaryDirectory(async (run) => {
    const checkpoint = await saveCheckpoint(run, exampleCheckpoint(1));
    await change(join(run, FILES[1]), "1000", "1001");
    const warnings: string[] = [];
    const pipeline = await loadPipeline(run, { onWarning: (message) => void warnings.push(message) });
    assert.equal(pipeline.path, checkpoint);
    assert.equal(warnings.length, 1);
    assert.match(warnings[0], /scheduler_config\.json is damaged or was changed.*; using .* instead$/);
  });
});

Deno.test("JSON nested too deeply for the stack is reported as damage", async () => {
  await withExport(async (model) => {
    const deep = `{"sample_size": ${"[".repeat(200_000)}${"]".repeat(200_000)}}`;
    await Deno.writeTextFile(join(model, FILES[2]), deep);
    await assert.rejects(loadPipeline(model), (error) => error instanceof CheckpointError);
  });
});

Deno.test("the models that come with the project notice a changed digit in their schedule", async () => {
  await inTemporaryDirectory(async (directory) => {
    for (const name of ["cifar10", "cifar10-tiny"]) {
      for (const file of [...FILES, "unet/diffusion_pytorch_model.safetensors"]) {
        const copy = join(directory, name, file);
        await Deno.mkdir(dirname(copy), { recursive: true });
        await Deno.copyFile(
          fileURLToPath(new URL(`../../checkpoints/${name}/${file}`, import.meta.url)),
          copy,
        );
      }
      await change(join(directory, name, FILES[1]), '"beta_end": 0.02', '"beta_end": 0.03');
      await assert.rejects(loadPipeline(join(directory, name)), /scheduler_config\.json is damaged/);
    }
  });
});
