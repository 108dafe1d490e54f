import assert from "node:assert/strict";
import type { DataProgress, ImageDataset } from "../../lib/data/dataset.ts";
import { loadImages, type LoadImagesOptions } from "../../lib/data/load_images.ts";
import { CONTAINERS, type Files, writeContainer } from "../support/image_trees.ts";
import { inFolder, makePng } from "../support/synthetic.ts";

const png = async (red: number, width = 8, height = width) =>
  Uint8Array.from(await makePng(width, height, () => [red, 20, 30]));
const [ONE, TWO, THREE, FOUR] = await Promise.all([10, 20, 30, 40].map((red) => png(red)));
const text = (value: string) => new TextEncoder().encode(value);
const utf16 = (value: string) =>
  new Uint8Array(Uint16Array.from(`\ufeff${value}`, (one) => one.charCodeAt(0)).buffer);

/** Loads files; notes go to `told`, without where the folder is. */
async function load(
  files: Files,
  options: LoadImagesOptions = {},
  container: typeof CONTAINERS[number] = "folder",
  told: string[] = [],
): Promise<ImageDataset> {
  let data: ImageDataset | undefined;
  await inFolder(async (folder) => {
    const onProgress = ({ message, total }: DataProgress) => {
      if (total === undefined) told.push(message.replaceAll(`${folder}/`, ""));
    };
    data = await loadImages(await writeContainer(folder, container, files), {
      size: 8,
      onProgress,
      ...options,
    });
  });
  return data!;
}

/** Red of each image's first pixel, by which tests know it. */
const reds = ({ images, count }: ImageDataset) => Array.from({ length: count }, (_, i) => images.range(i)[0]);

for (const container of CONTAINERS) {
  Deno.test(`loadImages: a ${container} with class folders, or with splits of them`, async () => {
    const told: string[] = [];
    const files = {
      "b/2.png": TWO,
      "a/1.png": ONE,
      "b/3": THREE,
      "b/Thumbs.db": text("x"),
      "__MACOSX/._a": ONE,
    };
    const data = await load(files, {}, container, told);
    assert.deepEqual([data.classes, [...data.labels], reds(data)], [["a", "b"], [0, 1, 1], [10, 20, 30]]);
    assert.equal(told.length, 1);
    assert.match(told[0]!, /^pets\S*: skipped 2 entries that are not images \(__MACOSX, b\/Thumbs\.db\)$/);
    const splits = {
      "train/a/1.png": ONE,
      "train/b/1.png": TWO,
      "val/b/1.png": THREE,
      "test/a/1.png": FOUR,
    };
    const train = await load(splits, {}, container);
    assert.deepEqual([reds(train), [...train.validation!]], [[10, 20, 30], [2]]);
    assert.deepEqual(reds(await load(splits, { split: "test" }, container)), [40]);
  });

  Deno.test(`loadImages: a ${container} of images without classes`, async () => {
    const data = await load({ "2.png": TWO, "1.png": ONE, "notes.txt": text("hello") }, {}, container);
    assert.deepEqual([data.classes, [...data.labels], reds(data)], [[], [0, 0], [10, 20]]);
  });

  Deno.test(`loadImages: a damaged image in a ${container} is named, and left out if asked for`, async () => {
    const files = {
      "a/1.png": ONE,
      "a/2.png": TWO.subarray(0, 40),
      "b/1.png": THREE,
      "b/2.png": text("nothing"),
    };
    await assert.rejects(load(files, {}, container), /^DataError: \S*pets\S*[/ ]a\/2\.png: a PNG cut short/);
    const told: string[] = [];
    const data = await load(files, { onBadFile: "skip" }, container, told);
    assert.deepEqual([reds(data), [...data.labels]], [[10, 30], [0, 1]]);
    assert.match(
      told.at(-1)!,
      /^left out 2 of 4 files, which cannot be read: .*a\/2\.png: .*; .*b\/2\.png: not an image/,
    );
  });
}

