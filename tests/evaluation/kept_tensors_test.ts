import assert from "node:assert/strict";
import { join } from "node:path";
import { keptParts, removeParts } from "../../lib/evaluation/kept_tensors.ts";
import { inTemporaryDirectory } from "../support/train/directories.ts";

/** Two columns of rows, `first` up to `last`, and a record of what was computed. */
function counted() {
  const computed: string[] = [];
  const compute = (first: number, last: number) => {
    computed.push(`${first} to ${last}`);
    const values = Array.from({ length: last - first }, (_, i) => [first + i, -(first + i)]).flat();
    return Promise.resolve({ values: Float32Array.from(values) });
  };
  return { computed, compute };
}

const WHOLE = Float32Array.from([0, 1, 2, 3, 4, 5, 6].flatMap((i) => [i, -i]));

Deno.test("kept parts are not computed again, and those of another size are", async () => {
  await inTemporaryDirectory(async (directory) => {
    const { computed, compute } = counted();
    const parts = (part: number) => keptParts(join(directory, "parts"), { count: 7, part }, compute);
    assert.deepEqual((await parts(2)).values, WHOLE);
    assert.deepEqual(computed.splice(0), ["0 to 2", "2 to 4", "4 to 6", "6 to 7"]);
    assert.deepEqual((await parts(2)).values, WHOLE);
    assert.deepEqual(computed, []);
    assert.deepEqual((await parts(3)).values, WHOLE);
    assert.deepEqual(computed, ["0 to 3", "3 to 6"], "the part of the last image is the same");
  });
});

Deno.test("parts that another process has removed are no fault", async () => {
  await inTemporaryDirectory(async (directory) => {
    const parts = join(directory, "parts");
    await Deno.mkdir(parts);
    await removeParts(parts);
    await removeParts(parts);
    assert.deepEqual([...Deno.readDirSync(directory)], []);
  });
});
