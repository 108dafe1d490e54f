import assert from "node:assert/strict";
import { join } from "node:path";
import { CheckpointError, ConfigError } from "../../lib/errors.ts";
import { saveCheckpoint } from "../../lib/files/checkpoint.ts";
import { checkResumedSettings, checkRunDirectory } from "../../lib/train/run_directory.ts";
import { SOFTWARE } from "../support/adapters.ts";
import { inTemporaryDirectory } from "../support/train/directories.ts";
import { exampleCheckpoint } from "../support/train/example_checkpoint.ts";
import { run } from "../support/train/micro.ts";

Deno.test("a run's directory has a checkpoint where one is to be resumed, and none where not", async () => {
  await inTemporaryDirectory(async (directory) => {
    await checkRunDirectory(directory, false);
    await checkRunDirectory(`${directory}/nowhere`, false);
    await assert.rejects(
      checkRunDirectory(directory, true),
      /^CheckpointError: .* has no checkpoint to resume from$/,
    );
    await assert.rejects(checkRunDirectory(`${directory}/nowhere`, true), (error: Error) => {
      assert.equal(error.message, `${directory}/nowhere does not exist, so there is no run to resume`);
      return error instanceof CheckpointError;
    });
    await saveCheckpoint(directory, exampleCheckpoint(3));
    await checkRunDirectory(directory, true);
    await assert.rejects(checkRunDirectory(directory, false), ConfigError);
  });
});

Deno.test("a model's directory, also without checkpoints, is no place for a new run", async () => {
  for (
    const name of [
      ...["model_index.json", "unet/config.json", "unet/diffusion_pytorch_model.safetensors"],
      "diffusion_pytorch_model.safetensors",
    ]
  ) {
    await inTemporaryDirectory(async (directory) => {
      await Deno.mkdir(`${directory}/unet`);
      await Deno.writeTextFile(`${directory}/${name}`, "");
      await assert.rejects(checkRunDirectory(directory, false), (error: Error) => {
        assert.match(
          error.message,
          /^out: expected a directory without a model, which would be overwritten \(found /,
        );
        assert.ok(error.message.includes(name));
        return error instanceof ConfigError;
      });
    });
  }
});

Deno.test("a new run refuses a directory with other files, whatever their names", async () => {
  for (const path of ["loss.png", "notes.txt", "unet/other.txt", "checkpoints/notes.txt", "samples/a.png"]) {
    await inTemporaryDirectory(async (directory) => {
      await Deno.mkdir(join(directory, path, ".."), { recursive: true });
      await Deno.writeTextFile(join(directory, path), "mine");
      await assert.rejects(checkRunDirectory(directory, false), (error: Error) => {
        const [name] = path.split("/");
        assert.match(
          error.message,
          /^out: expected a new or empty directory, since files could be overwritten \(found /,
        );
        assert.ok(error.message.includes(`found ${name}, but no run`), error.message);
        return error instanceof ConfigError;
      });
    });
  }
  await inTemporaryDirectory(async (directory) => {
    await Deno.writeTextFile(join(directory, "file"), "");
    for (const resume of [false, true]) {
      await assert.rejects(
        checkRunDirectory(join(directory, "file"), resume),
        new RegExp(`^ConfigError: ${resume ? "resume" : "out"}: expected a directory, not a file, got `),
      );
    }
  });
});

Deno.test("files of a run that was ended before its first checkpoint are no obstacle to another", async () => {
  await inTemporaryDirectory(async (directory) => {
    await Deno.mkdir(join(directory, "checkpoints/.tmp-denoise-1"), { recursive: true });
    for (const name of ["metrics.jsonl", ".lock", ".DS_Store"]) {
      await Deno.writeTextFile(join(directory, name), "");
    }
    await checkRunDirectory(directory, false);
  });
});

Deno.test("a setting that may not change on resume is told from the checkpoint alone", async () => {
  await inTemporaryDirectory(async (out) => {
    await run({ out, steps: 1 });
    await checkResumedSettings(out, { epochs: 9, checkpointActivations: true }, SOFTWARE);
    for (
      const [given, field] of [[{ lr: 0.5 }, "lr"], [{ preset: "small" }, "preset"], [
        { steps: 0 },
        "steps",
      ]] as const
    ) {
      await assert.rejects(
        checkResumedSettings(out, given, SOFTWARE),
        (error) => error instanceof ConfigError && error.field === field,
      );
    }
  });
});

Deno.test("a run whose checkpoints cannot be resumed is refused before anything is fetched", async () => {
  await inTemporaryDirectory(async (out) => {
    await run({ out, steps: 1 });
    const file = join(out, "checkpoints/step-00000001/trainer.json");
    const trainer = JSON.parse(await Deno.readTextFile(file));
    const cases: [string, RegExp][] = [
      [
        JSON.stringify({ ...trainer, format: 1 }),
        /no usable checkpoint:\n.*format 1, which this version/,
      ],
      ["{", /no usable checkpoint:\n.*trainer\.json/],
    ];
    for (const [text, message] of cases) {
      await Deno.writeTextFile(file, text);
      await assert.rejects(
        checkResumedSettings(out, { epochs: 9 }, SOFTWARE),
        (error) => error instanceof CheckpointError && message.test(error.message),
      );
    }
  });
});
