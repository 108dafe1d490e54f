/** One run on several ranks: in this process here, in processes of their own in `tests/mpi`. */
import assert from "node:assert/strict";
import { join } from "node:path";
import type { TrainOptions } from "../../lib/train/trainer.ts";
import type { TrainEvent } from "../../lib/train/events.ts";
import { loadLatestCheckpoint, saveCheckpoint } from "../../lib/files/checkpoint.ts";
import { inTemporaryDirectory } from "../support/train/directories.ts";
import { localRanks } from "../support/train/local_ranks.ts";
import { endOf, microNetwork, ofType, patternImages, run, stateOf } from "../support/train/micro.ts";

/** Five micro-batches a step, two steps an epoch, and five batches of validation. */
const SETTINGS = { data: patternImages(48), batch: 4, accumulate: 5, epochs: 2, logEvery: 1 };

/** Trains on several ranks, all in this process; returns the events of each. */
function runOnRanks(
  size: number,
  options: Partial<TrainOptions>,
  stop?: (event: TrainEvent) => boolean,
): Promise<TrainEvent[][]> {
  return Promise.all(
    localRanks(size).map((communicator) =>
      // a run that is asked to stop on one rank only stops on all
      run({ ...options, communicator }, communicator.rank === size - 1 ? stop : undefined)
    ),
  );
}

Deno.test("1, 2, 3, 4 and 5 ranks give equal weights, moments, averages and losses", async () => {
  await inTemporaryDirectory(async (directory) => {
    const alone = join(directory, "1");
    const events = await run({ ...SETTINGS, out: alone });
    const expected = await stateOf(alone);
    for (const size of [2, 3, 4, 5]) {
      const out = join(directory, `${size}`);
      const [first, ...others] = await runOnRanks(size, { ...SETTINGS, out });
      assert.deepEqual(await stateOf(out), expected, `${size} ranks`);
      const losses = (events: TrainEvent[]) => ofType(events, "epoch").map((e) => [e.trainLoss, e.valLoss]);
      assert.deepEqual(losses(first), losses(events));
      for (const other of others) {
        assert.deepEqual(losses(other), losses(events));
        assert.deepEqual(ofType(other, "checkpoint"), [], "rank 0 alone writes");
      }
    }
  });
});

Deno.test("a run goes on with another number of ranks, with dropout in mixed precision, whichever rank is asked to stop", async () => {
  await inTemporaryDirectory(async (directory) => {
    const settings = {
      ...SETTINGS,
      ...{
        model: microNetwork({ dropout: 0.1 }),
        precision: "mixed" as const,
        emaProfiles: [0.1],
        epochs: 5,
      },
    };
    const [alone, shared] = [join(directory, "alone"), join(directory, "shared")];
    await run({ ...settings, out: alone });
    const until = (last: number) => (event: TrainEvent) => event.type === "step" && event.step === last;
    const ends: number[] = [];
    for (const [size, last] of [[4, 1], [3, 4], [1, 7], [2, 99]] as const) {
      const resume = ends.length > 0;
      const given = resume ? { resume, logEvery: 1 } : settings;
      const data = settings.data;
      const all = await runOnRanks(size, { ...given, data, out: shared }, until(last));
      const steps = all.map((events) => endOf(events).step);
      assert.equal(new Set(steps).size, 1, "all ranks end at the same step");
      ends.push(steps[0]);
      assert.deepEqual(ofType(all[0], "warning"), [], "no bits differ");
    }
    assert.deepEqual(
      ends,
      [2, 4, 7, 10],
      "at the step after, in validation, and at once where there is one rank",
    );
    assert.deepEqual(await stateOf(shared), await stateOf(alone));
  });
});

Deno.test("images that are streamed from the host are shared out with the same bits", async () => {
  await inTemporaryDirectory(async (directory) => {
    const [alone, shared] = [join(directory, "alone"), join(directory, "shared")];
    await run({ ...SETTINGS, out: alone });
    await runOnRanks(2, { ...SETTINGS, out: shared, imagesOn: "host" });
    assert.deepEqual(await stateOf(shared), await stateOf(alone));
  });
});

Deno.test("ranks that would not compute the same run are refused, each by what differs", async () => {
  const [first, second] = localRanks(2);
  const settled = await Promise.allSettled([
    run({ ...SETTINGS, communicator: first }),
    run({ ...SETTINGS, communicator: second, lr: 1 }),
  ]);
  for (const result of settled) {
    assert.equal(result.status, "rejected");
    assert.match(`${result.reason}`, /ranks: expected the same settings on all ranks/);
  }
  const [only] = localRanks(6);
  await assert.rejects(
    run({ ...SETTINGS, communicator: only }),
    /accumulate: expected at least 6, a micro-batch of each optimizer step for each of the 6 ranks, got 5/,
  );
});

Deno.test("a step that is not finite ends the run on rank 0, which names it, with the last good state saved", async () => {
  await inTemporaryDirectory(async (out) => {
    await run({ ...SETTINGS, out, steps: 2, epochs: 1 });
    const checkpoint = await loadLatestCheckpoint(out);
    (checkpoint.trainerTensors.get("raw.conv_out.weight")!.data as Float32Array).fill(1e30);
    await saveCheckpoint(out, checkpoint);
    const [first, second] = localRanks(2);
    const options = { data: SETTINGS.data, out, resume: true, steps: null, epochs: 2 };
    // it waits for rank 0, whose process ends it
    const following = run({ ...options, communicator: second });
    following.catch(() => {});
    await assert.rejects(
      run({ ...options, communicator: first }),
      /^TrainingError: step 3: the loss stopped being finite, first in .*the state before it is saved in/,
    );
  });
});
