import assert from "node:assert/strict";
import type { TuningProgress } from "../../lib/tuning/tuning.ts";
import { createReporter } from "../../terminal/progress.ts";
import { showTuning } from "../../terminal/tuning.ts";

/** Output for progress, a second apart, without a terminal. */
function shown(...progress: readonly Omit<TuningProgress, "adapter">[]): string[] {
  let text = "";
  let ms = 0;
  const stream = { write: (part: string) => text += part };
  const show = showTuning(createReporter({ mode: "lines", stream, interval: 1, now: () => ms }));
  for (const each of progress) {
    ms += 1000;
    show({ adapter: "Toy 9000", ...each });
  }
  return text.trimEnd().split("\n").map((line) => line.trim());
}

Deno.test("autotuning shows its progress, and in the end the result and the cache file", () => {
  const lines = shown(
    { done: 0, total: 14 },
    { done: 3, total: 14 },
    { done: 14, total: 14, finished: { seconds: 5.2, keptIn: "kept/toy.json" } },
  );
  assert.match(lines[0], /^tuning 14 kernels on Toy 9000 +3\/14/);
  assert.equal(lines.at(-1), "tuned 14 kernels in 6 s; cached in kept/toy.json");
});

Deno.test("kernels left untuned are counted, and no file is named where there is none", () => {
  const lines = shown({ done: 0, total: 14 }, { done: 9, total: 14, finished: { seconds: 10 } });
  assert.equal(lines.at(-1), "tuned 9 of 14 kernels in 10 s, defaults for the rest");
});

Deno.test("a line says why tuning before a long run takes longer than usual", () => {
  const extended = { runSeconds: 1500, limitSeconds: 75 };
  const lines = shown(
    { done: 0, total: 14 },
    { done: 9, total: 14, extended },
    { done: 11, total: 14, extended: { ...extended, limitSeconds: 80 } },
    { done: 14, total: 14, finished: { seconds: 40 } },
  );
  assert.deepEqual(lines.filter((line) => /run/.test(line)), [
    "this run will take 25:00 or more, so kernels are tuned for up to 1:15",
  ]);
  assert.equal(lines.at(-1), "tuned 14 kernels in 40 s");
});

Deno.test("each network's kernels are tuned and shown separately", () => {
  const lines = shown(
    ...[{ done: 0, total: 1 }, { done: 1, total: 1, finished: { seconds: 1 } }],
    ...[{ done: 0, total: 2 }, { done: 1, total: 2 }, { done: 2, total: 2, finished: { seconds: 2 } }],
  );
  assert.deepEqual(lines.filter((line) => line.startsWith("tuned")), [
    "tuned 1 kernel in 1 s",
    "tuned 2 kernels in 2 s",
  ]);
  assert.ok(lines.some((line) => /^tuning 2 kernels on Toy 9000 +1\/2/.test(line)), lines.join("\n"));
});
