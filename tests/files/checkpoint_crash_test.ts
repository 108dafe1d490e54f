/** A run directory after a save that was killed at any of its phases, or hit a full disk. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { CheckpointError } from "../../lib/errors.ts";
import {
  type Checkpoint,
  listCheckpoints,
  loadLatestCheckpoint,
  loadPipeline,
  saveCheckpoint,
} from "../../lib/files/checkpoint.ts";
import { publishNewest, unpublished } from "../../lib/files/publish.ts";
import { canMount, onSmallDisk } from "../support/small_disk.ts";
import { inTemporaryDirectory, systemError, treeOf } from "../support/train/directories.ts";
import { assertModelOf, assertSame, exampleCheckpoint } from "../support/train/example_checkpoint.ts";

/** Fails on any warning: nothing may be damaged. */
const strict = {
  onWarning: (message: string) => assert.fail(message),
};

/** State of a run before a save, and the save. */
interface Save {
  name: string;
  before: [step: number, variant: number][];
  step: number;
  variant: number;
  keep: number;
}
const SAVES: Save[] = [
  { name: "a first save", before: [], step: 1, variant: 0, keep: 2 },
  { name: "a save that removes an old checkpoint", before: [[1, 0], [2, 0]], step: 3, variant: 0, keep: 2 },
  { name: "a save of the only checkpoint's step", before: [[2, 0]], step: 2, variant: 1, keep: 1 },
];

/** Saves what stood before, into a new directory below `parent`. */
async function prepare(parent: string, { before, keep }: Save): Promise<string> {
  const runDir = await Deno.makeTempDir({ dir: parent });
  for (const [step, variant] of before) {
    await saveCheckpoint(runDir, exampleCheckpoint(step, variant), { keep });
  }
  return runDir;
}

/**
 * Fails unless the run holds, whole, what stood before the save or what it saved, its model is that of its newest
 * checkpoint, and the next save is as ever.
 */
async function assertSurvived(runDir: string, save: Save): Promise<void> {
  const last = save.before.at(-1);
  const saved = exampleCheckpoint(save.step, save.variant);
  const isNew = (trainer: Record<string, unknown>) =>
    trainer.step === save.step && trainer.variant === save.variant;
  if (!last && (await listCheckpoints(runDir)).length === 0) {
    await assert.rejects(loadPipeline(runDir, strict), CheckpointError);
  } else {
    const loaded = await loadLatestCheckpoint(runDir, strict);
    assertSame(loaded, isNew(loaded.trainer) || !last ? saved : exampleCheckpoint(...last));
    const newest = isNew(loaded.trainer) || !last ? saved : exampleCheckpoint(...last);
    assertModelOf(await loadPipeline(runDir, { onWarning: () => {} }), newest);
    await assertPublished(runDir, newest);
  }
  await saveCheckpoint(runDir, exampleCheckpoint(save.step + 1), { keep: save.keep, ...strict });
  assertSame(await loadLatestCheckpoint(runDir, strict), exampleCheckpoint(save.step + 1));
  assert.ok((await listCheckpoints(runDir)).length <= save.keep);
  const leftovers = Object.keys(await treeOf(runDir)).filter((path) => /\.tmp-|\.previous/.test(path));
  assert.deepEqual(leftovers, []);
}

/** Fails unless what a resume publishes is the newest checkpoint's model, also when the disk is full on its way. */
async function assertPublished(runDir: string, newest: Checkpoint): Promise<void> {
  const pending = await unpublished(runDir) !== undefined;
  for (let phase = 0, done = false; !done; phase++) {
    let phases = 0;
    const onPhase = () => {
      if (phases++ === phase) throw systemError("ENOSPC");
    };
    await publishNewest(runDir, { onPhase }).catch((error) =>
      assert.match(error.message, /the disk is full/)
    );
    done = phases <= phase;
    assertModelOf(await loadPipeline(runDir, { onWarning: () => {} }), newest);
    if (phase === 0) assert.equal(phases > 0, pending);
  }
  assert.equal(await publishNewest(runDir), false);
  const model = await loadPipeline(runDir, strict);
  assert.equal(model.path, runDir);
  assertModelOf(model, newest);
}

