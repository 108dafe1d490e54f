import assert from "node:assert/strict";
import { join } from "node:path";
import { CheckpointError } from "../../lib/errors.ts";
import { METRICS, MetricsFile } from "../../lib/train/metrics.ts";
import { inTemporaryDirectory, systemError } from "../support/train/directories.ts";

/** Opens the metrics of a run after a step, its warnings gathered. */
async function open(
  directory: string,
  step: number,
  epochEnds: readonly number[] = [],
): Promise<{ metrics: MetricsFile; warnings: string[] }> {
  const warnings: string[] = [];
  const onWarning = (message: string) => void warnings.push(message);
  return { metrics: await MetricsFile.open(directory, { step, epochEnds, onWarning }), warnings };
}

async function linesOf(directory: string): Promise<unknown[]> {
  const text = await Deno.readTextFile(join(directory, METRICS));
  assert.ok(text === "" || text.endsWith("\n"));
  return text.split("\n").slice(0, -1).map((line) => JSON.parse(line));
}

Deno.test("entries become lines of JSON; a number that is not finite becomes null", async () => {
  await inTemporaryDirectory(async (directory) => {
    const { metrics } = await open(directory, 0);
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
    const { metrics } = await open(directory, 0);
    for (let step = 1; step <= 5; step++) await metrics.append({ step });
    await Deno.writeTextFile(join(directory, METRICS), '{"step":3,"lo', { append: true });
    const { metrics: again } = await open(directory, 3);
    assert.deepEqual(await linesOf(directory), [{ step: 1 }, { step: 2 }, { step: 3 }]);
    await again.append({ step: 4, again: true });
    assert.deepEqual(await linesOf(directory), [{ step: 1 }, { step: 2 }, { step: 3 }, {
      step: 4,
      again: true,
    }]);
    await open(directory, 0);
    assert.deepEqual(await linesOf(directory), []);
  });
});

Deno.test("a last line that is whole but for its end is not run together with the next", async () => {
  await inTemporaryDirectory(async (directory) => {
    await Deno.writeTextFile(join(directory, METRICS), '{"step":1}\n{"step":2}');
    const { metrics } = await open(directory, 2);
    await metrics.append({ step: 3 });
    assert.deepEqual(await linesOf(directory), [{ step: 1 }, { step: 2 }, { step: 3 }]);
  });
});

Deno.test("reopened, what the run will tell again is gone: an epoch that is not finished, and the end", async () => {
  await inTemporaryDirectory(async (directory) => {
    const { metrics } = await open(directory, 0);
    const lines = [
      ...[{ type: "step", step: 4 }, { type: "epoch", step: 4 }, { type: "samples", step: 4 }],
      ...[{ type: "step", step: 6 }, { type: "epoch", step: 6 }, { type: "samples", step: 6 }],
      { type: "end", step: 6 },
    ];
    for (const line of lines) await metrics.append(line);
    const finished = await open(directory, 6, [4, 6]);
    assert.deepEqual(await linesOf(directory), lines.slice(0, 6));
    assert.equal(finished.metrics.lastSamples, 6);
    const further = await open(directory, 6, [4]);
    assert.deepEqual(await linesOf(directory), lines.slice(0, 4));
    assert.equal(further.metrics.lastSamples, 4);
    assert.equal((await open(directory, 3)).metrics.lastSamples, undefined);
  });
});

Deno.test("a file that cannot be opened is an error that names it", async () => {
  await inTemporaryDirectory(async (directory) => {
    await Deno.mkdir(join(directory, METRICS));
    const named = (error: Error) => error instanceof CheckpointError && error.message.includes(METRICS);
    await assert.rejects(open(directory, 1), named);
  });
});

Deno.test("a line that cannot be written is one warning with advice, and is written with the next that can be", async () => {
  await inTemporaryDirectory(async (directory) => {
    const { metrics, warnings } = await open(directory, 0);
    await metrics.append({ step: 1 });
    const before = await Deno.readFile(join(directory, METRICS));
    await Deno.remove(join(directory, METRICS));
    await Deno.mkdir(join(directory, METRICS));
    await metrics.append({ step: 2 });
    await metrics.append({ step: 3 });
    assert.equal(warnings.length, 1);
    assert.match(warnings[0], /^cannot write .*metrics\.jsonl, will try again: /);
    await Deno.remove(join(directory, METRICS));
    await Deno.writeFile(join(directory, METRICS), before);
    await metrics.append({ step: 4 });
    assert.deepEqual(await linesOf(directory), [{ step: 1 }, { step: 2 }, { step: 3 }, { step: 4 }]);
  });
});

Deno.test("a line of which the disk has room for a part alone leaves no part", async () => {
  await inTemporaryDirectory(async (directory) => {
    const { metrics, warnings } = await open(directory, 0);
    await metrics.append({ step: 1 });
    const { write } = Deno.FsFile.prototype;
    let writes = 0;
    Deno.FsFile.prototype.write = function (bytes) {
      if (writes++ > 0) throw systemError("ENOSPC");
      return write.call(this, bytes.subarray(0, 4));
    };
    try {
      await metrics.append({ step: 2 });
    } finally {
      Deno.FsFile.prototype.write = write;
    }
    assert.match(warnings[0], /the disk is full; free some space/);
    assert.deepEqual(await linesOf(directory), [{ step: 1 }]);
    await metrics.append({ step: 3 });
    assert.deepEqual(await linesOf(directory), [{ step: 1 }, { step: 2 }, { step: 3 }]);
  });
});
