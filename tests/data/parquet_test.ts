import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { loadImages, type LoadImagesOptions } from "../../lib/data/load_images.ts";
import { inFolder } from "../support/synthetic.ts";
import { zipOf } from "../support/torch_files.ts";

const FOLDER = fileURLToPath(new URL("fixtures/parquet", import.meta.url));
const LABELS = fileURLToPath(new URL("fixtures/labels.parquet", import.meta.url));
const FIRST = `${FOLDER}/train-00000-of-00002.parquet`;

async function load(path: string, options: LoadImagesOptions = {}, told: string[] = []) {
  const onProgress = ({ message, total }: { message: string; total?: number }) => {
    if (total === undefined) told.push(message);
  };
  const data = await loadImages(path, { size: 8, onProgress, ...options });
  const reds = Array.from({ length: data.count }, (_, i) => data.images.range(i)[0]);
  return { ...data, reds };
}

Deno.test("Parquet files of the hub are read by split, in every compression, classes in the order of their names", async () => {
  const told: string[] = [];
  const train = await load(FOLDER, {}, told);
  assert.deepEqual([train.classes, [...train.labels]], [["dog", "cat"], [1, 0, 1, 0]]);
  assert.deepEqual([train.reds, [...train.validation!]], [[10, 20, 40, 50], [3]]);
  assert.deepEqual(told, ["1 image without a label is left out"]);
  const test = await load(FOLDER, { split: "test" });
  assert.deepEqual([test.classes, test.reds, [...test.labels]], [["dog", "cat"], [60], [0]]);
});

Deno.test("one Parquet file is read, and its classes from another column", async () => {
  const words = await load(FIRST, { labelColumn: "word" });
  assert.deepEqual([words.classes, words.reds, [...words.labels]], [["a", "b"], [10, 20, 30], [0, 1, 0]]);
  await assert.rejects(
    load(FIRST, { labelColumn: "words" }),
    /of-00002\.parquet: no column words; expected one of image, label, word$/,
  );
  await assert.rejects(
    load(FIRST, { split: "test" }),
    /no test images: expected Parquet files, or folders of them, called train and test$/,
  );
});

const NAMES: readonly [what: string, names: readonly string[]][] = [
  ["in folders called train, test, …", ["train/0000", "train/0001", "validation/0000", "test/0000"]],
  ["with the split in the middle of their names", [
    "pets-train-0",
    "pets-train-1",
    "pets.val.0",
    "pets_test",
  ]],
];
for (const [what, names] of NAMES) {
  Deno.test(`Parquet files ${what} are of those splits, and others of none`, async () => {
    await inFolder(async (folder) => {
      const told: string[] = [];
      const hub = [
        "train-00000-of-00002",
        "train-00001-of-00002",
        "validation-00000-of-00001",
        "test-00000-of-00001",
      ];
      for (const [i, name] of [...names, "unlabelled"].entries()) {
        const path = `${folder}/hub/${name}.parquet`;
        await Deno.mkdir(path.slice(0, path.lastIndexOf("/")), { recursive: true });
        await Deno.copyFile(`${FOLDER}/${hub[i % hub.length]}.parquet`, path);
      }
      const train = await load(`${folder}/hub`, {}, told);
      assert.deepEqual([train.reds, [...train.validation!]], [[10, 20, 40, 50], [3]]);
      assert.match(told[0]!, /: left out 1 Parquet file of no split$/);
      assert.deepEqual((await load(`${folder}/hub`, { split: "test" })).reds, [60]);
    });
  });
}

Deno.test("labels of a Parquet file are texts, bytes of texts, truths or whole numbers; others are refused", async () => {
  const skip = (labelColumn: string, told?: string[]) =>
    load(LABELS, { labelColumn, onBadFile: "skip" }, told);
  const kinds: [column: string, classes: string[], labels: number[], reds: number[]][] = [
    ["bytes", ["a", "b"], [1, 0], [10, 40]],
    ["whole", ["9", "10"], [1], [10]],
    ["truth", ["false", "true"], [1, 0], [10, 40]],
  ];
  for (const [column, ...expected] of kinds) {
    const { classes, labels, reds } = await skip(column);
    assert.deepEqual([classes, [...labels], reds], expected, column);
  }
  const refused = {
    measure: "row 0: the label is 0\\.5",
    list: "row 0: .* is a list",
    record: "row 0: .* is a record",
  };
  for (const [column, message] of Object.entries(refused)) {
    await assert.rejects(
      skip(column),
      new RegExp(`labels\\.parquet: ${message}, expected a text or a whole number$`),
    );
  }
  await assert.rejects(skip("far"), /row 3: the label is 2, expected one of the 2 classes, or -1$/);
});