const LABELLED: [string, string, string][] = [
  [
    "metadata.jsonl",
    '{"file_name": "x/2.png", "label": "dog"}\n\n{"file_name": "1.png", "label": "cat", "text": "a cat"}\n',
    "label",
  ],
  ["labels.csv", 'file,label\nx/2.png,dog\n"1.png",cat\n', "label"],
  ["metadata.csv", "file_name;class\r\nx/2.png;dog\r\n1.png;cat\r\n", "class"],
  ["dataset.json", '{"labels": [["x/2.png", "dog"], ["1.png", "cat"]]}', "labels"],
];
for (const [name, content, column] of LABELLED) {
  Deno.test(`loadImages: classes by ${name}, in its order; images that it does not name are left out`, async () => {
    const files = { "1.png": ONE, "x/2.png": TWO, "x/3.png": THREE, [name]: text(content) };
    for (const container of ["folder", "zip", "tar.gz"] as const) {
      const told: string[] = [];
      const data = await load(files, {}, container, told);
      assert.deepEqual([data.classes, [...data.labels], reds(data)], [["cat", "dog"], [1, 0], [20, 10]]);
      assert.match(told[0]!, new RegExp(`^classes by the column ${column} of pets\\S*[/ ]${name}$`));
      assert.equal(told[1], "1 image without a label is left out (x/3.png)");
    }
  });
}

Deno.test("loadImages: numbers as labels keep their order, and a CSV needs no header or extension", async () => {
  const images = { "1.png": ONE, "2.png": TWO, "3.png": THREE };
  const json = await load({
    ...images,
    "dataset.json": text('{"labels":[["1.png",10],["2.png",9],["3.png",2]]}'),
  });
  assert.deepEqual([json.classes, [...json.labels]], [["2", "9", "10"], [2, 1, 0]]);
  const bare = await load({ ...images, "labels.csv": text("1.png,b\n2.png,a\n3.png,a\n") });
  assert.deepEqual([bare.classes, [...bare.labels]], [["a", "b"], [1, 0, 0]]);
  const ids = await load({ ...images, "labels.csv": text("id,label\n1,b\n3,a\n2,a\n") });
  assert.deepEqual([ids.classes, reds(ids)], [["a", "b"], [10, 30, 20]]);
});

const DELIMITED: readonly [what: string, csv: Uint8Array<ArrayBuffer>, classes: string[]][] = [
  ["a semicolon in a class name", text("file,label\n1.png,red; light\n2.png,red; dark\n"), [
    "red; dark",
    "red; light",
  ]],
  ["a comma in a class name", text("file;label\n1.png;red, light\n2.png;red, dark\n"), [
    "red, dark",
    "red, light",
  ]],
  ["tabs", text("file\tlabel\n1.png\tb, c\n2.png\ta\n"), ["a", "b, c"]],
  [
    "quotes, a mark and CRLF",
    text('\ufeff"file","a, b","label"\r\n"1.png","x;y","b"\r\n"2.png","","a"\r\n'),
    ["a", "b"],
  ],
  ["empty columns at the end of rows", text("1.png,b,,\n2.png,a,,\n"), ["a", "b"]],
  ["numbers as pandas writes them", text("file,label\n1.png,10.0\n2.png,9.0\n3.png,\n"), ["9", "10"]],
  ["versions, which are no such numbers", text("file,label\n1.png,1.5\n2.png,1.0\n"), ["1.0", "1.5"]],
  ["UTF-16", utf16("file,label\n1.png,b\n2.png,a\n"), ["a", "b"]],
];
for (const [what, csv, classes] of DELIMITED) {
  Deno.test(`loadImages: labels.csv with ${what}`, async () => {
    const images = { "1.png": ONE, "2.png": TWO, "3.png": THREE };
    const data = await load({ ...images, "labels.csv": csv });
    assert.deepEqual([data.classes, [...data.labels], reds(data)], [classes, [1, 0], [10, 20]]);
  });
}

