import assert from "node:assert/strict";
import { ConfigError } from "../../lib/errors.ts";
import { textWidth } from "../../lib/image/font.ts";
import { Images } from "../../lib/image/images.ts";
import { JUPYTER_DISPLAY } from "../../lib/image/jupyter.ts";
import { decodePng } from "../support/read_png.ts";

/** Images of one colour each: image `i` is (10 i, 10 i + 1, 10 i + 2). */
function flat(count: number, height: number, width: number): Images {
  const size = height * width * 3;
  const pixels = Uint8Array.from({ length: count * size }, (_, i) => Math.floor(i / size) * 10 + i % 3);
  return new Images(
    pixels,
    count,
    height,
    width,
    Array.from({ length: count }, (_, seed) => ({ seed, class: "cat" })),
  );
}

/** Red of each pixel as rows of numbers; white is 255. */
function red(image: Images): number[][] {
  return Array.from(
    { length: image.height },
    (_, y) => Array.from({ length: image.width }, (_, x) => image.pixels[(y * image.width + x) * 3]),
  );
}

function refuses(call: () => unknown, field: string): void {
  assert.throws(call, (error) => error instanceof ConfigError && error.field === field);
}

Deno.test("fromFloats maps -1 to 0 and 1 to 255, clamps, and rounds halves to even", () => {
  const step = 1 / 127.5;
  const data = new Float32Array([-1, 1, 0, -3, 5, -1 + 0.4 * step, -1 + 0.6 * step, -1 + 200 * step, 0.5]);
  assert.deepEqual([...Images.fromFloats(data, 3, 1, 1).pixels], [0, 255, 128, 0, 255, 0, 1, 200, 191]);
});

Deno.test("fromFloats brings every byte back", () => {
  const data = Float32Array.from({ length: 768 }, (_, i) => Math.floor(i / 3) / 127.5 - 1);
  assert.deepEqual(
    [...Images.fromFloats(data, 256, 1, 1).pixels],
    Array.from({ length: 768 }, (_, i) => Math.floor(i / 3)),
  );
});

Deno.test("fromFloats makes grey RGB of equal channels", () => {
  const { pixels, count } = Images.fromFloats(new Float32Array([-1, 0, 0.5, 3]), 2, 1, 2);
  assert.equal(count, 2);
  assert.deepEqual([...pixels], [0, 128, 191, 255].flatMap((value) => [value, value, value]));
  refuses(() => Images.fromFloats(new Float32Array(8), 2, 1, 2), "data.length");
  refuses(() => Images.fromFloats(new Float32Array([0, 0, 0, NaN]), 2, 1, 2), "data[3]");
});

Deno.test("fromFloats refuses a value that is not finite, with its place", () => {
  refuses(() => Images.fromFloats(new Float32Array([0, 0, NaN]), 1, 1, 1), "data[2]");
  refuses(() => Images.fromFloats(new Float32Array([Infinity, 0, 0]), 1, 1, 1), "data[0]");
});

Deno.test("at() gives one image with its metadata", () => {
  const second = flat(3, 2, 2).at(1);
  assert.deepEqual([second.count, second.height, second.width], [1, 2, 2]);
  assert.deepEqual(red(second), [[10, 10], [10, 10]]);
  assert.deepEqual(second.metadata, [{ seed: 1, class: "cat" }]);
});

Deno.test("scaled() makes each pixel a square", () => {
  const image = new Images(new Uint8Array([1, 2, 3, 4, 5, 6]), 1, 1, 2).scaled(2);
  const row = [1, 2, 3, 1, 2, 3, 4, 5, 6, 4, 5, 6];
  assert.deepEqual([...image.pixels], [...row, ...row]);
  assert.deepEqual([image.height, image.width], [2, 4]);
  assert.equal(flat(3, 2, 2).scaled(3).count, 3);
});

Deno.test("grid() places images row by row with the gap between and around them", () => {
  const grid = flat(3, 1, 2).grid({ columns: 2, gap: 1 });
  const w = 255;
  assert.deepEqual(red(grid), [
    [w, w, w, w, w, w, w],
    [w, 0, 0, w, 10, 10, w],
    [w, w, w, w, w, w, w],
    [w, 20, 20, w, w, w, w],
    [w, w, w, w, w, w, w],
  ]);
  assert.equal(grid.pixels[(1 * 7 + 4) * 3 + 2], 12, "blue of the second image");
});

Deno.test("grid() scales images but not the gap", () => {
  const grid = flat(2, 1, 1).grid({ columns: 2, gap: 1, scale: 2 });
  const w = 255;
  const row = [w, 0, 0, w, 10, 10, w];
  assert.deepEqual(red(grid), [Array(7).fill(w), row, row, Array(7).fill(w)]);
});

Deno.test("grid() is as square as it can be by default, and no wider than its images", () => {
  assert.deepEqual([flat(16, 32, 32).grid().width, flat(16, 32, 32).grid().height], [138, 138]);
  assert.deepEqual([flat(5, 4, 4).grid({ gap: 0 }).width, flat(5, 4, 4).grid({ gap: 0 }).height], [12, 8]);
  assert.equal(flat(2, 4, 4).grid({ columns: 10, gap: 0 }).width, 8);
});

