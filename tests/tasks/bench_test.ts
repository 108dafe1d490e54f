import assert from "node:assert/strict";
import { testGpu } from "../support/gpu.ts";
import { inTemporaryDirectory } from "../support/train/directories.ts";
import { runTask } from "../support/command.ts";

Deno.test("measurements are shown even if their file cannot be written, which is said in one line", async () => {
  await inTemporaryDirectory(async (directory) => {
    await Deno.writeTextFile(`${directory}/file`, "");
    const flags = ["--quick", "--only", "^add ", "--json", "file/bench.json"];
    const { code, out, err } = await runTask("bench", flags, directory);
    assert.match(out, /^copy bandwidth +[\d.]+ GB\/s/m);
    assert.match(err.trim().split("\n").at(-1)!, /^error: cannot write file\/bench\.json: /);
    assert.ok(!err.includes(" at "), err);
    assert.equal(code, 1);
  });
});

Deno.test("mixed precision is measured against float32 if matrices are emulated, and else said not to be supported", async () => {
  await inTemporaryDirectory(async (directory) => {
    const flags = ["--quick", "--only", "^mixed sampling tiny$", "--batch", "1", "--json"];
    const { code, out, err } = await runTask("bench", flags, directory, { DENOISE_MATRICES: "emulate" });
    assert.equal(code, 0, err);
    const { features, matrices } = (await testGpu()).adapter;
    assert.equal(
      err.match(/matrix units are emulated/g)?.length,
      matrices?.dialect === "emulation" ? 1 : undefined,
    );
    const { precisions, training, sampling, skipped } = JSON.parse(out);
    assert.deepEqual([training, sampling], [[], []]);
    if (features.includes("shader-f16")) {
      const [{ float32Milliseconds, mixedMilliseconds, toFloat32, ...row }] = precisions;
      assert.deepEqual(row, { kind: "sampling", model: "tiny", batch: 1 });
      assert.ok([float32Milliseconds, mixedMilliseconds, toFloat32].every((value) => value > 0));
      assert.deepEqual(skipped, []);
    } else {
      assert.deepEqual(precisions, []);
      assert.match(skipped[0].reason, /no shader-f16/);
    }
  });
});

Deno.test("--precision mixed needs an adapter with matrix units, and measures training in it", async () => {
  await inTemporaryDirectory(async (directory) => {
    const flags = ["--quick", "--only", "^training tiny$", "--batch", "1", "--precision", "mixed", "--json"];
    const emulated = await runTask("bench", flags, directory, { DENOISE_MATRICES: "emulate" });
    if ((await testGpu()).adapter.matrices) {
      const { training } = JSON.parse(emulated.out);
      assert.deepEqual([training[0].model, training[0].precision], ["tiny", "mixed"]);
    }
    if ((await testGpu()).adapter.matrices?.dialect === "subgroup_matrix") return;
    const { code, err } = await runTask("bench", flags, directory);
    assert.equal(code, 2);
    assert.match(err, /^error: --precision: expected float32, because the adapter .* has no /m);
  });
});
