import assert from "node:assert/strict";
import type { EndEvent, StartEvent, StepEvent, TrainEvent } from "../../mod.ts";
import { resolveSettings } from "../../lib/train/settings.ts";
import { createReporter } from "../../terminal/progress.ts";
import { type ReportedRun, TrainingReport } from "../../tasks/training_report.ts";
import { SOFTWARE } from "../support/adapters.ts";

/** An event or the end, at its second since the task began; `finish` for what comes after the pictures. */
type Told = readonly [second: number, event: TrainEvent | "finish" | "no pictures"];

/** Lines that a report writes for events. */
function told(...events: readonly Told[]): Promise<string[]> {
  return toldOf({ out: "runs/a" }, ...events);
}

/** Likewise, for the events of a run. */
async function toldOf(run: ReportedRun, ...events: readonly Told[]): Promise<string[]> {
  let text = "";
  const clock = { ms: 0 };
  const now = () => clock.ms;
  const stream = { write: (part: string) => text += part };
  const report = new TrainingReport(createReporter({ mode: "lines", stream, now }), run, now);
  for (const [second, event] of events) {
    clock.ms = second * 1000;
    if (event === "finish" || event === "no pictures") report.finish(event === "finish");
    else await report.on(event);
  }
  return text.trimEnd().split("\n");
}

function start(event: Partial<StartEvent> = {}): StartEvent {
  return {
    type: "start",
    settings: resolveSettings({}, SOFTWARE, { height: 32, width: 32, channels: 3, classes: 2 }),
    adapter: "adapter",
    parameters: 1e6,
    trainImages: 1,
    validationImages: 1,
    stepsPerEpoch: 1,
    totalSteps: 1,
    resumedFrom: 0,
    flopsPerStep: 1,
    deviceBytes: 2 ** 20,
    imagesOn: "device",
    classes: ["a", "b"],
    ...event,
  };
}

function step(event: Partial<StepEvent>): StepEvent {
  return {
    type: "step",
    step: 1,
    epoch: 1,
    loss: 0.5,
    gradientNorm: 1,
    learningRate: 1,
    imagesPerSecond: 62,
    remainingSeconds: 1,
    ...event,
  };
}

function end(event: Partial<EndEvent> = {}): EndEvent {
  return {
    type: "end",
    step: 7,
    interrupted: false,
    stoppedEarly: false,
    history: [],
    seconds: 75,
    ...event,
  };
}

/** Epochs told of a run of so many, which ends after `last`. */
async function epochsTold(epochs: number, seconds: number, last = epochs): Promise<string[]> {
  const events = Array.from({ length: last }, (_, i): Told => {
    const event = {
      type: "epoch" as const,
      epoch: i + 1,
      step: 9 * (i + 1),
      trainLoss: 0.5,
      valLoss: 0.25,
      seconds,
    };
    return [i, event];
  });
  const lines = await told([0, start({ stepsPerEpoch: 9, totalSteps: 9 * epochs })], ...events, [
    last,
    end(),
  ]);
  return lines.flatMap((line) => /^(?:epoch (\d+)|note: (of .*))/.exec(line)?.slice(1).find(Boolean) ?? []);
}

Deno.test("each epoch has its line; of hundreds of short ones some, and the last", async () => {
  assert.deepEqual(await epochsTold(5, 1), ["1", "2", "3", "4", "5"]);
  assert.equal((await epochsTold(100, 1)).length, 100);
  const [note, ...some] = await epochsTold(222, 1);
  assert.equal(
    note,
    "of 222 epochs, one in 5 is shown, unless they take half a minute each; all are in runs/a/metrics.jsonl",
  );
  assert.deepEqual([some.slice(0, 3), some.slice(-2), some.length], [["1", "5", "10"], ["220", "222"], 46]);
  assert.deepEqual((await epochsTold(222, 1, 43)).slice(-2), ["40", "43"]);
  assert.equal((await epochsTold(222, 30)).length, 223);
});

Deno.test("a run that stopped early says so, and where its best model is", async () => {
  const best = { epoch: 3, step: 5, valLoss: 0.0312, path: "runs/a/best" };
  const lines = await told([0, start()], [1, end({ stoppedEarly: true, best })], [2, "finish"]);
  assert.deepEqual(lines.slice(-2), [
    "best model (validation loss 0.03120, epoch 3): runs/a/best",
    "stopped early: 7 steps in 0:02",
  ]);
});

Deno.test("an interrupted run prints how to resume it, unless there is nothing to resume", async () => {
  assert.deepEqual(await told([0, end({ step: 0, interrupted: true })]), [
    "stopped before the first step; there is nothing to resume",
  ]);
  assert.deepEqual(await told([0, end({ interrupted: true })], [1, "finish"]), [
    "stopped after step 7; resume with: deno task train --resume runs/a",
  ]);
});

Deno.test("the command to resume repeats the backend, without which mixed precision is refused, and TensorBoard's directory", async () => {
  const run = { out: "runs/a", backend: "dawn" } as const;
  const stopped = await toldOf({ ...run, tensorboard: "my boards" }, [0, end({ interrupted: true })]);
  assert.deepEqual(stopped, [
    "stopped after step 7; resume with: deno task train --resume runs/a --backend dawn --tensorboard 'my boards'",
  ]);
  const undrawn = await toldOf(run, [0, start()], [1, end()], [1, "no pictures"]);
  assert.match(undrawn.at(-1)!, /; to draw the pictures: deno task train --resume runs\/a --backend dawn$/);
});

