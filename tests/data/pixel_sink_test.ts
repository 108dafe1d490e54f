/** Destinations of decoded images. */
import assert from "node:assert/strict";
import { FileSink } from "../../lib/data/cache/file_sink.ts";
import { MemorySink } from "../../lib/data/pixel_sink.ts";
import { inTemporaryDirectory } from "../support/train/directories.ts";

const KEPT = [0, 2, 3, 6, 7];
const image = (i: number) => Uint8Array.of(i, 10 * i, 20 * i);
const expected = KEPT.flatMap((i) => [...image(i)]);

Deno.test("images that are kept move together, in memory and in a file", async () => {
  const memory = new MemorySink(new Uint8Array(8 * 3), 3);
  for (const i of KEPT) memory.put(i, image(i));
  assert.deepEqual([...memory.finish(KEPT).range()], expected);
  await inTemporaryDirectory(async (directory) => {
    const file = await FileSink.create(`${directory}/x`, 8, 3);
    for (const i of KEPT.toReversed()) file.put(i, image(i));
    assert.deepEqual([...file.finish(KEPT).range()], expected);
    assert.equal(file.moved, KEPT.length);
    await file.discard();
    assert.deepEqual([...Deno.readDirSync(directory)], []);
  });
});

Deno.test("a move that ended anywhere in a file goes on in memory", () => {
  for (let moved = 0; moved <= KEPT.length; moved++) {
    const bytes = new Uint8Array(8 * 3);
    for (const i of KEPT) bytes.set(image(i), 3 * i);
    KEPT.slice(0, moved).forEach((from, to) => bytes.copyWithin(3 * to, 3 * from, 3 * from + 3));
    assert.deepEqual([...new MemorySink(bytes, 3).finish(KEPT, moved).range()], expected, `${moved} moved`);
  }
});
