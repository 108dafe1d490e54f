/** Runs resumed from a directory with damaged or outdated files. */
import assert from "node:assert/strict";
import { join } from "node:path";
import {
  type Checkpoint,
  listCheckpoints,
  loadLatestCheckpoint,
  saveCheckpoint,
} from "../../lib/files/checkpoint.ts";
import { inTemporaryDirectory } from "../support/train/directories.ts";
import { ofType, run, stateOf } from "../support/train/micro.ts";
import { RUN_SETTINGS, uninterrupted } from "../support/train/uninterrupted.ts";

Deno.test("resumed after a last save that was cut short, a run's model is what the newest checkpoint holds", async () => {
  await inTemporaryDirectory(async (out) => {
    await run({ ...RUN_SETTINGS, out, epochs: 2 });
    const [newest, older] = await listCheckpoints(out);
    const weights = "unet/diffusion_pytorch_model.safetensors";
    await Deno.copyFile(join(older.path, weights), join(out, weights));
    const events = await run({ out, resume: true });
    assert.match(
      ofType(events, "warning")[0].message,
      /^the model in .* was older than its newest checkpoint, and has been updated from it$/,
    );
    assert.deepEqual(
      await Deno.readFile(join(out, weights)),
      await Deno.readFile(join(newest.path, weights)),
    );
    assert.equal(ofType(await run({ out, resume: true }), "warning").length, 1); // that nothing is left to do
  });
});

Deno.test("a damaged checkpoint is passed over with a warning, and the one before it leads to the same end", async () => {
  await inTemporaryDirectory(async (out) => {
    await run({ ...RUN_SETTINGS, out, epochs: 2 });
    const [newest] = await listCheckpoints(out);
    const file = join(newest.path, "trainer.safetensors");
    const bytes = await Deno.readFile(file);
    bytes[bytes.length - 100] ^= 1;
    await Deno.writeFile(file, bytes);
    const events = await run({ out, resume: true, epochs: 3 });
    assert.equal(ofType(events, "start")[0].resumedFrom, 4);
    assert.match(ofType(events, "warning")[0].message, /step-00000008.*damaged/);
    assert.deepEqual(await stateOf(out), await uninterrupted());
  });
});

Deno.test("a whole checkpoint of an unknown format, or with tensors that do not fit, is passed over like a damaged one", async () => {
  await inTemporaryDirectory(async (out) => {
    await run({ ...RUN_SETTINGS, out, epochs: 2 });
    const good = await loadLatestCheckpoint(out);
    const tensor = { shape: [3], data: new Float32Array(3) };
    const settings = { ...good.trainer.settings as object, batch: "many" };
    const cases: [Partial<Checkpoint>, RegExp][] = [
      [{ trainer: { ...good.trainer, format: 1 } }, /trainer\.json: format 1, .* needs format 2/],
      [{ trainer: { ...good.trainer, settings } }, /trainer\.json: batch: expected a whole number/],
      [
        { ema: new Map([...good.ema, ["conv_in.bias", tensor]]) },
        /conv_in\.bias has shape \[3\], the network needs \[8\]/,
      ],
      [
        { trainerTensors: new Map([...good.trainerTensors, ["m.conv_in.bias", tensor]]) },
        /trainer\.safetensors: tensor conv_in\.bias has shape \[3\]/,
      ],
    ];
    for (const [change, reason] of cases) {
      await saveCheckpoint(out, { ...good, ...change });
      const events = await run({ out, resume: true, steps: 1 });
      assert.equal(ofType(events, "start")[0].resumedFrom, 4);
      const [{ message }] = ofType(events, "warning");
      assert.match(message, reason);
      assert.match(message, /step-00000008.*using .*step-00000004 instead$/);
    }
    await run({ out, resume: true, epochs: 3 });
    assert.deepEqual(await stateOf(out), await uninterrupted());
  });
});