Deno.test("a run in mixed precision says so, and shows how many steps overflowed since the last event", async () => {
  const { settings } = start();
  const lines = await told(
    [0, start({ settings: { ...settings, precision: "mixed" }, totalSteps: 9 })],
    [20, step({ step: 4, skippedSteps: 3 })],
    [40, step({ step: 8, skippedSteps: 0 })],
  );
  assert.match(lines[0], /; tiny network in mixed precision, 1.00 M parameters/);
  const shown = lines.filter((line) => line.startsWith("training"));
  assert.deepEqual(shown.map((line) => line.match(/overflowed \d+/)?.[0]), ["overflowed 3", undefined]);
  assert.match((await told([0, start()]))[0], /; tiny network in float32, 1.00 M/);
});

Deno.test("autotuning before the start is shown", async () => {
  const finished = { seconds: 6, keptIn: "kept.json" };
  const lines = await told(
    [0, { type: "tuning", adapter: "adapter", done: 0, total: 14 }],
    [6, { type: "tuning", adapter: "adapter", done: 3, total: 14 }],
    [9, { type: "tuning", adapter: "adapter", done: 14, total: 14, finished }],
    [10, start()],
  );
  assert.match(lines[0], /^tuning 14 kernels on adapter +3\/14/);
  assert.equal(lines[1], "tuned 14 kernels in 6 s; cached in kept.json");
});

Deno.test("the last line has this process's time, pictures included, and separately that of the whole run", async () => {
  const lastOf = async (resumedFrom: number) =>
    (await told([10, start({ totalSteps: 7, resumedFrom })], [100, end()], [122, "finish"])).at(-1);
  assert.equal(await lastOf(0), "done: 7 steps in 2:02");
  assert.equal(
    await lastOf(4),
    "done: 7 steps, 3 of them now, in 2:02 with data, samples and pictures; training and validation of all steps took 1:15",
  );
  assert.equal(
    await lastOf(7),
    "done: 7 steps, none of them now, in 2:02 with data, samples and pictures; training and validation of all steps took 1:15",
  );
});

Deno.test("nothing is done before the pictures are", async () => {
  const lines = await told([0, start()], [1, end()]);
  assert.deepEqual(lines.filter((line) => line.startsWith("done")), []);
  const interrupted = await told([0, start()], [1, end({ step: 7 })], [1, "no pictures"]);
  assert.match(
    interrupted.at(-1)!,
    /^done: 7 steps in 0:01; to draw the pictures: deno task train --resume /,
  );
});

Deno.test("one image is one image, one step one step", async () => {
  const lines = await told([0, start()], [1, end({ step: 1 })], [1, "finish"]);
  assert.ok(
    lines.includes("1 training and 1 validation image, batch 32, 1 step per epoch, 1 step in total"),
    lines.join("\n"),
  );
  assert.equal(lines.at(-1), "done: 1 step in 0:01");
});

Deno.test("progress has fixed digits and the remaining time, shown once in words", async () => {
  const lines = await told(
    [0, start({ totalSteps: 500 })],
    [3, step({ step: 10, remainingSeconds: 900 })],
    [6, step({ step: 20, loss: 0.548, imagesPerSecond: 61.62, remainingSeconds: 540 })],
    [12, step({ step: 30, loss: 0.45437, imagesPerSecond: 62, remainingSeconds: 533 })],
  );
  assert.deepEqual(lines.slice(-3), [
    "training  20/500  epoch 1  loss 0.5480  images/s 61.6  9:00 left",
    "about 9 minutes left, including validation and samples",
    "training  30/500  epoch 1  loss 0.4544  images/s 62.0  8:53 left",
  ]);
});

Deno.test("the first step, which compiles kernels, gives no estimate", async () => {
  const lines = await told(
    [0, start({ totalSteps: 500 })],
    [40, step({ step: 1, remainingSeconds: 20_000 })],
  );
  assert.equal(lines.at(-1), "training  1/500  epoch 1  loss 0.5000  images/s 62.0");
});

Deno.test("an evaluation has a bar of its own, with the remaining time, and one line with its results", async () => {
  const evaluating = (done: number): TrainEvent => ({ type: "evaluating", done, total: 100 });
  const lines = await told(
    [0, start({ totalSteps: 50 })],
    [1, step({ step: 10 })],
    [10, evaluating(10)],
    [20, evaluating(20.4)],
    [30, evaluating(40)],
    [60, {
      ...{ type: "evaluation", epoch: 2, step: 10, images: 8, bitsPerDimension: 4.5, standardError: 0.25 },
      ...{ losses: [], samples: { count: 64, frechetDistance: 12.345, classConsistency: 0.5 } },
    }],
    [70, step({ step: 20 })],
  );
  assert.match(lines.join("\n"), /evaluation, network passes {2}40\/100 {2}0:40 left/);
  assert.ok(
    lines.includes(
      "evaluation after epoch 2: 4.50 ± 0.25 bits per dimension on 8 validation images; " +
        "64 samples: Fréchet distance 12.35, class consistency 50.0 %",
    ),
    lines.join("\n"),
  );
  assert.ok(lines.some((line) => line.startsWith("training  20/50")), "then the bar of training");
});

Deno.test("a warning names flags", async () => {
  const lines = await told([0, { type: "warning", message: "give it more `epochs` or `steps`" }]);
  assert.deepEqual(lines, ["warning: give it more --epochs or --steps"]);
});
