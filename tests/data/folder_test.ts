import assert from "node:assert/strict";
import { cifar10 } from "../../lib/data/cifar10.ts";
import type { ImageDataset } from "../../lib/data/dataset.ts";
import { inFolder, makePng, writeFiles } from "../support/synthetic.ts";

const RED = await makePng(32, 32, () => [200, 0, 0]);
const GREEN = await makePng(32, 32, (x, y) => [x, 100 + y, 0]);
const BLUE = await makePng(64, 64, (x, y) => [0, 0, (x + y) % 2 === 0 ? 100 : 200]);

async function read(
  files: Readonly<Record<string, Uint8Array>>,
  split?: "train" | "test",
  empty: readonly string[] = [],
): Promise<ImageDataset> {
  let result: ImageDataset | undefined;
  await inFolder(async (folder) => {
    await Deno.mkdir(`${folder}/pets`);
    await writeFiles(`${folder}/pets`, files);
    for (const name of empty) await Deno.mkdir(`${folder}/pets/${name}`, { recursive: true });
    result = await cifar10({ data: `${folder}/pets/`, split });
  });
  return result!;
}

Deno.test("cifar10: a folder of PNGs is read by class and name, scaled to 32 x 32", async () => {
  const data = await read({
    "dog/2.png": RED,
    "dog/1.png": GREEN,
    "Ant/x.PNG": BLUE,
    "cat/z.png": RED,
    "README.md": new Uint8Array(3),
    ".hidden/x": new Uint8Array(3),
    "cat/.DS_Store": new Uint8Array(3),
  });
  assert.equal(data.name, "pets");
  assert.deepEqual(data.classes, ["Ant", "cat", "dog"]);
  assert.deepEqual([...data.labels], [0, 1, 2, 2]);
  assert.deepEqual([data.count, data.height, data.width, data.images.length], [4, 32, 32, 4 * 3072]);
  assert.deepEqual([...data.images.subarray(0, 6)], [0, 0, 150, 0, 0, 150]);
  assert.deepEqual([...data.images.subarray(3072, 3075)], [200, 0, 0]);
  // Row 5, column 9 of dog/1.png.
  const at = 2 * 3072 + (5 * 32 + 9) * 3;
  assert.deepEqual([...data.images.subarray(at, at + 3)], [9, 105, 0]);
  assert.deepEqual([...data.images.subarray(3 * 3072, 3 * 3072 + 3)], [200, 0, 0]);
});

Deno.test("cifar10: greyscale, palette and 16-bit PNGs are read too", async () => {
  for (const name of ["grey", "palette", "grey16"]) {
    const png = Deno.readFileSync(new URL(`fixtures/${name}.png`, import.meta.url));
    const { images } = await read({ "a/x.png": png });
    // Pixel (x, y) of each is grey 8 * x.
    for (const x of [0, 1, 17, 31]) {
      assert.deepEqual([...images.subarray(x * 3, x * 3 + 3)], [8 * x, 8 * x, 8 * x], `${name}, column ${x}`);
    }
  }
});

Deno.test("cifar10: folders train and test are the two splits", async () => {
  const files = { "train/a/1.png": RED, "train/b/1.png": GREEN, "test/a/1.png": BLUE, "test/b/1.png": RED };
  const train = await read(files);
  const test = await read(files, "test");
  assert.deepEqual([train.classes, test.classes], [["a", "b"], ["a", "b"]]);
  assert.deepEqual([train.images[0], test.images[2]], [200, 150]);
});

const BAD: [string, () => Promise<ImageDataset>, RegExp][] = [
  ["without class folders", () => read({}), /pets: expected one subfolder of PNGs per class/],
  [
    "with an empty class",
    () => read({ "a/1.png": RED }, "train", ["b"]),
    /pets\/b: a class folder without images: expected PNG files in it$/,
  ],
  [
    "with a file that is no image",
    () =>
      read({ "a/1.png": RED, "a/notes.txt": new TextEncoder().encode("a long enough text, but no image") }),
    /a\/notes\.txt: not a PNG image$/,
  ],
  [
    "with a JPEG",
    () => read({ "a/1.png": Uint8Array.of(0xff, 0xd8, 0xff, 0xe0, ...new Uint8Array(40)) }),
    /a\/1\.png: not a PNG image$/,
  ],
  ["with a PNG cut short", () => read({ "a/1.png": GREEN.subarray(0, 60) }), /a\/1\.png: a damaged PNG: /],
  [
    "with a PNG of eight bytes",
    () => read({ "a/1.png": RED.subarray(0, 8) }),
    /a\/1\.png: a PNG cut short after 8/,
  ],
  ["with a PNG with a flipped bit", () => read({ "a/1.png": flip(GREEN, 80) }), /a\/1\.png: a damaged PNG: /],
  [
    "with a PNG that claims 65,536 x 65,536 pixels",
    () => read({ "a/1.png": resized(GREEN, 65_536) }),
    /a\/1\.png: 65536 x 65536 pixels, expected at most/,
  ],
  [
    "with an image beside the classes",
    () => read({ "a/1.png": RED, "2.png": RED }),
    /2\.png: an image outside/,
  ],
  [
    "with a folder in a class",
    () => read({ "a/1.png": RED, "a/b/1.png": RED }),
    /a\/b: a folder inside a class/,
  ],
  ["without test images", () => read({ "a/1.png": RED }, "test"), /no test images: expected the folders/],
  [
    "with other classes for testing",
    () => read({ "train/a/1.png": RED, "test/b/1.png": RED }),
    /train and test must have the same classes, found \[a\] and \[b\]$/,
  ],
];

for (const [what, attempt, message] of BAD) {
  Deno.test(`cifar10: a folder ${what} is refused with its name`, async () => {
    await assert.rejects(attempt(), (error) => {
      assert.match(String(error), /^DataError: .*pets[:/]/);
      assert.match(String(error), message);
      return true;
    });
  });
}

Deno.test("cifar10: links are followed, and one that leads nowhere is named", async () => {
  await inFolder(async (folder) => {
    await writeFiles(folder, { "elsewhere/1.png": RED, "data/a/1.png": GREEN });
    await Deno.symlink(`${folder}/elsewhere`, `${folder}/data/b`);
    assert.deepEqual((await cifar10({ data: `${folder}/data` })).classes, ["a", "b"]);
    await Deno.symlink(`${folder}/nowhere`, `${folder}/data/c`);
    await assert.rejects(
      cifar10({ data: `${folder}/data` }),
      /^DataError: .*data\/c: no such file or folder$/,
    );
  });
});

Deno.test("cifar10: more than 256 classes are refused, since labels are bytes", async () => {
  const names = Array.from({ length: 257 }, (_, i) => `c${i}`);
  await assert.rejects(read({}, "train", names), /^DataError: .*at most 256 class folders, found 257$/);
});

function flip(png: Uint8Array, at: number): Uint8Array {
  const copy = png.slice();
  copy[at] ^= 1;
  return copy;
}

/** The same PNG with other dimensions in its header (whose checksum is then wrong, too). */
function resized(png: Uint8Array, side: number): Uint8Array {
  const copy = png.slice();
  new DataView(copy.buffer).setUint32(16, side);
  new DataView(copy.buffer).setUint32(20, side);
  return copy;
}
