import assert from "node:assert/strict";
import { cifar10 } from "../../lib/data/cifar10.ts";
import type { DataProgress, ImageDataset } from "../../lib/data/dataset.ts";
import { makeJpeg, makeWebp } from "../support/image_files.ts";
import { deflatedZeros, pngChunk, pngHeader, pngOf } from "../support/png_files.ts";
import { inFolder, makePng, writeFiles } from "../support/synthetic.ts";

const RED = await makePng(32, 32, () => [200, 0, 0]);
const GREEN = await makePng(32, 32, (x, y) => [x, 100 + y, 0]);
const BLUE = await makePng(64, 64, (x, y) => [0, 0, (x + y) % 2 === 0 ? 100 : 200]);
const text = (value: string) => new TextEncoder().encode(value);

/** Reads a folder called `pets`; what is told, without where the folder is, goes to `told`. */
async function read(
  files: Readonly<Record<string, Uint8Array>>,
  split?: "train" | "test",
  empty: readonly string[] = [],
  told: string[] = [],
): Promise<ImageDataset> {
  let result: ImageDataset | undefined;
  await inFolder(async (folder) => {
    await Deno.mkdir(`${folder}/pets`);
    await writeFiles(`${folder}/pets`, files);
    for (const name of empty) await Deno.mkdir(`${folder}/pets/${name}`, { recursive: true });
    const onProgress = ({ message, total }: DataProgress) => {
      if (total === undefined) told.push(message.replaceAll(folder, ""));
    };
    result = await cifar10({ data: `${folder}/pets/`, split, onProgress });
  });
  return result!;
}

Deno.test("cifar10: a folder of images is read by class and name, scaled to 32 x 32", async () => {
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
  assert.deepEqual([data.count, data.height, data.width, data.images.range().length], [4, 32, 32, 4 * 3072]);
  assert.deepEqual([...data.images.range().subarray(0, 6)], [0, 0, 150, 0, 0, 150]);
  assert.deepEqual([...data.images.range().subarray(3072, 3075)], [200, 0, 0]);
  // Row 5, column 9 of dog/1.png.
  const at = 2 * 3072 + (5 * 32 + 9) * 3;
  assert.deepEqual([...data.images.range().subarray(at, at + 3)], [9, 105, 0]);
  assert.deepEqual([...data.images.range().subarray(3 * 3072, 3 * 3072 + 3)], [200, 0, 0]);
});

Deno.test("cifar10: greyscale, palette and 16-bit PNGs are read too", async () => {
  for (const name of ["grey", "palette", "grey16"]) {
    const png = Deno.readFileSync(new URL(`fixtures/${name}.png`, import.meta.url));
    const { images } = await read({ "a/x.png": png });
    // Pixel (x, y) of each is grey 8 * x.
    for (const x of [0, 1, 17, 31]) {
      assert.deepEqual(
        [...images.range().subarray(x * 3, x * 3 + 3)],
        [8 * x, 8 * x, 8 * x],
        `${name}, column ${x}`,
      );
    }
  }
});

Deno.test("cifar10: folders train and test are the two splits", async () => {
  const files = { "train/a/1.png": RED, "train/b/1.png": GREEN, "test/a/1.png": BLUE, "test/b/1.png": RED };
  const train = await read(files);
  const test = await read(files, "test");
  assert.deepEqual([train.classes, test.classes], [["a", "b"], ["a", "b"]]);
  assert.deepEqual([train.images.range()[0], test.images.range()[2]], [200, 150]);
});

