import assert from "node:assert/strict";
import { join } from "node:path";
import { imageDataset } from "../../lib/data/image_dataset.ts";
import type { DataEvent } from "../../lib/train/events.ts";
import { describeImages, drawDataSheet } from "../../tasks/data_sheet.ts";
import { decodePng } from "../support/read_png.ts";
import { inTemporaryDirectory } from "../support/train/directories.ts";

const EVENT: DataEvent = {
  ...{ type: "data", name: "pets", digest: "00", images: 30, height: 48, width: 64, channels: 3 },
  ...{ trainImages: 18, validationImages: 2, ownSplit: false },
  classes: [{ name: "cat", train: 10, validation: 1 }, { name: "dog", train: 8, validation: 1 }],
  files: {
    ...{ files: 30, widths: [50, 301], heights: [40, 40], resized: 3, converted: { grey: 2 }, leftOut: 0 },
    layoutNotes: ["pets: skipped 1 entry that is not an image (a.txt)"],
    notes: ["converted images: 2 grey (read as colour)"],
  },
};

Deno.test("a run's images are described in a few lines", () => {
  assert.deepEqual(describeImages(EVENT), [
    "data pets",
    "  images  30 of 48x64 pixels, colour",
    "  split   18 for training, 2 for validation, at random; 10 unused",
    "  classes cat 11, dog 9",
    "  files   50 to 301 wide, 40 high",
    "  note    converted images: 2 grey (read as colour)",
  ]);
  const classes = Array.from({ length: 300 }, (_, i) => ({ name: `c${i}`, train: 1 + i % 7, validation: 0 }));
  const { files: _files, ...plain } = EVENT;
  const many = describeImages({ ...plain, classes, channels: 1, validationImages: 2, ownSplit: true });
  assert.equal(many[1], "  images  30 of 48x64 pixels, grey");
  assert.match(many[2]!, /^ {2}split {3}18 for training, 2 for validation, as the data comes/);
  assert.equal(many[3], "  classes 300 of 1 (c0) to 7 (c6) images");
  assert.equal(describeImages({ ...plain, classes: [] })[3], "  classes none");
});

/** A data set whose images are flat, one brightness per class. */
function flat(count: number, classes: number, height: number, width: number, channels: 1 | 3 = 3) {
  const labels = Uint8Array.from({ length: count }, (_, i) => classes === 0 ? 0 : i % classes);
  const size = height * width * channels;
  return imageDataset({
    ...{ name: "flat", labels, height, width, channels },
    images: Uint8Array.from({ length: count * size }, (_, i) => 20 * labels[Math.floor(i / size)]!),
    classes: Array.from({ length: classes }, (_, i) => `class ${i}`),
  });
}

async function sheetOf(data: ReturnType<typeof flat>) {
  return await inTemporaryDirectory(async (directory) => {
    const path = join(directory, "data.png");
    const [{ what }] = await drawDataSheet(path, data);
    return { what, ...await decodePng(await Deno.readFile(path)) };
  });
}

Deno.test("the contact sheet has a row per class, enlarged if they are small, and reduced if they are large", async () => {
  const few = await sheetOf(flat(10, 2, 8, 12, 1));
  // Two rows of five images, eight times as large, and gaps.
  assert.equal(few.height, 2 * (8 * 8) + 3 * 2);
  assert.ok(few.width > 5 * 12 * 8 && few.width < 5 * 12 * 8 + 200, `${few.width}`);
  assert.equal(few.what, "images");
  const large = await sheetOf(flat(4, 2, 200, 100));
  assert.equal(large.height, 2 * 96 + 3 * 2);
});

Deno.test("of hundreds of classes the sheet has some, and says so", async () => {
  const many = await sheetOf(flat(240, 240, 16, 16));
  assert.equal(many.what, "images of 24 of the 240 classes");
  assert.equal(many.height, 24 * 64 + 25 * 2);
});

Deno.test("without classes the sheet has images side by side", async () => {
  const sheet = await sheetOf(flat(100, 0, 32, 32));
  assert.deepEqual([sheet.width, sheet.height], [8 * (96 + 2) + 2, 8 * (96 + 2) + 2]);
});
