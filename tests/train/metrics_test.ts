import assert from "node:assert/strict";
import { join } from "node:path";
import { CheckpointError } from "../../lib/errors.ts";
import { METRICS, MetricsFile } from "../../lib/train/metrics.ts";
import { emptyDirectory, inTemporaryDirectory } from "./directories.ts";

async function linesOf(directory: string): Promise<unknown[]> {
  const text = await Deno.readTextFile(join(directory, METRICS));
  assert.ok(text === "" || text.endsWith("\n"));
  return text.split("\n").slice(0, -1).map((line) => JSON.parse(line));
}

Deno.test("entries become lines of JSON; a number that is not finite becomes null", async () => {
  await inTemporaryDirectory(async (directory) => {
    const metrics = await MetricsFile.open(directory, 0);
    await metrics.append({ type: "step", step: 1, loss: 0.5 });
    await metrics.append({ type: "step", step: 2, loss: NaN });
    assert.deepEqual(await linesOf(directory), [{ type: "step", step: 1, loss: 0.5 }, {
      type: "step",
      step: 2,
      loss: null,
    }]);
  });
});

Deno.test("reopened at a step, lines beyond it are gone, and a line cut short by a crash with them", async () => {
  await inTemporaryDirectory(async (directory) => {
    const metrics = await MetricsFile.open(directory, 0);
    for (let step = 1; step <= 5; step++) await metrics.append({ step });
    await Deno.writeTextFile(join(directory, METRICS), '{"step":3,"lo', { append: true });
    const again = await MetricsFile.open(directory, 3);
    assert.deepEqual(await linesOf(directory), [{ step: 1 }, { step: 2 }, { step: 3 }]);
    await again.append({ step: 4, again: true });
    assert.deepEqual(await linesOf(directory), [{ step: 1 }, { step: 2 }, { step: 3 }, {
      step: 4,
      again: true,
    }]);
    await MetricsFile.open(directory, 0);
    assert.deepEqual(await linesOf(directory), []);
  });
});

Deno.test("a last line that is whole but for its end is not run together with the next", async () => {
  await inTemporaryDirectory(async (directory) => {
    await Deno.writeTextFile(join(directory, METRICS), '{"step":1}\n{"step":2}');
    const metrics = await MetricsFile.open(directory, 2);
    await metrics.append({ step: 3 });
    assert.deepEqual(await linesOf(directory), [{ step: 1 }, { step: 2 }, { step: 3 }]);
  });
});

Deno.test("a file that cannot be read or written is an error that names it", async () => {
  await inTemporaryDirectory(async (directory) => {
    await Deno.mkdir(join(directory, METRICS));
    const named = (error: Error) => error instanceof CheckpointError && error.message.includes(METRICS);
    await assert.rejects(MetricsFile.open(directory, 1), named);
    await emptyDirectory(directory);
    const metrics = await MetricsFile.open(directory, 1);
    await emptyDirectory(directory);
    await Deno.mkdir(join(directory, METRICS));
    await assert.rejects(metrics.append({ step: 1 }), named);
  });
});
