import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { deflateRawSync } from "node:zlib";
import type { TarEntry } from "modern-tar";
import { cifar10 } from "../../lib/data/cifar10.ts";
import type { DataProgress } from "../../lib/data/dataset.ts";
import {
  inFolder,
  makePickle,
  makePlanes,
  makeRecords,
  makeTarGz,
  member,
  toPixels,
  TRAIN_BATCHES,
} from "../support/synthetic.ts";

const LABELS = [3, 0, 9];

/** Entries like the official ones, not in the order of their numbers, as in the official archives. */
function entries(version: "binary" | "python"): TarEntry[] {
  const folder = `cifar-10-batches-${version === "binary" ? "bin" : "py"}/`;
  const extension = version === "binary" ? ".bin" : "";
  const make = version === "binary" ? makeRecords : makePickle;
  const batches = [4, 5, 1, 3, 2].map((n) => {
    return member(`${folder}data_batch_${n}${extension}`, make(LABELS, makePlanes(LABELS.length, n)));
  });
  return [
    { header: { name: folder, size: 0, type: "directory" } },
    ...batches.slice(0, 1),
    member(`${folder}readme.html`, new TextEncoder().encode("<html>")),
    member(`${folder}test_batch${extension}`, make([7], makePlanes(1, 99))),
    member(
      `${folder}batches.meta${version === "binary" ? ".txt" : ""}`,
      new TextEncoder().encode("airplane"),
    ),
    ...batches.slice(1),
  ];
}

async function readArchive(archive: Uint8Array, split: "train" | "test" = "train", official = false) {
  let result: Awaited<ReturnType<typeof cifar10>> | undefined;
  const events: DataProgress[] = [];
  await inFolder(async (folder) => {
    const data = `${folder}/a.tar.gz`;
    await Deno.writeFile(data, archive);
    result = await cifar10({ data, split, official, onProgress: (event) => events.push(event) });
  });
  return { data: result!, events };
}

function rejects(
  archive: Uint8Array | Promise<Uint8Array>,
  message: RegExp,
  official = false,
): Promise<void> {
  return assert.rejects(async () => await readArchive(await archive, "train", official), (error) => {
    assert.match(String(error), /^DataError: .*a\.tar\.gz: /);
    assert.match(String(error), message);
    return true;
  });
}

for (const version of ["binary", "python"] as const) {
  Deno.test(`cifar10: reads an archive of the ${version} version, batches by number`, async () => {
    const { data, events } = await readArchive(await makeTarGz(entries(version)));
    assert.equal(data.count, 15);
    assert.deepEqual([...data.labels], [LABELS, LABELS, LABELS, LABELS, LABELS].flat());
    for (const n of TRAIN_BATCHES.keys()) {
      const batch = data.images.range().subarray(n * 3 * 3072, (n + 1) * 3 * 3072);
      assert.deepEqual(batch, toPixels(makePlanes(3, n + 1)), `batch ${n + 1}`);
    }
    assert.deepEqual(events.map(({ done, total }) => `${done}/${total}`), [
      "0/5",
      "1/5",
      "2/5",
      "3/5",
      "4/5",
    ]);
  });

  Deno.test(`cifar10: the test split of the ${version} version is its test batch`, async () => {
    const { data } = await readArchive(await makeTarGz(entries(version)), "test");
    assert.deepEqual([...data.labels], [7]);
    assert.deepEqual(data.images.range(), toPixels(makePlanes(1, 99)));
  });
}

Deno.test("cifar10: an archive that is not the official one is refused with both checksums", async () => {
  const official = /expected MD5 c32a1d4ab5d03f1284b67883e8d87530 .* or c58f30108f718f92721af3b95e74349a .*/;
  const archive = await makeTarGz(entries("binary"));
  await rejects(archive, official, true);
  await rejects(archive, new RegExp(`found [0-9a-f]{32} \\(${archive.length} bytes\\)`), true);
});

Deno.test("cifar10: an archive cut short anywhere is refused", async () => {
  const archive = await makeTarGz(entries("binary"));
  await rejects(
    archive.subarray(0, 0),
    /an empty file; expected a folder, or a zip, tar or tar\.gz archive$/,
  );
  for (const part of [0.02, 0.1, 0.5, 0.9, 0.999]) {
    await rejects(archive.subarray(0, Math.floor(part * archive.length)), /cut short/);
  }
});

Deno.test("cifar10: an archive whose tar is cut short inside the gzip names member and position", async () => {
  const tar = new Uint8Array(
    await new Response(
      new Blob([await makeTarGz(entries("binary"))]).stream().pipeThrough(new DecompressionStream("gzip")),
    ).arrayBuffer(),
  );
  const cut = new Blob([tar.subarray(0, 512 + 512 + 5000)]).stream().pipeThrough(
    new CompressionStream("gzip"),
  );
  const archive = new Uint8Array(await new Response(cut).arrayBuffer());
  await rejects(archive, /data_batch_4\.bin: cut short after \d+ of 9219 bytes/);
});

