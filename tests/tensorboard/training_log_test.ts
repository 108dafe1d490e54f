import assert from "node:assert/strict";
import { join } from "node:path";
import type { TrainEvent } from "../../lib/train/events.ts";
import { TrainingLog } from "../../lib/tensorboard/training_log.ts";
import { readEventFile, type ReadEvents } from "../support/event_files.ts";
import { decodePng } from "../support/read_png.ts";
import { inTemporaryDirectory } from "../support/train/directories.ts";
import { patternImages, run } from "../support/train/micro.ts";

/** Event files of a folder in the order in which TensorBoard reads them. */
async function filesIn(folder: string): Promise<ReadEvents[]> {
  const names = [...Deno.readDirSync(folder)].map(({ name }) => name).sort();
  return await Promise.all(names.map(async (name) => readEventFile(await Deno.readFile(join(folder, name)))));
}

/** Tells a log of a run's events. */
async function logged(directory: string, events: readonly TrainEvent[]): Promise<string[]> {
  const warnings: string[] = [];
  const log = new TrainingLog({ directory, onWarning: (message) => warnings.push(message) });
  for (const event of events) await log.on(event);
  return warnings;
}

Deno.test("a run's values are logged by step, and after a resume in a file of their own that takes over there", async () => {
  await inTemporaryDirectory(async (directory) => {
    const [out, board] = [join(directory, "run"), join(directory, "board/run")];
    const grids = { sampleEvery: 1, samplesPerClass: 1, sampleSteps: 2 };
    const first = await run({ out, steps: 6, ...grids });
    const second = await run({ out, resume: true, steps: 9, ...grids });
    for (const events of [first, second]) assert.deepEqual(await logged(board, events), []);
    const files = await filesIn(board);
    assert.equal(files.length, 2);
    assert.deepEqual(files.map(({ version }) => version), ["brain.Event:2", "brain.Event:2"]);
    assert.deepEqual(files.map(({ restarts }) => restarts), [[], [7]]);
    for (const [i, events] of [first, second].entries()) {
      const { values } = files[i];
      const of = (tag: string) => values.filter((value) => value.tag === tag);
      const steps = events.filter((event) => event.type === "step");
      assert.ok(steps.length > 0);
      for (
        const [tag, key] of [
          ["loss/training", "loss"],
          ["optimizer/learning_rate", "learningRate"],
          ["optimizer/gradient_norm", "gradientNorm"],
          ["time/images_per_second", "imagesPerSecond"],
        ] as const
      ) {
        assert.deepEqual(
          of(tag).map(({ step, scalar }) => [step, scalar]),
          steps.map((event) => [event.step, Math.fround(event[key])]),
        );
      }
      const epochs = events.filter((event) => event.type === "epoch");
      assert.deepEqual(
        of("loss/validation").map(({ step, scalar }) => [step, scalar]),
        epochs.map((event) => [event.step, Math.fround(event.valLoss!)]),
      );
      const samples = events.filter((event) => event.type === "samples");
      assert.ok(samples.length > 0);
      assert.deepEqual(of("samples").map(({ step }) => step), samples.map(({ step }) => step));
      assert.ok(decodePng(of("samples")[0].png!).width >= 16);
      const [settings] = of("settings/text_summary");
      for (
        const row of ["| batch | 8 |", "| data | patterns |", `| digest | ${patternImages(40).digest} |`]
      ) {
        assert.ok(settings.text!.includes(row), row);
      }
      assert.deepEqual(
        values.map(({ tag }) => tag).filter((tag) => /settings|hparams/.test(tag)),
        ["settings/text_summary", "_hparams_/session_start_info", "_hparams_/session_end_info"],
      );
    }
  });
});

Deno.test("events that cannot be written are one warning, and are written when that is possible again", async () => {
  await inTemporaryDirectory(async (directory) => {
    const warnings: string[] = [];
    const log = new TrainingLog({ directory, onWarning: (message) => warnings.push(message) });
    const events = await run({ steps: 8 });
    const epochs = events.filter((event) => event.type === "epoch");
    await log.on(events.find((event) => event.type === "start")!);
    const [name] = [...Deno.readDirSync(directory)].map(({ name }) => name);
    const path = join(directory, name);
    await Deno.rename(path, `${path}.aside`);
    await Deno.mkdir(path);
    for (const epoch of epochs) await log.on(epoch);
    assert.equal(warnings.length, 1);
    assert.match(warnings[0], /^cannot write .*tfevents.*, will try again: /);
    await Deno.remove(path);
    await Deno.rename(`${path}.aside`, path);
    await log.on(events.at(-1)!);
    const { values } = readEventFile(await Deno.readFile(path));
    assert.equal(values.filter(({ tag }) => tag === "loss/validation").length, epochs.length);
  });
});
