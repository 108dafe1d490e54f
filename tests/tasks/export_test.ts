import assert from "node:assert/strict";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { loadPipeline } from "../../lib/files/checkpoint.ts";
import { inTemporaryDirectory } from "../support/train/directories.ts";
import { runTask } from "../support/command.ts";

const MODEL = fileURLToPath(new URL("../golden/tiny_pipeline", import.meta.url));

Deno.test("a model is exported in the precision asked for, and the report says how large it is", async () => {
  await inTemporaryDirectory(async (directory) => {
    const flags = ["--model", MODEL, "--out", "mine/model", "--precision", "float32"];
    const { code, out, err } = await runTask("export", flags, directory);
    assert.deepEqual([code, err], [0, ""]);
    assert.match(
      out,
      /^warning: .* no digests .*\nexported .*tiny_pipeline to mine\/model: [\d,]+ weights in float32, 0\.\d MB\n$/,
    );
    const [before, after] = [await loadPipeline(MODEL), await loadPipeline(join(directory, "mine/model"))];
    assert.deepEqual(after.tensors, before.tensors);
    assert.deepEqual(after.schedulerConfig, before.schedulerConfig);
  });
});

Deno.test("a failed export says why, and writes nothing", async () => {
  await inTemporaryDirectory(async (directory) => {
    const cases: [string[], number, RegExp][] = [
      [["--model", "nowhere"], 1, /^error: nowhere: no model here: expected .*\n$/],
      [
        ["--model", join(MODEL, "model_index.json")],
        2,
        /^error: --model: expected a directory, not a file, got ".*model_index\.json"\n$/,
      ],
      [["--model", MODEL, "--precision", "int8"], 2, /--precision.*'int8'.*float16, float32/],
      [
        ["--model", MODEL, "--out", "."],
        2,
        /^error: --out: expected a directory that does not exist, or is empty/,
      ],
    ];
    await Deno.writeTextFile(join(directory, "mine.txt"), "keep");
    for (const [flags, status, message] of cases) {
      const { code, out, err } = await runTask("export", flags, directory);
      assert.match(err, message);
      assert.deepEqual([code, out], [status, ""]);
    }
    assert.deepEqual([...Deno.readDirSync(directory)].map(({ name }) => name), ["mine.txt"]);
  });
});