Deno.test("loadImages: names in a label file may be composed where the files' are not", async () => {
  const files = { "cafe\u0301.png": ONE, "\u00e9te\u0301.png": TWO };
  const data = await load({ ...files, "labels.csv": text("caf\u00e9.png,b\n\u00e9t\u00e9,a\n") }, {}, "zip");
  assert.deepEqual([data.classes, reds(data)], [["a", "b"], [10, 20]]);
});

Deno.test("loadImages: dataset.json without labels means no classes, whatever folders the images are in", async () => {
  const told: string[] = [];
  const files = { "00000/1.png": ONE, "00001/2.png": TWO, "dataset.json": text('{"labels":null}') };
  const data = await load(files, {}, "zip", told);
  assert.deepEqual([data.classes, [...data.labels], reds(data)], [[], [0, 0], [10, 20]]);
  assert.match(told[0]!, /^no classes, as pets\.zip: dataset\.json says$/);
});

Deno.test("loadImages: a label file of each split, and one for all of them", async () => {
  const images = { "train/1.png": ONE, "train/2.png": TWO, "val/1.png": THREE };
  const own = await load({
    ...images,
    "train/metadata.jsonl": text('{"file_name":"1.png","label":"a"}\n{"file_name":"2.png","label":"b"}'),
    "val/metadata.jsonl": text('{"file_name":"1.png","label":"b"}'),
  });
  assert.deepEqual([own.classes, [...own.labels], [...own.validation!]], [["a", "b"], [0, 1, 1], [2]]);
  const all = await load({
    ...images,
    "labels.csv": text("file,label\nval/1.png,b\ntrain/1.png,a\ntrain/2.png,b"),
  });
  assert.deepEqual([all.digest, all.classes], [own.digest, own.classes]);
});