Deno.test("rows without an image are named, or left out", async () => {
  const told: string[] = [];
  assert.deepEqual((await load(LABELS, { onBadFile: "skip" }, told)).reds, [10, 40]);
  assert.match(told[0]!, /^left out 2 of 4 files, .*: row 1: expected an image's bytes; .*: row 2: expected/);
  await assert.rejects(
    load(LABELS),
    /labels\.parquet: row 1: expected an image's bytes; files outside .* leaves/,
  );
});

Deno.test(
  "more Parquet files than a process may open are read",
  { ignore: Deno.build.os === "windows" },
  async () => {
    await inFolder(async (folder) => {
      const parts = Array.from({ length: 40 }, (_, i) => `${folder}/${i}.parquet`);
      for (const part of parts) await Deno.copyFile(FIRST, part);
      const script = new URL("../support/load_images.ts", import.meta.url);
      const { code, stderr } = await new Deno.Command("sh", {
        args: ["-c", 'ulimit -n 40; exec "$@"', "sh", Deno.execPath(), "run", "-A", script.href, folder],
      }).output();
      assert.equal(code, 0, new TextDecoder().decode(stderr));
    });
  },
);

Deno.test("a Git LFS pointer in the place of a Parquet file or an archive is called so, and Parquet in an archive", async () => {
  await inFolder(async (folder) => {
    for (const name of ["hub/train-0.parquet", "pets.zip"]) {
      const path = `${folder}/${name}`;
      await Deno.mkdir(`${folder}/hub`, { recursive: true });
      await Deno.writeTextFile(path, "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n");
      await assert.rejects(
        load(name === "pets.zip" ? path : `${folder}/hub`),
        new RegExp(`${name}: a Git LFS pointer, not the file itself \\(fetch it with: git lfs pull\\)`),
      );
    }
    await Deno.writeFile(`${folder}/pets.zip`, zipOf({ "data/train-0.parquet": await Deno.readFile(FIRST) }));
    await assert.rejects(
      load(`${folder}/pets.zip`),
      /pets\.zip: data\/train-0\.parquet: Parquet files are not read from archives; unpack it$/,
    );
  });
});

Deno.test("a damaged Parquet file is named, wherever it is damaged", async () => {
  const bytes = await Deno.readFile(FIRST);
  await inFolder(async (folder) => {
    const path = `${folder}/x.parquet`;
    for (const at of [10, 60, bytes.length - 30, bytes.length - 6]) {
      const copy = bytes.slice();
      copy.fill(0xff, at, at + 12);
      await Deno.writeFile(path, copy);
      await assert.rejects(load(path), /^DataError: .*x\.parquet/, `byte ${at}`);
    }
    for (const length of [3, 5, 12, bytes.length - 1]) {
      await Deno.writeFile(path, bytes.subarray(0, length));
      await assert.rejects(load(path), /^DataError: .*x\.parquet/, `${length} bytes`);
    }
  });
});

Deno.test("images of Parquet files are decoded once, and again if one of the files has changed", async () => {
  await inFolder(async (folder) => {
    const path = `${folder}/hub`;
    await Deno.mkdir(path);
    for (const { name } of Deno.readDirSync(FOLDER)) {
      if (name.endsWith(".parquet")) await Deno.copyFile(`${FOLDER}/${name}`, `${path}/${name}`);
    }
    const first = await load(FOLDER);
    for (
      const [note, change] of [[/^decoded images are kept in/], [/: decoded before, read from/], [
        /anew$/,
        true,
      ]] as const
    ) {
      const changed = `${path}/train-00000-of-00002.parquet`;
      if (change) await Deno.utime(changed, new Date(), new Date("2020-02-20"));
      const told: string[] = [];
      const data = await load(path, { cache: `${folder}/cache` }, told);
      assert.deepEqual([data.digest, data.reds], [first.digest, first.reds]);
      assert.ok(told.some((message) => note.test(message)), told.join("\n"));
      data.images.close();
    }
  });
});
