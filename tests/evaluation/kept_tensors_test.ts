import assert from "node:assert/strict";
import { join } from "node:path";
import { KeptResult, rowsOf, tensorsOf } from "../../lib/evaluation/kept_tensors.ts";
import { encodeWeights } from "../../lib/files/weights.ts";
import { inTemporaryDirectory } from "../support/train/directories.ts";

/** A column of rows, `first` up to `last`, and a record of what was computed. */
function counted() {
  const computed: string[] = [];
  const compute = (first: number, last: number) => {
    computed.push(`${first} to ${last}`);
    const values = Array.from({ length: last - first }, (_, i) => [first + i, -(first + i)]).flat();
    return Promise.resolve({ values: Float32Array.from(values) });
  };
  return { computed, compute };
}

const NAMES = ["values"] as const;
const WHOLE = Float32Array.from([0, 1, 2, 3, 4, 5, 6].flatMap((i) => [i, -i]));

Deno.test("kept parts are not computed again, and those of another size are", async () => {
  await inTemporaryDirectory(async (directory) => {
    const { computed, compute } = counted();
    const parts = (part: number) =>
      new KeptResult(directory, "result").parts({ names: NAMES, count: 7, part, compute });
    assert.deepEqual((await parts(2)).values, WHOLE);
    assert.deepEqual(computed.splice(0), ["0 to 2", "2 to 4", "4 to 6", "6 to 7"]);
    assert.deepEqual((await parts(2)).values, WHOLE);
    assert.deepEqual(computed, []);
    assert.deepEqual((await parts(3)).values, WHOLE);
    assert.deepEqual(computed, ["0 to 3", "3 to 6"], "the part of the last image is the same");
  });
});

Deno.test("parts with other arrays than are computed are computed again", async () => {
  await inTemporaryDirectory(async (directory) => {
    const { computed, compute } = counted();
    const parts = () =>
      new KeptResult(directory, "result").parts({ names: NAMES, count: 7, part: 4, compute });
    await parts();
    computed.splice(0);
    for (
      const [at, tensors] of [
        [0, new Map()],
        [4, new Map([["others", { shape: [3, 2], data: new Float32Array(6) }]])],
      ] as const
    ) {
      await Deno.writeFile(
        join(directory, `result.parts/0000000${at}.safetensors`),
        await encodeWeights(tensors),
      );
    }
    assert.deepEqual((await parts()).values, WHOLE);
    assert.deepEqual(computed, ["0 to 4", "4 to 7"]);
  });
});

Deno.test("what killed processes left beside a result is removed", async () => {
  await inTemporaryDirectory(async (directory) => {
    const { compute } = counted();
    const kept = new KeptResult(directory, "result");
    await Deno.mkdir(join(directory, "result.parts"));
    const leftovers = [".tmp-denoise-1", "result.parts/.tmp-denoise-2"];
    for (const name of leftovers) await Deno.writeTextFile(join(directory, name), "ha");
    const rows = await kept.parts({ names: NAMES, count: 7, part: 4, compute });
    const names = () => Array.from(Deno.readDirSync(join(directory, "result.parts")), ({ name }) => name);
    assert.deepEqual(names().sort(), ["00000000.safetensors", "00000004.safetensors"]);
    await kept.write(tensorsOf(rows, NAMES, 7));

    // Killed between the result and the removal of its parts
    await kept.parts({ names: NAMES, count: 7, part: 4, compute });
    const read = await kept.read((tensors) => rowsOf<typeof rows>(tensors, NAMES, 7));
    assert.deepEqual(read, rows);
    const left = Array.from(Deno.readDirSync(directory), ({ name }) => name);
    assert.deepEqual(left.sort(), [".lock", "result.safetensors"]);
  });
});

Deno.test("processes that compute the same result keep out of each other's way", async () => {
  await inTemporaryDirectory(async (directory) => {
    const { compute } = counted();
    const slow = new KeptResult(directory, "result");
    const fast = new KeptResult(directory, "result");
    const rows = await slow.parts({
      ...{ names: NAMES, count: 7, part: 4 },
      compute: async (first, last) => {
        const rows = await compute(first, last);
        // The other one ends, and removes the parts, while this one has some to write.
        await fast.write(tensorsOf(await fast.parts({ names: NAMES, count: 7, part: 4, compute }), NAMES, 7));
        return rows;
      },
    });
    assert.deepEqual(rows.values, WHOLE);
    await slow.write(tensorsOf(rows, NAMES, 7));
    await slow.write(tensorsOf(rows, NAMES, 7));
    const left = Array.from(Deno.readDirSync(directory), ({ name }) => name);
    assert.deepEqual(left.sort(), [".lock", "result.safetensors"]);
  });
});