Deno.test("loadImages: --label-column chooses, and a file without labels leaves the folders", async () => {
  const files = {
    "a/1.png": ONE,
    "b/2.png": TWO,
    "metadata.jsonl": text(
      '{"file_name":"a/1.png","text":"x","hue":"z"}\n{"file_name":"b/2.png","text":"y","hue":"y"}',
    ),
  };
  const told: string[] = [];
  assert.deepEqual((await load(files, {}, "folder", told)).classes, ["a", "b"]);
  assert.match(told.join(), /metadata\.jsonl has no labels \(a column label, class, /);
  assert.deepEqual((await load(files, { labelColumn: "hue" })).classes, ["y", "z"]);
  await assert.rejects(
    load(files, { labelColumn: "hu" }),
    /metadata\.jsonl: no column hu; expected one of file_name, text, hue$/,
  );
  await assert.rejects(
    load({ "a/1.png": ONE }, { labelColumn: "hue" }),
    /no label file with a column hue; expected metadata\.jsonl,/,
  );
});

const WRONG: [string, Files, RegExp][] = [
  [
    "an image that is missing",
    { "labels.csv": text("file,label\n9.png,a") },
    /labels\.csv: line 2: 9\.png: no such image$/,
  ],
  [
    "two classes of one image",
    { "labels.csv": text("file,label\n1.png,a\n1.png,b") },
    /labels\.csv: line 3: 1\.png has the class b, and a before$/,
  ],
  [
    "no column of images",
    { "labels.csv": text("colour,label\nred,a") },
    /line 1: expected a column file_name or .*, found colour, label$/,
  ],
  [
    "a line without an image",
    { "labels.csv": text("label,file\na,1.png\nb,\n") },
    /labels\.csv: line 3: no image in column file$/,
  ],
  [
    "a line that is no JSON",
    { "metadata.jsonl": text('{"file_name":"1.png","label":"a"}\n{"file_name":') },
    /metadata\.jsonl: line 2: /,
  ],
  [
    "a label of a list",
    { "dataset.json": text('{"labels":[["1.png",[0,1]]]}') },
    /dataset\.json: labels\[0\]: the label is \[0,1\], expected a text or a whole number$/,
  ],
  [
    "a keyword as a class",
    { "labels.csv": text("file,label\n1.png,Any") },
    /labels\.csv: line 2: all, any and none are keywords/,
  ],
  [
    "a text in Latin-1",
    { "labels.csv": Uint8Array.of(0x66, 0xe9, 0x2c) },
    /labels\.csv: not a text in UTF-8; /,
  ],
  [
    "a value too many",
    { "labels.csv": text("file,label\n1.png,red, light") },
    /labels\.csv: line 2: expected 2 values, found 3; /,
  ],
  [
    "no label of any image",
    { "labels.csv": text("file,label\n1.png,\n") },
    /labels\.csv: no image has a label$/,
  ],
];
for (const [what, files, message] of WRONG) {
  Deno.test(`loadImages: a label file with ${what} is refused with the place`, async () => {
    await assert.rejects(load({ "1.png": ONE, ...files }), (error) => {
      assert.match(String(error), /^DataError: /);
      assert.match(String(error), message);
      return true;
    });
  });
}

Deno.test("loadImages: size, fit, channels and background", async () => {
  const wide = { "a.png": Uint8Array.from(await makePng(16, 8, (x) => [x < 8 ? 200 : 100, 0, 0])) };
  const row = ({ images, width, channels }: ImageDataset) =>
    Array.from({ length: width }, (_, x) => images.range()[channels * (4 * width + x)]);
  assert.deepEqual(row(await load(wide)), [...Array(4).fill(200), ...Array(4).fill(100)]);
  assert.deepEqual(row(await load(wide, { size: [8, 16] })), [...Array(8).fill(200), ...Array(8).fill(100)]);
  const padded = await load(wide, { fit: "pad", background: [7, 8, 9] });
  assert.deepEqual([...padded.images.range().subarray(0, 6)], [7, 8, 9, 7, 8, 9]);
  assert.deepEqual(row(padded), [200, 200, 200, 200, 100, 100, 100, 100]);
  assert.deepEqual(row(await load(wide, { fit: "squash" })), [200, 200, 200, 200, 100, 100, 100, 100]);
  const grey = await load(wide, { channels: 1 });
  assert.deepEqual([grey.channels, grey.images.bytesPerImage], [1, 64]);
  assert.deepEqual(row(grey), [60, 60, 60, 60, 30, 30, 30, 30]); // 0.299 of red
  const clear = { "a.png": Uint8Array.from(await makePng(8, 8, () => [0, 100, 0, 51])) };
  const told: string[] = [];
  assert.deepEqual([
    ...(await load(clear, { background: [255, 0, 0] }, "folder", told)).images.range().subarray(0, 3),
  ], [204, 20, 0]);
  assert.deepEqual(told, ["converted images: 1 with transparency (put on #ff0000)"]);
  const options: LoadImagesOptions[] = [
    { size: 3 },
    { size: [8, 2000] },
    { fit: "fill" as never },
    { channels: 2 as never },
    { background: [0, 0, 256] },
  ];
  for (const option of options) {
    await assert.rejects(
      load(wide, option),
      new RegExp(`^ConfigError: ${Object.keys(option)[0]}: expected `),
    );
  }
});

Deno.test("loadImages: an archive that is none, or of another kind, is named", async () => {
  await inFolder(async (folder) => {
    const cases: [Uint8Array, RegExp][] = [
      [text("hello"), /x: not an archive; expected a folder, or a zip, tar or tar\.gz archive$/],
      [Uint8Array.of(0x42, 0x5a, 0x68, 0x39), /x: compressed by bzip2; expected/],
      [Uint8Array.of(0x37, 0x7a, 0xbc, 0xaf, 0x27, 0x1c), /x: a 7z archive; expected/],
      [Uint8Array.of(0x50, 0x4b, 3, 4, 0, 0), /x: a damaged zip file: /],
      [Uint8Array.of(0x1f, 0x8b, 8, 0, 0), /x: damaged or cut short after its beginning: /],
    ];
    for (const [bytes, message] of cases) {
      await Deno.writeFile(`${folder}/x`, bytes);
      await assert.rejects(loadImages(`${folder}/x`), message);
    }
    await assert.rejects(
      loadImages(`${folder}/y`),
      /y: no such file or folder; expected a folder or an archive/,
    );
  });
});
