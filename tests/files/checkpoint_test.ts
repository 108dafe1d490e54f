import assert from "node:assert/strict";
import { join } from "node:path";
import { CheckpointError, ConfigError } from "../../lib/errors.ts";
import {
  listCheckpoints,
  loadLatestCheckpoint,
  loadPipeline,
  removeOldCheckpoints,
  saveCheckpoint,
} from "../../lib/files/checkpoint.ts";
import { inTemporaryDirectory, treeOf } from "../support/train/directories.ts";
import { assertModelOf, assertSame, exampleCheckpoint } from "../support/train/example_checkpoint.ts";

const UNET_FILE = "unet/diffusion_pytorch_model.safetensors";

/** Fails on any warning: nothing may be damaged. */
const strict = {
  onWarning: (message: string) => assert.fail(message),
};

async function stepsIn(runDir: string): Promise<number[]> {
  return (await listCheckpoints(runDir)).map(({ step }) => step);
}

Deno.test("a checkpoint comes back bit for bit, and its EMA is the run's model", async () => {
  await inTemporaryDirectory(async (directory) => {
    const runDir = join(directory, "made/run");
    const saved = exampleCheckpoint(1234);
    const path = await saveCheckpoint(runDir, saved);
    assert.equal(path, join(runDir, "checkpoints/step-00001234"));
    const loaded = await loadLatestCheckpoint(runDir, strict);
    assert.equal(loaded.path, path);
    assertSame(loaded, saved);
    const pipeline = await loadPipeline(runDir, strict);
    assert.equal(pipeline.path, runDir);
    assert.deepEqual(pipeline.metadata, { format: "pt" });
    assertModelOf(pipeline, saved);

    const model = ["model_index.json", "scheduler/scheduler_config.json", "unet/config.json", UNET_FILE];
    const checkpoint = [...model, "manifest.json", "trainer.json", "trainer.safetensors"];
    const expected = [...model, ...checkpoint.map((name) => `checkpoints/step-00001234/${name}`)];
    assert.deepEqual(Object.keys(await treeOf(runDir)).sort(), expected.sort());
  }, { onDisk: true });
});

Deno.test("the last two checkpoints are kept, or as many as asked for", async () => {
  await inTemporaryDirectory(async (runDir) => {
    for (const step of [1, 2, 3]) await saveCheckpoint(runDir, exampleCheckpoint(step), strict);
    assert.deepEqual(await stepsIn(runDir), [3, 2]);
    for (const step of [4, 5, 6]) {
      await saveCheckpoint(runDir, exampleCheckpoint(step), { keep: 4, ...strict });
    }
    assert.deepEqual(await stepsIn(runDir), [6, 5, 4, 3]);
    await saveCheckpoint(runDir, exampleCheckpoint(123_456_789), { keep: 1, ...strict });
    assert.deepEqual(await stepsIn(runDir), [123_456_789]);
    assertModelOf(await loadPipeline(runDir, strict), exampleCheckpoint(123_456_789));
  });
});

Deno.test("checkpoints that an interrupted save left are removed, and none after the present one", async () => {
  await inTemporaryDirectory(async (runDir) => {
    for (const step of [100, 200, 300]) {
      await saveCheckpoint(runDir, exampleCheckpoint(step), { keep: 9, ...strict });
    }
    const steps = async () => (await listCheckpoints(runDir)).map(({ step }) => step);
    await removeOldCheckpoints(runDir, 200, 1);
    assert.deepEqual(await steps(), [300, 200], "300 is damaged, perhaps, and nothing has taken its place");
    await removeOldCheckpoints(runDir, 300, 2);
    assert.deepEqual(await steps(), [300, 200]);
    await removeOldCheckpoints(runDir, 300, 1);
    assert.deepEqual(await steps(), [300]);
  });
});

Deno.test("a run resumed from an earlier checkpoint keeps its own, and removes later ones first", async () => {
  await inTemporaryDirectory(async (runDir) => {
    for (const step of [100, 200, 300]) {
      await saveCheckpoint(runDir, exampleCheckpoint(step), { keep: 3, ...strict });
    }
    await saveCheckpoint(runDir, exampleCheckpoint(250), { keep: 3, ...strict });
    assert.deepEqual(await stepsIn(runDir), [250, 200, 100]);
  });
});

Deno.test("a step saved again replaces its checkpoint", async () => {
  await inTemporaryDirectory(async (runDir) => {
    await saveCheckpoint(runDir, exampleCheckpoint(2), { keep: 1, ...strict });
    await saveCheckpoint(runDir, exampleCheckpoint(2, 1), { keep: 1, ...strict });
    assertSame(await loadLatestCheckpoint(runDir, strict), exampleCheckpoint(2, 1));
    assert.equal((await listCheckpoints(runDir)).length, 1);
  });
});

Deno.test("saveCheckpoint refuses what it could not read back", async () => {
  await inTemporaryDirectory(async (runDir) => {
    const checkpoint = exampleCheckpoint(1);
    for (const keep of [0, -1, 1.5, NaN]) {
      await assert.rejects(saveCheckpoint(runDir, checkpoint, { keep }), ConfigError);
    }
    for (const step of [-1, 0.5, NaN, 2 ** 53]) {
      await assert.rejects(saveCheckpoint(runDir, { ...checkpoint, step }), ConfigError);
    }
    const trainer = { best: { loss: NaN } };
    await assert.rejects(saveCheckpoint(runDir, { ...checkpoint, trainer }), /trainer\.json: loss is NaN/);
    assert.deepEqual(await treeOf(runDir), {});
  });
});