const BAD: [string, () => Promise<ImageDataset>, RegExp][] = [
  ["without class folders", () => read({}), /pets: expected one subfolder of images per class/],
  [
    "with an empty class",
    () => read({ "a/1.png": RED }, "train", ["b"]),
    /pets\/b: a class folder without images: expected PNG, JPEG, WebP or GIF files in it$/,
  ],
  [
    "with a class of other files only",
    () => read({ "a/1.png": RED, "b/Thumbs.db": RED.subarray(1), "b/.x.png": RED }),
    /pets\/b: a class folder without images/,
  ],
  [
    "with an image by name that is none",
    () => read({ "a/1.png": RED, "a/2.JPEG": text("a long enough text, but no image") }),
    /a\/2\.JPEG: not an image; expected a PNG, JPEG, WebP or GIF image \(`onBadFile: "skip"` leaves such files out\)$/,
  ],
  [
    "with an image by content that cannot be read",
    () => read({ "a/1.png": RED, "a/animation": text("BM....\0\0\0\0 and more of it") }),
    /a\/animation: a BMP image, which is not supported; expected/,
  ],
  ["with an empty image", () => read({ "a/1.png": new Uint8Array() }), /a\/1\.png: an empty file; expected/],
  ["with a PNG cut short", () => read({ "a/1.png": GREEN.subarray(0, 60) }), /a\/1\.png: a PNG cut short: /],
  [
    "with a PNG of eight bytes",
    () => read({ "a/1.png": RED.subarray(0, 8) }),
    /a\/1\.png: a PNG cut short after 8/,
  ],
  ["with a PNG with a flipped bit", () => read({ "a/1.png": flip(GREEN, 80) }), /a\/1\.png: a damaged PNG: /],
  [
    "with a PNG that claims 65,536 x 65,536 pixels",
    () => read({ "a/1.png": pngOf(pngHeader({ width: 65_536, height: 65_536, depth: 8, colour: 2 })) }),
    /a\/1\.png: 65536 x 65536 pixels, expected at most/,
  ],
  [
    "with an image beside the classes",
    () => read({ "a/1.png": RED, "2.png": RED }),
    /2\.png: an image outside/,
  ],
  [
    "with an image of no such name beside the classes",
    () => read({ "a/1.png": RED, "photo": RED }),
    /pets\/photo: an image outside/,
  ],
  [
    "with a folder in a class",
    () => read({ "a/1.png": RED, "a/b/1.png": RED }),
    /a\/b: a folder inside a class folder: move its images up; or, if it is a class itself, the data is at .*pets\/a \(--data .*pets\/a\)$/,
  ],
  [
    "with two names that are the same in NFC",
    () => read({ "caf\u00e9/1.png": RED, "cafe\u0301/1.png": RED }),
    /pets: the class folders "cafe\\u0301" and "caf\\u00e9" have the same name, caf\u00e9, in Unicode's NFC$/,
  ],
  [
    "with a control character in a class's name",
    () => read({ "a\u001b[31m/1.png": RED }),
    /pets\/a\\u001b\[31m: class names must not contain control characters$/,
  ],
  [
    "with a class named like a word of --class",
    () => read({ "None/1.png": RED }),
    /pets\/None: all, any and none are keywords when a class is requested; rename the folder$/,
  ],
  [
    "with something else beside the splits",
    () => read({ "train/a/1.png": RED, "val/a/1.png": RED, "masks/1.png": RED }),
    /pets\/masks: neither a split nor a class, beside train, .* to read only train, give it as the data \(--data .*pets\/train\)$/,
  ],
  [
    "with two folders for one split",
    () => read({ "train/a/1.png": RED, "val/a/1.png": RED, "valid/a/1.png": RED }),
    /pets\/valid: the same split as val, beside train, /,
  ],
  [
    "with a class that only validation has",
    () => read({ "train/a/1.png": RED, "val/b/1.png": RED }),
    /pets\/val\/b: the class b has no images in .*pets\/train$/,
  ],
  [
    "with validation images that have no classes",
    () => read({ "train/a/1.png": RED, "val/1.png": RED }),
    /pets\/val\/1\.png: an image outside the class folders; move it into one, or out of .*pets\/val \(expected/,
  ],
  ["without test images", () => read({ "a/1.png": RED }, "test"), /no test images: expected the folders/],
  [
    "with other classes for testing",
    () => read({ "train/a/1.png": RED, "test/b/1.png": RED }, "test"),
    /pets\/test\/b: the class b has no images in .*pets\/train$/,
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

Deno.test("cifar10: JPEG, WebP and PNG are read whatever they are called", async () => {
  const colour = () => [40, 90, 200];
  const files = {
    "a/1.jpg": await makeJpeg(32, 32, colour),
    "a/2.png": await makeJpeg(32, 32, colour),
    "a/3.webp": await makeWebp(32, 32, colour),
    "a/4.jpg": await makePng(32, 32, colour),
    "a/5": await makePng(32, 32, colour),
    "a/6.jpeg": await makeWebp(32, 32, colour, { lossless: true }),
  };
  const { count, images } = await read(files);
  assert.equal(count, 6);
  for (const [i, value] of images.range().entries()) {
    const expected = colour()[i % 3];
    assert.ok(Math.abs(value - expected) <= 4, `byte ${i}: ${value}, expected ${expected}`);
  }
});

Deno.test("cifar10: files that are not images are skipped and reported once, the first of them by name", async () => {
  const told: string[] = [];
  const { count } = await read(
    {
      "cat/1.png": RED,
      "cat/Thumbs.db": Uint8Array.of(0xd0, 0xcf, 0x11, 0xe0),
      "cat/desktop.ini": text("[.ShellClassInfo]"),
      "cat/.DS_Store": new Uint8Array(9),
      "cat/metadata.jsonl": text('{"file_name": "1.png"}'),
      "cat/1.txt": text("a cat"),
      "cat/@eaDir/1.png/thumb.jpg": RED,
      "__MACOSX/cat/._1.png": new Uint8Array(9),
      "README.md": text("# Cats"),
      ".git/config": new Uint8Array(1),
    },
    "train",
    [],
    told,
  );
  assert.equal(count, 1);
  assert.deepEqual(told, ["/pets: skipped 9 entries that are not images (.git, README.md, __MACOSX, …)"]);
  const one: string[] = [];
  await read({ "cat/1.png": RED, "cat/Thumbs\u001b.db": new Uint8Array(3) }, "train", [], one);
  assert.deepEqual(one, ["/pets: skipped 1 entry that is not an image (cat/Thumbs\\u001b.db)"]);
});

Deno.test("cifar10: images of other sizes are cropped to the centre square, which is reported", async () => {
  const wide = await makePng(96, 32, (x) => x < 32 ? [255, 0, 0] : x < 64 ? [0, 200, 0] : [0, 0, 255]);
  const told: string[] = [];
  const { images } = await read({ "a/1.png": wide, "a/2.png": RED, "a/3.png": BLUE }, "train", [], told);
  assert.deepEqual([...images.range().subarray(0, 3072)], new Array(1024).fill([0, 200, 0]).flat());
  assert.deepEqual(told, [
    "images of other sizes are cropped to the centre square and resized to 32x32: 2 of 3",
  ]);
  const none: string[] = [];
  await read({ "a/1.png": RED }, "train", [], none);
  assert.deepEqual(none, []);
});

Deno.test("cifar10: transparency becomes white", async () => {
  const { images } = await read({ "a/1.png": await makePng(32, 32, () => [0, 100, 0, 51]) });
  assert.deepEqual([...images.range().subarray(0, 3)], [204, 224, 204]);
});

for (const [train, val] of [["train", "val"], ["Training", "Validation"], ["train", "valid"]]) {
  Deno.test(`cifar10: the class folders in ${train} are trained on, those in ${val} validated on`, async () => {
    const told: string[] = [];
    const files = {
      [`${train}/dog/1.png`]: RED,
      [`${train}/cat/1.png`]: GREEN,
      [`${train}/cat/2.png`]: RED,
      [`${val}/dog/1.png`]: RED,
      [`${val}/dog/2.png`]: GREEN,
      "test/1.png": GREEN,
    };
    const data = await read(files, "train", [], told);
    assert.deepEqual(data.classes, ["cat", "dog"]);
    assert.deepEqual([...data.labels], [0, 0, 1, 1, 1]);
    assert.deepEqual([...data.validation!], [3, 4]);
    assert.deepEqual([...data.images.range().subarray(3 * 3072, 3 * 3072 + 3)], [200, 0, 0]);
    assert.deepEqual(told, [
      `training on /pets/${train}, validating on /pets/${val}`,
      "/pets/test is left for evaluation",
    ]);
  });
}

Deno.test("cifar10: classes may be called train and test where images are in them", async () => {
  const data = await read({ "train/1.png": RED, "test/1.png": GREEN, "bus/1.png": RED });
  assert.deepEqual([data.classes, data.validation], [["bus", "test", "train"], undefined]);
});

Deno.test("cifar10: class names are NFC, and in the order of that", async () => {
  const data = await read({ "cafe\u0301/1.png": RED, "cafz/1.png": GREEN });
  assert.deepEqual(data.classes, ["cafz", "caf\u00e9"]);
  assert.equal(data.images.range()[1], 100);
});

Deno.test("cifar10: of several bad images the first is named, however many are decoded at once", async () => {
  const files = Object.fromEntries(Array.from({ length: 60 }, (_, i) => {
    return [`a/${String(i).padStart(2, "0")}.png`, i % 20 === 13 ? GREEN.subarray(0, 60) : GREEN];
  }));
  await assert.rejects(read(files), /a\/13\.png: a PNG cut short/);
});

Deno.test("cifar10: while a large image is decoded, the thread that asked hears timers and signals", async () => {
  const [width, height] = [8000, 4000];
  const pixels = pngChunk("IDAT", deflatedZeros(height * (1 + 3 * width)));
  const large = pngOf(pngHeader({ width, height, depth: 8, colour: 2 }), pixels, pngChunk("IEND"));
  await inFolder(async (folder) => {
    await writeFiles(folder, { "a/1.png": large });
    let heard = false;
    let timer: ReturnType<typeof setTimeout> | undefined;
    const onProgress = () => timer ??= setTimeout(() => heard = true, 50);
    await cifar10({ data: folder, onProgress });
    clearTimeout(timer);
    assert.ok(heard, "no timer was heard before the image was there");
  });
});