Deno.test("row labels stand left of their rows and leave the images as they are", () => {
  const labels = ["cat", "automobile"];
  const bare = flat(4, 32, 32).grid({ columns: 2 });
  const labelled = flat(4, 32, 32).grid({ columns: 2, rowLabels: labels });
  const room = labelled.width - bare.width;
  assert.equal(room, textWidth("automobile") + 6);
  assert.equal(labelled.height, bare.height);
  const rows = red(labelled);
  assert.deepEqual(rows.map((row) => row.slice(room)), red(bare));
  const ink = (top: number) =>
    rows.slice(top, top + 32).flatMap((row) => row.slice(0, room)).filter((v) => v === 0x22);
  assert.ok(
    ink(2).length > 10 && ink(36).length > ink(2).length,
    "both labels are drawn, the longer with more ink",
  );
  assert.ok(
    rows.every((row) => row.slice(0, room).every((value) => value === 255 || value === 0x22)),
    "crisp",
  );
});

Deno.test("a column grows for a label wider than its images, which stay centred", () => {
  const label = "automobile";
  const grid = flat(1, 9, 9).grid({ gap: 0, columnLabels: [label] });
  assert.equal(grid.width, textWidth(label));
  const last = red(grid).at(-1)!;
  assert.equal(last.indexOf(0), Math.floor((grid.width - 9) / 2));
  assert.equal(last.filter((value) => value === 0).length, 9);
});

Deno.test("labels that the font lacks letters for are drawn as boxes, accents dropped", () => {
  assert.equal(textWidth("é"), textWidth("e"));
  assert.equal(textWidth("模"), 5);
  assert.equal(textWidth(""), 0);
});

Deno.test("a grid's metadata keeps what its images agree on and lists the rest in order", async () => {
  const grid = flat(3, 2, 2).grid();
  assert.deepEqual(grid.metadata, [{ seed: "0, 1, 2", class: "cat" }]);
  const { text } = decodePng(await grid.png({ class: "all", model: "m" }));
  assert.deepEqual(text, { seed: "0, 1, 2", class: "all", model: "m" });
});

Deno.test("png() writes pixels and metadata, leaving out what is undefined", async () => {
  const image = new Images(new Uint8Array([1, 2, 3]), 1, 1, 1, [{ seed: 7, guidance: undefined }]);
  const { rgb, text } = decodePng(await image.png());
  assert.deepEqual([...rgb], [1, 2, 3]);
  assert.deepEqual(text, { seed: "7" });
});

Deno.test("png() of several images points to grid()", async () => {
  await assert.rejects(
    flat(2, 1, 1).png(),
    (error) => error instanceof ConfigError && /use grid\(\)/.test(error.message),
  );
});

Deno.test("concat() joins batches in order and refuses differing sizes", () => {
  const joined = Images.concat([flat(2, 1, 1), flat(1, 1, 1)]);
  assert.deepEqual(joined.metadata.map(({ seed }) => seed), [0, 1, 0]);
  assert.deepEqual([...joined.pixels], [0, 1, 2, 10, 11, 12, 0, 1, 2]);
  refuses(() => Images.concat([]), "batches.length");
  refuses(() => Images.concat([flat(1, 1, 1), flat(1, 2, 1)]), "batches[1]");
});

Deno.test("wrong arguments are refused by name", () => {
  const images = flat(4, 2, 2);
  refuses(() => new Images(new Uint8Array(0), 0, 1, 1), "count");
  refuses(() => new Images(new Uint8Array(3), 1, 0, 1), "height");
  refuses(() => new Images(new Uint8Array(3), 1, 1, NaN), "width");
  refuses(() => new Images(new Uint8Array(4), 1, 1, 1), "pixels.length");
  refuses(() => new Images(new Uint8Array(3), 1, 1, 1, []), "metadata.length");
  refuses(() => Images.fromFloats(new Float32Array(4), 1, 1, 1), "data.length");
  refuses(() => images.at(4), "index");
  refuses(() => images.at(-1), "index");
  refuses(() => images.scaled(17), "scale");
  refuses(() => images.grid({ scale: 0 }), "scale");
  refuses(() => images.grid({ columns: 0 }), "columns");
  refuses(() => images.grid({ columns: 1.5 }), "columns");
  refuses(() => images.grid({ gap: -1 }), "gap");
  refuses(() => images.grid({ columns: 2, rowLabels: ["one"] }), "rowLabels.length");
  refuses(() => images.grid({ columns: 2, columnLabels: ["a", "b", "c"] }), "columnLabels.length");
  refuses(() => flat(2, 1, 5000).grid({ columns: 2, scale: 16 }), "width");
});

Deno.test("a notebook shows one image as its PNG, a small one enlarged, several as a grid", async () => {
  const display = async (images: Images) => {
    const media = await images[JUPYTER_DISPLAY]();
    assert.deepEqual(Object.keys(media), ["image/png", "text/plain"]);
    const { width, height, rgb } = decodePng(Uint8Array.fromBase64(media["image/png"]));
    return { width, height, rgb, text: media["text/plain"] };
  };
  const wide = flat(1, 10, 65);
  assert.deepEqual(await display(wide), {
    width: 65,
    height: 10,
    rgb: wide.pixels,
    text: "image of 65 x 10",
  });
  const small = flat(1, 16, 32);
  const { pixels } = small.scaled(4);
  assert.deepEqual(await display(small), { width: 128, height: 64, rgb: pixels, text: "image of 32 x 16" });
  const several = flat(5, 2, 64); // three columns: 3 x 3 x 64 pixels would fit into 640, 4 x would not
  const grid = several.grid({ columns: 3, scale: 3 });
  assert.deepEqual(await display(several), {
    width: grid.width,
    height: grid.height,
    rgb: grid.pixels,
    text: "5 images of 64 x 2",
  });
  const many = await display(flat(250, 1, 50)); // 16 columns of 50 pixels are too wide already
  assert.equal(many.width, 16 * 50 + 17 * 2);
});

Deno.test("the display method has the name that Deno's Jupyter kernel calls", () => {
  assert.equal(JUPYTER_DISPLAY, Symbol.for("Jupyter.display"));
});