/** Ways to damage a file, other than by flipping bits. */
const DAMAGES: [name: string, damage: (path: string, size: number) => Promise<void>][] = [
  ["emptied", (path) => Deno.truncate(path, 0)],
  ["cut in half", (path, size) => Deno.truncate(path, size >> 1)],
  // One byte is the line end of a JSON file, which nobody misses.
  ["two bytes short", (path, size) => Deno.truncate(path, size - 2)],
  ["one byte long", (path) => Deno.writeFile(path, new Uint8Array(1), { append: true })],
  ["missing", (path) => Deno.remove(path)],
];
const CHECKPOINT_FILES = [
  "manifest.json",
  "model_index.json",
  "scheduler/scheduler_config.json",
  "trainer.json",
  "trainer.safetensors",
  "unet/config.json",
  UNET_FILE,
];

/** Saves steps 1 and 2, has `body` damage the second, and fails unless the first is then used; the warning. */
async function warningAfter(runDir: string, damage: (newest: string) => Promise<void>): Promise<string> {
  const newest = join(runDir, "checkpoints/step-00000002");
  await damage(newest);
  const warnings: string[] = [];
  const loaded = await loadLatestCheckpoint(runDir, { onWarning: (message) => void warnings.push(message) });
  assertSame(loaded, exampleCheckpoint(1));
  assert.equal(warnings.length, 1);
  assert.ok(warnings[0].startsWith(newest), warnings[0]);
  assert.ok(warnings[0].endsWith(`; using ${loaded.path} instead`), warnings[0]);
  return warnings[0];
}

for (const file of CHECKPOINT_FILES) {
  Deno.test(`a checkpoint whose ${file} is damaged is passed over with a warning that names it`, async () => {
    await inTemporaryDirectory(async (runDir) => {
      await saveCheckpoint(runDir, exampleCheckpoint(1));
      const path = join(await saveCheckpoint(runDir, exampleCheckpoint(2)), file);
      const original = await Deno.readFile(path);
      for (const [name, damage] of DAMAGES) {
        const warning = await warningAfter(runDir, () => damage(path, original.length));
        assert.ok(warning.startsWith(path), `${name}: ${warning}`);
        await Deno.writeFile(path, original);
      }
      // Nothing else vouches for the manifest, so more of its bytes are tried.
      const stride = file === "manifest.json" ? 3 : Math.ceil(original.length / 40);
      for (let at = 0; at < original.length; at += stride) {
        const flipped = original.slice();
        flipped[at] ^= 1 << (at % 8);
        const warning = await warningAfter(runDir, () => Deno.writeFile(path, flipped));
        if (file !== "manifest.json") assert.ok(warning.startsWith(path), `byte ${at}: ${warning}`);
        await Deno.writeFile(path, original);
      }
      assertSame(await loadLatestCheckpoint(runDir, strict), exampleCheckpoint(2));
    });
  });
}

Deno.test("the warning about damaged weights names the tensor", async () => {
  await inTemporaryDirectory(async (runDir) => {
    await saveCheckpoint(runDir, exampleCheckpoint(1));
    await saveCheckpoint(runDir, exampleCheckpoint(2));
    for (const file of [UNET_FILE, "trainer.safetensors"]) {
      const path = join(runDir, "checkpoints/step-00000002", file);
      const original = await Deno.readFile(path);
      const dataStart = 8 + Number(new DataView(original.buffer).getBigUint64(0, true));
      const header = new TextDecoder().decode(original.subarray(8, dataStart));
      const name = file === UNET_FILE ? "conv_in.weight" : "v.conv_in.weight";
      const begin = JSON.parse(header)[name].data_offsets[0];

      const after = async (change: (bytes: Uint8Array) => void) => {
        const bytes = original.slice();
        change(bytes);
        return await warningAfter(runDir, () => Deno.writeFile(path, bytes));
      };
      const editHeader = (from: string, to: string) => (bytes: Uint8Array) => {
        assert.ok(header.includes(from) && from.length === to.length);
        bytes.set(new TextEncoder().encode(header.replace(from, to)), 8);
      };
      assert.match(
        await after((bytes) => bytes[dataStart + begin + 5] ^= 4),
        new RegExp(`"${name}" is damaged: SHA`),
      );
      assert.match(
        await after(editHeader("[8,3,3,3]", "[3,8,3,3]")),
        /tensor "\S*conv_in\.weight" is damaged/,
      );
      assert.match(
        await after(editHeader("[8,3,3,3]", "[9,3,3,3]")),
        /tensor "\S+": shape \[9,3,3,3\] of F32 takes/,
      );
      assert.match(
        await after(editHeader(`"${name}"`, `"${name.replace("w", "W")}"`)),
        /is damaged|is missing/,
      );
      assert.match(await after((bytes) => bytes[3] = 1), /truncated: the header is/);
      await Deno.writeFile(path, original);
    }
  });
});

Deno.test("without an intact checkpoint the error gives the reason for each", async () => {
  await inTemporaryDirectory(async (runDir) => {
    await assert.rejects(loadLatestCheckpoint(runDir), /has no checkpoint: expected a directory .*step-/);
    await saveCheckpoint(runDir, exampleCheckpoint(1));
    await saveCheckpoint(runDir, exampleCheckpoint(2));
    await Deno.truncate(join(runDir, "checkpoints/step-00000001/trainer.json"), 5);
    await Deno.remove(join(runDir, "checkpoints/step-00000002/manifest.json"));
    await assert.rejects(loadLatestCheckpoint(runDir), (error: Error) => {
      assert.ok(error instanceof CheckpointError);
      assert.match(
        error.message,
        /step-00000002\/manifest\.json is missing\n.*step-00000001\/trainer\.json is damaged/,
      );
      return true;
    });
  });
});