Deno.test("a resume with nothing to publish removes what a crash left anywhere in the run", async () => {
  await inTemporaryDirectory(async (runDir) => {
    await saveCheckpoint(runDir, exampleCheckpoint(1), strict);
    const before = await treeOf(runDir);
    for (const folder of ["", "unet", "checkpoints", "ema", "samples", "best", "best/unet"]) {
      await Deno.mkdir(join(runDir, folder), { recursive: true });
      await Deno.writeTextFile(join(runDir, folder, ".tmp-denoise-x"), "half a picture");
    }
    assert.equal(await publishNewest(runDir), false);
    assert.deepEqual(await treeOf(runDir), before);
  });
});

for (const save of SAVES) {
  const killed = `SIGKILL at any phase of ${save.name} leaves a whole checkpoint and model`;
  Deno.test(killed, { ignore: Deno.build.os === "windows" }, async () => {
    await inTemporaryDirectory(async (parent) => {
      const phases: string[] = [];
      const onPhase = (phase: string) => void phases.push(phase);
      const { step, variant, keep } = save;
      await saveCheckpoint(await prepare(parent, save), exampleCheckpoint(step, variant), { keep, onPhase });
      assert.ok(phases.length > 25, `${phases}`);

      const kill = async (phase: number) => {
        const runDir = await prepare(parent, save);
        const script = fileURLToPath(new URL("../support/train/save_and_die.ts", import.meta.url));
        const args = ["run", "-A", "--no-config", script, runDir, step, variant, keep, phase].map(String);
        const { signal, stderr } = await new Deno.Command(Deno.execPath(), { args }).output();
        assert.equal(signal, "SIGKILL", new TextDecoder().decode(stderr));
        await assertSurvived(runDir, save).catch((error) => {
          throw new Error(`killed at phase ${phase}, ${phases[phase]}`, { cause: error });
        });
      };
      for (let phase = 0; phase < phases.length; phase += 2) {
        await Promise.all([phase, phase + 1].filter((each) => each < phases.length).map(kill));
      }
    });
  });

  Deno.test(`a disk that is full at any phase of ${save.name} loses nothing`, async () => {
    await inTemporaryDirectory(async (parent) => {
      for (let phase = 0, done = false; !done; phase++) {
        const runDir = await prepare(parent, save);
        let phases = 0;
        const onPhase = () => {
          if (phases++ === phase) throw systemError("ENOSPC");
        };
        const warnings: string[] = [];
        const options = {
          keep: save.keep,
          onPhase,
          onWarning: (message: string) => void warnings.push(message),
        };
        const error = await saveCheckpoint(runDir, exampleCheckpoint(save.step, save.variant), options).then(
          () => undefined,
          (error) => error,
        );
        done = phases <= phase;
        // Old checkpoints that cannot be removed are no reason to stop a run whose save is good.
        const message = error?.message ?? warnings.join();
        if (!done) assert.match(message, /the disk is full/);
        if (error) assert.ok(error instanceof CheckpointError, error.stack);
        await assertSurvived(runDir, save);
      }
    });
  });
}

Deno.test({
  name: "a real full disk, then a read-only one, keeps every checkpoint (needs the right to mount)",
  ignore: !canMount,
  async fn() {
    await inTemporaryDirectory(async (disk) => {
      const script = fileURLToPath(new URL("../support/train/fill_disk.ts", import.meta.url));
      const deno = [Deno.execPath(), "run", "-A", "--no-config", script, disk];
      const [command, ...args] = onSmallDisk(384, 'shift && exec "$@"', [disk, ...deno]);
      const { stdout, stderr } = await new Deno.Command(command, { args }).output();
      const text = new TextDecoder();
      assert.equal(text.decode(stderr), "");
      const { errors, attempted, latest, leftovers } = JSON.parse(text.decode(stdout));
      assert.ok(attempted > 2);
      assert.match(errors[0], /^CheckpointError: cannot write .*run.*: the disk is full; free some space/);
      assert.match(
        errors[1],
        /^CheckpointError: cannot write .*run.*: the file system is read-only; choose another/,
      );
      assert.equal(errors.length, 2);
      assert.ok(latest === attempted - 1 || latest === attempted);
      assert.deepEqual(leftovers, []);
    });
  },
});
