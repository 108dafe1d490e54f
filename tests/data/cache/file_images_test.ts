/** Images in a file: read as those in memory, and never anything else in their place. */
import assert from "node:assert/strict";
import { imageDataset } from "../../../lib/data/image_dataset.ts";
import type { ImageStore } from "../../../lib/data/image_store.ts";
import { DataError, ShapeError } from "../../../lib/errors.ts";
import { storedDataset } from "../../support/stored_images.ts";
import { inTemporaryDirectory } from "../../support/train/directories.ts";

const COUNT = 50;
const BYTES = 48;
const pixels = Uint8Array.from({ length: COUNT * BYTES }, (_, i) => (i * 7919) >> 3);

/** Runs `body` with the images above in a file. */
async function withFile(body: (images: ImageStore, path: string) => Promise<void>): Promise<void> {
  await inTemporaryDirectory(async (directory) => {
    const path = `${directory}/some.safetensors`;
    const parts = { name: "some", labels: new Uint8Array(COUNT), classes: [], height: 4, width: 4 };
    const given = imageDataset({ ...parts, images: pixels });
    const dataset = await storedDataset(given, path);
    assert.equal(dataset.digest, given.digest);
    try {
      await body(dataset.images, path);
    } finally {
      dataset.images.close();
    }
  });
}

const imageAt = (i: number) => [...pixels.subarray(i * BYTES, (i + 1) * BYTES)];

Deno.test("images are read from a file in any order, in the main thread and ahead in a worker", async () => {
  await withFile(async (images, path) => {
    assert.deepEqual([images.count, images.bytesPerImage, images.file], [COUNT, BYTES, path]);
    const orders = [
      [3],
      [5, 6, 7, 2, 49, 0, 1],
      [49, 49, 48],
      Array.from({ length: COUNT }, (_, i) => i),
      [],
    ];
    const reader = images.openReader();
    const ahead = orders.map((order) => reader.read(Uint32Array.from(order)));
    for (const [k, order] of orders.entries()) {
      const expected = order.flatMap(imageAt);
      assert.deepEqual([...images.read(order)], expected);
      assert.deepEqual([...await ahead[k]!], expected);
    }
    assert.deepEqual([...images.range(47)], [47, 48, 49].flatMap(imageAt));
    assert.throws(() => images.read([3, 50]), ShapeError);
    await assert.rejects(reader.read(Uint32Array.of(50)), /image 50: expected a whole number from 0 to 49/);
    reader.close();
    await assert.rejects(reader.read(Uint32Array.of(1)), /closed/);
  });
});

/** What happens to a file in use, and what is said of it: to those who have it open, and to those who open it then. */
const MISHAPS: Record<string, { harm(path: string): Promise<void>; open?: RegExp; opening: RegExp }> = {
  "cut short": {
    harm: (path) => Deno.truncate(path, 4096 + 9 * BYTES + 5),
    open: /some\.safetensors: image 9: the file was cut short while it was in use$/,
    opening: /some\.safetensors: the file was changed while it was in use$/,
  },
  "changed": {
    async harm(path) {
      using file = await Deno.open(path, { write: true });
      await file.seek(4096 + 9 * BYTES, Deno.SeekMode.Start);
      await file.write(Uint8Array.of(1, 2, 3));
      await Deno.utime(path, new Date(), new Date(Date.now() + 5000));
    },
    open: /some\.safetensors: image 9: the file was changed while it was in use$/,
    opening: /some\.safetensors: the file was changed while it was in use$/,
  },
  "replaced by another": {
    harm: (path) => Deno.writeTextFile(`${path}.new`, "x").then(() => Deno.rename(`${path}.new`, path)),
    opening: /some\.safetensors: the file was changed while it was in use$/,
  },
  "gone": {
    harm: (path) => Deno.remove(path),
    opening: /some\.safetensors: cannot be read: No such file/,
  },
};

for (const [name, { harm, open, opening }] of Object.entries(MISHAPS)) {
  Deno.test(`a file that is ${name} while it is in use gives no other images`, async () => {
    await withFile(async (images, path) => {
      const before = images.openReader();
      await before.read(Uint32Array.of(1));
      await harm(path);
      const after = images.openReader();
      await assert.rejects(after.read(Uint32Array.of(9)), (error: Error) => {
        assert.match(error.message, opening);
        return error instanceof DataError;
      });
      if (open) {
        await assert.rejects(before.read(Uint32Array.of(9)), open);
        assert.throws(() => images.read([9]), open);
      } else {
        // A file that is open stays what it was when its name goes to another.
        assert.deepEqual([...await before.read(Uint32Array.of(9))], imageAt(9));
        assert.deepEqual([...images.read([9])], imageAt(9));
      }
      before.close();
      after.close();
    });
  });
}

Deno.test("an image damaged on the disk is never given out", async () => {
  await withFile(async (images, path) => {
    const { mtime } = await Deno.stat(path);
    {
      using file = await Deno.open(path, { write: true });
      await file.seek(4096 + 9 * BYTES + 40, Deno.SeekMode.Start);
      await file.write(Uint8Array.of(imageAt(9)[40]! ^ 1));
    }
    await Deno.utime(path, mtime!, mtime!); // as a disk's fault leaves it
    const expected = /some\.safetensors: image 9: damaged on the disk; delete the file, and it is made anew$/;
    assert.throws(() => images.read([8, 9, 10]), expected);
    assert.throws(() => images.range(), expected);
    assert.deepEqual([...images.read([8, 10])], [8, 10].flatMap(imageAt));
    await Promise.resolve();
  });
});
