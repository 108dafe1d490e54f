import assert from "node:assert/strict";
import { join } from "node:path";
import { CheckpointError } from "../../lib/errors.ts";
import { encodeSafetensors } from "../../lib/files/safetensors.ts";
import { loadPipeline, saveCheckpoint } from "../../lib/files/checkpoint.ts";
import { inTemporaryDirectory } from "../support/train/directories.ts";
import { assertModelOf, exampleCheckpoint } from "../support/train/example_checkpoint.ts";

const WEIGHTS = "diffusion_pytorch_model.safetensors";

/** Loads a model that must come with exactly one warning, and gives both. */
async function loadWarned(directory: string) {
  const warnings: string[] = [];
  const pipeline = await loadPipeline(directory, { onWarning: (message) => void warnings.push(message) });
  assert.equal(warnings.length, 1, warnings.join("\n"));
  return { pipeline, warning: warnings[0] };
}

/** The message of the error that loading must end in. */
async function errorOf(directory: string): Promise<string> {
  let message = "";
  await assert.rejects(loadPipeline(directory), (error: Error) => {
    message = error.message;
    return error instanceof CheckpointError;
  });
  return message;
}

Deno.test("loadPipeline reads a run, a checkpoint in it, a diffusers directory and a network alone", async () => {
  await inTemporaryDirectory(async (runDir) => {
    const path = await saveCheckpoint(runDir, exampleCheckpoint(5));
    for (const directory of [runDir, path]) {
      assertModelOf(await loadPipeline(directory), exampleCheckpoint(5));
    }

    const alone = await loadPipeline(join(runDir, "unet"));
    assert.deepEqual(alone.unetConfig, exampleCheckpoint(5).unetConfig);
    assert.deepEqual([alone.schedulerConfig, alone.modelIndex], [null, null]);

    // The hub's first pipelines have everything in one directory.
    await Deno.rename(
      join(runDir, "scheduler/scheduler_config.json"),
      join(runDir, "unet/scheduler_config.json"),
    );
    await Deno.rename(join(runDir, "model_index.json"), join(runDir, "unet/model_index.json"));
    assertModelOf(await loadPipeline(join(runDir, "unet")), exampleCheckpoint(5));
  });
});

Deno.test("loadPipeline converts 16-bit weights and refuses integers by name", async () => {
  await inTemporaryDirectory(async (directory) => {
    await Deno.writeTextFile(join(directory, "config.json"), "{}");
    const data = Uint16Array.of(0x3c00, 0xc000);
    await Deno.writeFile(
      join(directory, WEIGHTS),
      encodeSafetensors(
        new Map([["half", { dtype: "F16", shape: [2], data }], ["brain", {
          dtype: "BF16",
          shape: [2],
          data,
        }]]),
      ),
    );
    const { tensors } = await loadPipeline(directory);
    assert.deepEqual(tensors.get("half"), { shape: [2], data: new Float32Array([1, -2]) });
    assert.deepEqual(tensors.get("brain"), { shape: [2], data: new Float32Array([0.0078125, -2]) });
    await Deno.writeFile(
      join(directory, WEIGHTS),
      encodeSafetensors(new Map([["count", { dtype: "I64", shape: [], data: new BigInt64Array(1) }]])),
    );
    assert.match(await errorOf(directory), /safetensors: tensor "count": expected dtype F32, .*got I64/);
  });
});

for (
  const [what, damage] of [
    ["truncated weights", (run: string) => Deno.truncate(join(run, "unet", WEIGHTS), 3000)],
    ["a flipped bit in a weight", async (run: string) => {
      const path = join(run, "unet", WEIGHTS);
      const bytes = await Deno.readFile(path);
      bytes[bytes.length - 1] ^= 1;
      await Deno.writeFile(path, bytes);
    }],
    ["no weights", (run: string) => Deno.remove(join(run, "unet", WEIGHTS))],
    ["a broken configuration", (run: string) => Deno.writeTextFile(join(run, "unet/config.json"), "{")],
    [
      "a broken schedule",
      (run: string) => Deno.writeTextFile(join(run, "scheduler/scheduler_config.json"), "[]"),
    ],
    ["no network directory", (run: string) => Deno.remove(join(run, "unet"), { recursive: true })],
  ] as const
) {
  Deno.test(`a run with ${what} is read from its newest whole checkpoint, with a warning`, async () => {
    await inTemporaryDirectory(async (runDir) => {
      await saveCheckpoint(runDir, exampleCheckpoint(1));
      const newest = await saveCheckpoint(runDir, exampleCheckpoint(2));
      await damage(runDir);
      const { pipeline, warning } = await loadWarned(runDir);
      assert.equal(pipeline.path, newest);
      assertModelOf(pipeline, exampleCheckpoint(2));
      assert.ok(warning.startsWith(runDir) && warning.endsWith(`; using ${newest} instead`), warning);
    });
  });
}

