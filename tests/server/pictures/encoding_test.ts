import assert from "node:assert/strict";
import { GIF, Image } from "imagescript";
import decodeWebp from "@jsquash/webp/decode.js";
import { decodePng } from "../../support/read_png.ts";
import type { PictureFormat } from "../../../server/pictures/encoder.ts";
import { encodeFile } from "../../../server/pictures/encoding.ts";
import { pictureJob, plainImage } from "../../support/server/picture_jobs.ts";

/** Colours of a picture's pixels, RGB. */
async function decode(format: PictureFormat, file: Uint8Array<ArrayBuffer>): Promise<Picture> {
  if (format === "png") {
    const { rgb, width, height } = decodePng(file);
    return { width, height, at: (x, y) => [...rgb.subarray((y * width + x) * 3, (y * width + x) * 3 + 3)] };
  }
  if (format === "webp") {
    return pictureOf(await decodeWebp(file.buffer), ({ data }) => data as Uint8ClampedArray);
  }
  const image = format === "gif" ? (await GIF.decode(file)).at(-1)! : await Image.decode(file);
  return pictureOf(image, ({ bitmap }) => bitmap);
}

function pictureOf<T extends { readonly width: number; readonly height: number }>(
  image: T,
  rgba: (image: T) => Uint8ClampedArray,
): Picture {
  const { width, height } = image;
  const at = (x: number, y: number) => {
    const start = (y * width + x) * 4;
    return [...rgba(image).subarray(start, start + 3)];
  };
  return { width, height, at };
}

interface Picture {
  readonly width: number;
  readonly height: number;
  readonly at: (x: number, y: number) => number[];
}

function near(actual: number[], expected: number[], tolerance: number, what: string): void {
  const close = actual.every((value, i) => Math.abs(value - expected[i]) <= tolerance);
  assert.ok(close, `${what}: ${actual}, expected about ${expected}`);
}

for (const format of ["png", "jpeg", "webp", "gif"] as const) {
  const tolerance = format === "png" ? 0 : 8;

  Deno.test(`${format}: an image keeps its size, colours and scale`, async () => {
    const one = await decode(format, await encodeFile(pictureJob(format)));
    assert.deepEqual([one.width, one.height], [8, 8]);
    near(one.at(3, 4), [200, 40, 90], tolerance, format);
    const large = await decode(format, await encodeFile(pictureJob(format, { scale: 5 })));
    assert.deepEqual([large.width, large.height], [40, 40]);
    near(large.at(39, 0), [200, 40, 90], tolerance, format);
  });

  Deno.test(`${format}: several images make a grid, in order`, async () => {
    const images = [plainImage(255, 0, 0), plainImage(0, 160, 0), plainImage(0, 0, 255)];
    const changes = { images, metadata: images.map(() => ({})), scale: 4 };
    const { at, width, height } = await decode(format, await encodeFile(pictureJob(format, changes)));
    assert.deepEqual([width, height], [70, 70]);
    near(at(18, 18), [255, 0, 0], tolerance, format);
    near(at(52, 18), [0, 160, 0], tolerance, format);
    near(at(18, 52), [0, 0, 255], tolerance, format);
    near(at(52, 52), [255, 255, 255], tolerance, format);
  });

  Deno.test(`${format}: equal pictures give equal bytes`, async () => {
    assert.deepEqual(await encodeFile(pictureJob(format)), await encodeFile(pictureJob(format)));
  });
}

Deno.test("a png keeps what is known of its image, and of all the images of a grid", async () => {
  const metadata = [{ seed: 1, class: "cat" }, { seed: 2, class: "cat" }];
  const { text } = decodePng(await encodeFile(pictureJob("png", { metadata: [metadata[0]] })));
  assert.deepEqual(text, { seed: "1", class: "cat" });
  const images = [plainImage(1, 2, 3), plainImage(4, 5, 6)];
  const grid = decodePng(await encodeFile(pictureJob("png", { images, metadata })));
  assert.deepEqual(grid.text, { seed: "1, 2", class: "cat" });
});

Deno.test("a gif has its frames before the image", async () => {
  const frames = [[plainImage(0, 0, 0)], [plainImage(120, 120, 120)]];
  const gif = await GIF.decode(await encodeFile(pictureJob("gif", { frames })));
  assert.equal(gif.length, 3);
  for (const [i, grey] of [0, 120].entries()) {
    near([...gif[i].bitmap.subarray(0, 3)], [grey, grey, grey], 4, `${i}`);
  }
});
