import assert from "node:assert/strict";
import { join } from "node:path";
import { exportSamples } from "../../../tasks/evaluation/output.ts";
import type { Drawing } from "../../../tasks/evaluation/samples.ts";
import { inTemporaryDirectory } from "../../support/train/directories.ts";

/** Samples of one pixel. */
function drawing(count: number): Drawing {
  return {
    ...{ complete: true, count, images: new Uint8Array(3 * count), classes: ["a", "b"], modelDigest: "" },
    labels: Uint32Array.from({ length: count }, (_, i) => i % 2),
    settings: {},
  };
}

Deno.test("a folder of exported samples has those of this export alone, and other files stay", async () => {
  await inTemporaryDirectory(async (out) => {
    const write = (count: number) => {
      const samples = drawing(count);
      return exportSamples(out, "png", { images: samples.images, height: 1, width: 1 }, samples);
    };
    await write(3);
    await Deno.writeTextFile(join(out, "png/.tmp-denoise-killed"), "ha");
    await Deno.writeTextFile(join(out, "png/mine.png"), "mine");
    assert.match(await write(2), /^2 samples in /);
    const names = [...Deno.readDirSync(join(out, "png"))].map(({ name }) => name).sort();
    assert.deepEqual(names, ["000000-a.png", "000001-b.png", "mine.png"]);
  });
});
