import assert from "node:assert/strict";
import { join } from "node:path";
import { readEventFile } from "../support/event_files.ts";
import { makeMaterial, runTask, TRAINING } from "../support/command.ts";
import { inTemporaryDirectory } from "../support/train/directories.ts";

Deno.test("--tensorboard writes event files to a folder of the run's name, which another run does not join", async () => {
  await inTemporaryDirectory(async (directory) => {
    await makeMaterial(directory);
    const flags = [...TRAINING, "--sample-every", "0", "--tensorboard", "board", "--quiet"];
    const first = await runTask("train", [...flags, "--steps", "2", "--out", "runs/a"], directory);
    assert.deepEqual(first, { code: 0, out: "", err: "" });
    const folder = join(directory, "board/a");
    const [name, ...others] = [...Deno.readDirSync(folder)].map(({ name }) => name);
    assert.deepEqual(others, []);
    assert.match(name, /^events\.out\.tfevents\.\d{10}\./);
    const { values } = readEventFile(await Deno.readFile(join(folder, name)));
    assert.deepEqual(values.filter(({ tag }) => tag === "loss/training").map(({ step }) => step), [1, 2]);

    const second = await runTask("train", [...flags, "--steps", "2", "--out", "others/a"], directory);
    assert.match(
      second.err,
      /^error: --tensorboard: expected a directory without event files of another run of this name \(found board.a.events\.out/,
    );
    assert.equal(second.code, 2);
  });
});

Deno.test("--tensorboard below a file is refused before the data is read", async () => {
  await inTemporaryDirectory(async (directory) => {
    await Deno.writeTextFile(join(directory, "file"), "");
    const { code, err } = await runTask("train", ["--data", "nowhere", "--tensorboard", "file/x"], directory);
    assert.match(err, /^error: --tensorboard: expected a path in a directory; .*file is a file/);
    assert.equal(code, 2);
  });
});
