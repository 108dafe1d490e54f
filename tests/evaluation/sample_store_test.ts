import assert from "node:assert/strict";
import { join } from "node:path";
import { SampleStore } from "../../lib/evaluation/sample_store.ts";
import { inTemporaryDirectory } from "../support/train/directories.ts";

const BYTES = 12;

function part(count: number, value: number): Uint8Array {
  return new Uint8Array(count * BYTES).fill(value);
}

Deno.test("parts are read back, those that are missing or damaged are not, and the last one is as long as it should be", async () => {
  await inTemporaryDirectory(async (directory) => {
    const open = (count: number) =>
      SampleStore.open(directory, { seed: 1, steps: 20 }, { bytes: BYTES, part: 4, count });
    const store = await open(10);
    assert.equal(store.parts, 3);
    assert.deepEqual(store.rangeOf(2), { first: 8, count: 2 });
    await store.write(0, part(4, 7));
    await store.write(2, part(2, 9));
    assert.deepEqual(await store.read(0), part(4, 7));
    assert.equal(await store.read(1), undefined);

    // Asked for more, the short last part is drawn again; asked for fewer, it is cut.
    assert.equal(await (await open(12)).read(2), undefined);
    assert.deepEqual(await (await open(9)).read(2), part(1, 9));

    const path = join(directory, "part-00000.safetensors");
    const bytes = await Deno.readFile(path);
    bytes[bytes.length - 1]! ^= 1;
    await Deno.writeFile(path, bytes);
    assert.equal(await store.read(0), undefined);
  });
});

Deno.test("samples of another request are refused, naming what differs", async () => {
  await inTemporaryDirectory(async (directory) => {
    const sizes = { bytes: BYTES, part: 4, count: 10 };
    await SampleStore.open(directory, { seed: 1, steps: 20 }, sizes);
    await SampleStore.open(directory, { seed: 1, steps: 20 }, { ...sizes, count: 99 });
    await assert.rejects(
      SampleStore.open(directory, { seed: 2, steps: 20 }, { ...sizes, part: 5 }),
      /out: expected another directory: it has samples drawn with other seed, batch, got/,
    );
  });
});

Deno.test("parts of another request, or of another size, are not taken for this one's", async () => {
  await inTemporaryDirectory(async (directory) => {
    const sizes = { bytes: BYTES, part: 4, count: 8 };
    const [own, other] = [join(directory, "own"), join(directory, "other")];
    const store = await SampleStore.open(own, { seed: 1 }, sizes);
    await (await SampleStore.open(other, { seed: 2 }, sizes)).write(0, part(4, 7));
    await Deno.copyFile(join(other, "part-00000.safetensors"), join(own, "part-00000.safetensors"));
    assert.equal(await store.read(0), undefined);
    await store.write(0, part(4, 1));
    await Deno.copyFile(join(own, "part-00000.safetensors"), join(own, "part-00001.safetensors"));
    assert.equal(await store.read(1), undefined, "the images of another part");

    // Its request is lost: the parts might be of any.
    await Deno.remove(join(other, "request.json"));
    const wider = await SampleStore.open(other, { seed: 2 }, { ...sizes, bytes: 2 * BYTES });
    assert.equal(await wider.read(0), undefined);
    const same = await SampleStore.open(other, { seed: 2 }, sizes);
    assert.deepEqual(await same.read(0), part(4, 7));
    await Deno.remove(join(other, "request.json"));
    const another = await SampleStore.open(other, { seed: 3 }, sizes);
    assert.equal(await another.read(0), undefined);
    await Deno.writeTextFile(join(other, "request.json"), '{"seed":');
    await assert.rejects(
      SampleStore.open(other, { seed: 3 }, sizes),
      /request\.json: not JSON: .*; remove it to go on with samples of this evaluation, which replaces those of another$/,
    );
  });
});

Deno.test("what a killed process left among the samples is removed", async () => {
  await inTemporaryDirectory(async (directory) => {
    await Deno.writeTextFile(join(directory, ".tmp-denoise-1"), "ha");
    await SampleStore.open(directory, { seed: 1 }, { bytes: BYTES, part: 4, count: 8 });
    assert.deepEqual([...Deno.readDirSync(directory)].map(({ name }) => name), ["request.json"]);
  });
});
