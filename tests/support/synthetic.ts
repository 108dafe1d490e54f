/** Small synthetic data in the formats that the readers accept. */

import { packTar } from "modern-tar";
import type { TarEntry } from "modern-tar";
import { Image } from "imagescript";

/** Bytes of an image: three planes of 32 x 32. */
export const IMAGE_BYTES = 3072;

/** Names of the training batches, without extension. */
export const TRAIN_BATCHES: readonly string[] = [1, 2, 3, 4, 5].map((n) => `data_batch_${n}`);

/** Planes of `records` images whose bytes differ from image to image, plane to plane and batch to batch. */
export function makePlanes(records: number, salt = 0): Uint8Array<ArrayBuffer> {
  return Uint8Array.from({ length: records * IMAGE_BYTES }, (_, i) => i * 31 + (i >> 8) + salt);
}

/** Interleaves planes to `[records, 32, 32, 3]`. */
export function toPixels(planes: Uint8Array): Uint8Array {
  return planes.map((_, i) => {
    const record = Math.floor(i / IMAGE_BYTES);
    const pixel = Math.floor(i % IMAGE_BYTES / 3);
    return planes[record * IMAGE_BYTES + (i % 3) * 1024 + pixel];
  });
}

/** A batch file of the binary version of CIFAR-10. */
export function makeRecords(labels: readonly number[], planes: Uint8Array): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(labels.length * (1 + IMAGE_BYTES));
  for (const [record, label] of labels.entries()) {
    bytes[record * (1 + IMAGE_BYTES)] = label;
    const image = planes.subarray(record * IMAGE_BYTES, (record + 1) * IMAGE_BYTES);
    bytes.set(image, record * (1 + IMAGE_BYTES) + 1);
  }
  return bytes;
}

/** A batch file of the Python version of CIFAR-10, with the opcodes that Python 2 wrote. */
export function makePickle(
  labels: readonly number[],
  planes: Uint8Array,
  names: readonly string[] = [],
): Uint8Array<ArrayBuffer> {
  const out: number[] = [0x80, 2];
  let memo = 0;
  const text = (value: string) => [...value].map((letter) => letter.charCodeAt(0));
  const put = () => memo < 256 ? [0x71, memo++] : [0x72, memo & 255, memo++ >> 8, 0, 0];
  const string = (value: string, memoize = true) => {
    out.push(0x55, value.length, ...text(value), ...(memoize ? put() : []));
  };
  const global = (module: string, name: string) => out.push(...text(`c${module}\n${name}\n`), ...put());
  const list = (items: readonly unknown[], write: (i: number) => void) => {
    out.push(0x5d, ...put());
    if (items.length === 0) return;
    out.push(0x28);
    for (const i of items.keys()) write(i);
    out.push(0x65);
  };
  const short = (value: number) => value < 256 ? [0x4b, value] : [0x4d, value & 255, value >> 8];

  out.push(0x7d, ...put(), 0x28);
  string("batch_label");
  string("training batch 1 of 5");
  string("labels");
  list(labels, (i) => out.push(0x4b, labels[i]));
  string("data");
  global("numpy.core.multiarray", "_reconstruct");
  global("numpy", "ndarray");
  out.push(0x4b, 0, 0x85, ...put());
  string("b");
  out.push(0x87, ...put(), 0x52, ...put(), 0x28, 0x4b, 1);
  out.push(...short(planes.length / IMAGE_BYTES), ...short(IMAGE_BYTES), 0x86, ...put());
  global("numpy", "dtype");
  string("u1");
  out.push(0x89, 0x88, 0x87, ...put(), 0x52, ...put(), 0x28, 0x4b, 3);
  string("|");
  out.push(
    0x4e,
    0x4e,
    0x4e,
    0x4a,
    255,
    255,
    255,
    255,
    0x4a,
    255,
    255,
    255,
    255,
    0x4b,
    0,
    0x74,
    ...put(),
    0x62,
  );
  const length = new Uint8Array(Uint32Array.of(planes.length).buffer);
  out.push(0x89, 0x54, ...length);
  for (const byte of planes) out.push(byte);
  out.push(...put(), 0x74, ...put(), 0x62);
  string("filenames");
  list(names, (i) => string(names[i]));
  out.push(0x75, 0x2e);
  return Uint8Array.from(out);
}

/** A gzipped tar archive. */
export async function makeTarGz(entries: TarEntry[]): Promise<Uint8Array<ArrayBuffer>> {
  const tar = await packTar(entries);
  const stream = new Blob([tar]).stream().pipeThrough(new CompressionStream("gzip"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

/** A file in an archive. */
export function member(name: string, body: Uint8Array<ArrayBuffer>): TarEntry {
  return { header: { name, size: body.length, type: "file", mtime: new Date(0) }, body };
}

/** A PNG whose pixel (x, y) is `color(x, y)`: red, green, blue and optionally alpha. */
export async function makePng(
  width: number,
  height: number,
  color: (x: number, y: number) => readonly number[],
): Promise<Uint8Array> {
  const image = new Image(width, height);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) image.bitmap.set([...color(x, y), 255].slice(0, 4), (y * width + x) * 4);
  }
  return await image.encode();
}

/** Runs a test in a temporary folder. */
export async function inFolder(test: (folder: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "denoise-data-" });
  try {
    await test(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** Writes files, and creates their folders. */
export async function writeFiles(folder: string, files: Readonly<Record<string, Uint8Array>>): Promise<void> {
  for (const [name, bytes] of Object.entries(files)) {
    const path = `${folder}/${name}`;
    await Deno.mkdir(path.slice(0, path.lastIndexOf("/")), { recursive: true });
    await Deno.writeFile(path, bytes);
  }
}
