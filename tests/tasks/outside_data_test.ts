import assert from "node:assert/strict";
import { join } from "node:path";
import { checkOutsideData } from "../../tasks/outside_data.ts";
import { makeMaterial, runTask, TRAINING } from "../support/command.ts";
import { inTemporaryDirectory } from "../support/train/directories.ts";

Deno.test("a run inside its data is refused, links followed, and one beside it is not", async () => {
  await inTemporaryDirectory(async (directory) => {
    const at = (path: string) => join(directory, path);
    for (const path of ["data/train/cat", "elsewhere/dog", "far"]) {
      await Deno.mkdir(at(path), { recursive: true });
    }
    await Deno.symlink(at("data"), at("link"));
    await Deno.symlink(at("elsewhere"), at("data/val"));
    await Deno.symlink(at("far"), at("data/train/bird"));
    await Deno.symlink(at("nowhere"), at("data/broken"));
    await Deno.writeTextFile(at("archive.tar.gz"), "");
    const inside = [
      "data",
      "data/run",
      "data/train/cat/a/b",
      "link/run",
      "elsewhere/run",
      "elsewhere/dog",
      "far/x",
    ];
    for (const out of inside) {
      for (const data of ["data", "link", "data/"]) {
        await assert.rejects(
          checkOutsideData("--out", at(out), at(data)),
          /^ConfigError: --out: expected a directory outside the data \(.*\), which would change with every file/,
          `${out} in ${data}`,
        );
      }
    }
    for (const out of ["run", "data2", "data-run/x", "archive.tar.gz"]) {
      await checkOutsideData("--out", at(out), at("data"));
    }
    await checkOutsideData("--out", at("data/run"), at("archive.tar.gz"));
    await checkOutsideData("--out", at("data/run"), at("missing"));
  });
});

Deno.test("train refuses to write into its data, before anything is read or made", async () => {
  await inTemporaryDirectory(async (directory) => {
    await makeMaterial(directory);
    const out = await runTask("train", [...TRAINING, "--out", "images/run"], directory);
    const expected =
      "expected a directory outside the data (images), which would change with every file that " +
      'the run writes, got "images/run"';
    assert.deepEqual([out.code, out.err], [2, `error: --out: ${expected}\n`]);
    // The default place of runs is below the current directory.
    const here = await runTask("train", ["--data", "."], directory);
    assert.match(here.err, /^error: --out: expected a directory outside the data \(\.\), .*got "runs"\n$/);
    assert.deepEqual([...Deno.readDirSync(directory)].map(({ name }) => name).sort(), [
      "images",
      "network.json",
    ]);
    assert.deepEqual([...Deno.readDirSync(join(directory, "images"))].map(({ name }) => name).sort(), [
      "dark",
      "light",
    ]);
  });
});