Deno.test("a run whose model and newest checkpoint are damaged is read from the one before", async () => {
  await inTemporaryDirectory(async (runDir) => {
    const oldest = await saveCheckpoint(runDir, exampleCheckpoint(1));
    const newest = await saveCheckpoint(runDir, exampleCheckpoint(2));
    for (const each of [runDir, newest]) await Deno.truncate(join(each, "unet", WEIGHTS), 100);
    const warnings: string[] = [];
    const pipeline = await loadPipeline(runDir, { onWarning: (message) => void warnings.push(message) });
    assert.equal(pipeline.path, oldest);
    assertModelOf(pipeline, exampleCheckpoint(1));
    assert.deepEqual(warnings.map((text) => text.includes(newest)), [false, true]);

    await Deno.truncate(join(oldest, "unet", WEIGHTS), 100);
    const message = await errorOf(runDir);
    for (const each of [runDir, newest, oldest]) {
      assert.ok(message.includes(join(each, "unet", WEIGHTS)), message);
    }
  });
});

Deno.test("a damaged network alone is an error that names file and tensor", async () => {
  await inTemporaryDirectory(async (runDir) => {
    await saveCheckpoint(runDir, exampleCheckpoint(1));
    const path = join(runDir, "unet", WEIGHTS);
    const bytes = await Deno.readFile(path);
    bytes[bytes.length - 1] ^= 1;
    await Deno.writeFile(path, bytes);
    assert.equal(
      await errorOf(join(runDir, "unet")),
      `${path}: tensor "conv_in.weight" is damaged: SHA-256 differs`,
    );
  });
});

const noPipes = { ignore: Deno.build.os === "windows" };
Deno.test("a pipe or directory in place of a model file is refused, not waited for", noPipes, async () => {
  for (const command of ["mkfifo", "mkdir"]) {
    await inTemporaryDirectory(async (runDir) => {
      const directory = await saveCheckpoint(runDir, exampleCheckpoint(1));
      const path = join(directory, "unet", "config.json");
      await Deno.remove(path);
      assert.ok((await new Deno.Command(command, { args: [path] }).output()).success);
      assert.equal(await errorOf(join(directory, "unet")), `${path}: not a file`);
    });
  }
});

Deno.test("loadPipeline says how to convert what it does not read, and what it expected elsewhere", async () => {
  await inTemporaryDirectory(async (directory) => {
    assert.match(
      await errorOf(directory),
      /no model here; expected a directory with diffusion_pytorch_model\.safetensors beside/,
    );
    assert.match(
      await errorOf(join(directory, "missing")),
      /missing: no such file or directory; expected a directory with/,
    );
    await Deno.writeTextFile(join(directory, "config.json"), "{}");
    const flax = join(directory, "diffusion_flax_model.msgpack");
    await Deno.writeTextFile(flax, "");
    const message = await errorOf(directory);
    assert.ok(message.includes("found only diffusion_flax_model.msgpack; convert it in Python: "), message);
    const quoted = JSON.stringify(directory);
    assert.ok(message.includes(`from_pretrained(${quoted}, from_flax=True).save_pretrained(`), message);
    await Deno.remove(flax);
    await Deno.writeTextFile(join(directory, `${WEIGHTS}.index.json`), "{}");
    assert.match(await errorOf(directory), /safetensors\.index\.json: weight_map lists no files/);
    await Deno.writeFile(join(directory, WEIGHTS), encodeSafetensors(new Map()));
    await Deno.remove(join(directory, "config.json"));
    assert.match(await errorOf(directory), /config\.json is missing/);
  });
});

Deno.test("infinite numbers that Python wrote into a configuration are read as null, words in texts as they are", async () => {
  await inTemporaryDirectory(async (directory) => {
    await Deno.writeTextFile(join(directory, "config.json"), "{}");
    const weights = encodeSafetensors(
      new Map([["one", { dtype: "F32", shape: [1], data: Float32Array.of(1) }]]),
    );
    await Deno.writeFile(join(directory, WEIGHTS), weights);
    const scheduler =
      '{"lambda_min_clipped": -Infinity, "sigma_max": NaN, "note": "to \\"-Infinity\\" and NaN"}';
    await Deno.writeTextFile(join(directory, "scheduler_config.json"), scheduler);
    const { schedulerConfig } = await loadPipeline(directory);
    assert.deepEqual(schedulerConfig, {
      lambda_min_clipped: null,
      sigma_max: null,
      note: 'to "-Infinity" and NaN',
    });
  });
});