Deno.test("cifar10: a bit flipped in an archive is never read as data", async () => {
  const archive = await makeTarGz(entries("binary"));
  for (const part of [0.05, 0.3, 0.7, 0.98]) {
    const damaged = archive.slice();
    damaged[Math.floor(part * damaged.length)] ^= 0x10;
    await rejects(damaged, /./);
  }
});

Deno.test("cifar10: a file that is no archive is refused", async () => {
  await rejects(new TextEncoder().encode("<html>404 Not Found</html>"), /not an archive; expected/);
});

Deno.test("cifar10: a missing batch is named", async () => {
  const without = entries("binary").filter(({ header }) => !/data_batch_[35]/.test(header.name));
  await rejects(makeTarGz(without), /missing data_batch_3, data_batch_5$/);
  await rejects(makeTarGz([]), /, or CIFAR-10's batch files; found none$/);
});

/** Members that must be refused beside otherwise good ones. */
const INTRUDERS: [string, TarEntry["header"], RegExp][] = [
  [
    "a path with ..",
    { name: "../data_batch_1.bin", size: 1 },
    /"\.\.\/data_batch_1\.bin": expected a path inside/,
  ],
  ["a .. further in", { name: "a/../../data_batch_1.bin", size: 1 }, /expected a path inside/],
  [
    "a .. with backslashes",
    { name: "a\\..\\data_batch_1.bin", size: 1 },
    /expected a path inside/,
  ],
  ["an absolute path", { name: "/etc/data_batch_1.bin", size: 1 }, /expected a path inside/],
  ["a drive letter", { name: "C:\\data_batch_1.bin", size: 1 }, /expected a path inside/],
  ["a folder outside", { name: "../x/", size: 0, type: "directory" }, /expected a path inside/],
  [
    "a symbolic link",
    { name: "test_batch.bin", size: 0, type: "symlink", linkname: "/etc/passwd" },
    /a symlink, expected only files and folders/,
  ],
  [
    "a hard link",
    { name: "test_batch.bin", size: 0, type: "link", linkname: "x" },
    /a link, expected only files/,
  ],
  ["another file", { name: "x/run.sh", size: 1 }, /"x\/run\.sh": not one of CIFAR-10's files/],
  ["a sixth batch", { name: "x/data_batch_6.bin", size: 1 }, /not one of CIFAR-10's files/],
];

for (const [what, header, message] of INTRUDERS) {
  Deno.test(`cifar10: an archive with ${what} is refused`, async () => {
    const body = new Uint8Array(header.size);
    await rejects(makeTarGz([...entries("binary"), { header, body }]), message);
  });
}

Deno.test("cifar10: a batch that occurs twice is refused with both names", async () => {
  const [, first] = entries("binary");
  const again = { ...first, header: { ...first.header, name: "other/data_batch_4.bin" } };
  await rejects(
    makeTarGz([...entries("binary"), again]),
    /other\/data_batch_4\.bin: this batch was already read from .*-bin\/data_batch_4\.bin$/,
  );
});

/** A tar header of a file. */
function tarHeader(name: string, size: number): Uint8Array {
  const header = new Uint8Array(512);
  const put = (at: number, text: string) => header.set(new TextEncoder().encode(text), at);
  put(0, name);
  put(124, `${size.toString(8).padStart(11, "0")}\0`);
  put(156, "0");
  put(257, "ustar\x0000");
  put(148, "        ");
  const sum = header.reduce((total, byte) => total + byte, 0);
  put(148, `${sum.toString(8).padStart(6, "0")}\0 `);
  return header;
}

Deno.test("cifar10: a size that no batch can have is refused before anything is allocated", async () => {
  const tar = new Uint8Array(2048);
  tar.set(tarHeader("data_batch_1.bin", 2 ** 33 - 1));
  const gzip = new Blob([tar]).stream().pipeThrough(new CompressionStream("gzip"));
  await rejects(new Uint8Array(await new Response(gzip).arrayBuffer()), /a size of 8589934591 bytes/);
});

Deno.test("cifar10: an archive that inflates to gigabytes is refused after 512 MiB", async () => {
  const mebibytes = 255;
  const readme = tarHeader("cifar-10-batches-bin/readme.html", mebibytes * 2 ** 20);
  const flushed = (bytes: Uint8Array) => deflateRawSync(bytes, { finishFlush: 3 }); // Z_FULL_FLUSH
  const zeros = flushed(new Uint8Array(2 ** 20));
  const file = [flushed(readme), ...new Array(mebibytes).fill(zeros)];
  const gzipHeader = Uint8Array.of(0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255);
  const bomb = Buffer.concat([gzipHeader, ...file, ...file, ...file, ...file]);
  assert.ok(bomb.length < 2 ** 21);
  await rejects(new Uint8Array(bomb), /a\.tar\.gz: inflates to more than 536870912 bytes$/);
});
