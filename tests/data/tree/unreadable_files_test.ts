import assert from "node:assert/strict";
import type { DataProgress } from "../../../lib/data/dataset.ts";
import { loadImages, type LoadImagesOptions } from "../../../lib/data/load_images.ts";
import { inFolder, makePng, writeFiles } from "../../support/synthetic.ts";
import { zipOf } from "../../support/torch_files.ts";

const picture = async (red: number) => new Uint8Array(await makePng(8, 8, () => [red, 0, 0]));
const [ONE, TWO, THREE] = await Promise.all([picture(10), picture(20), picture(30)]);

/** Loads images, and gives the red of each. */
async function load(path: string, options: LoadImagesOptions, told: string[] = []): Promise<number[]> {
  const onProgress = ({ message, total }: DataProgress) => {
    if (total === undefined) told.push(message);
  };
  const { images, count } = await loadImages(path, { size: 8, onProgress, ...options });
  return Array.from({ length: count }, (_, i) => images.range(i)[0]!);
}

/** A file that cannot be read ends the run by default, and is left out of the others if asked for. */
async function isNamedOrSkipped(path: string, file: string, why: string) {
  const message = `${file}: ${why}`;
  await assert.rejects(load(path, {}), (error) => {
    assert.ok(
      String(error).endsWith(`${message} (\`onBadFile: "skip"\` leaves such files out)`),
      String(error),
    );
    return true;
  });
  const told: string[] = [];
  assert.deepEqual(await load(path, { onBadFile: "skip" }, told), [10, 30]);
  assert.ok(told[0]!.startsWith("left out 1 of 3 files, which cannot be read: "), told[0]);
  assert.ok(told[0]!.endsWith(message), told[0]);
}

/** Changes a stored zip of three images in the place of the second one's local or central header, or after it. */
async function changed(
  signature: number,
  change: (zip: DataView, second: number) => void,
): Promise<Uint8Array<ArrayBuffer>> {
  const zip = zipOf({ "1.png": ONE, "2.png": TWO, "3.png": THREE });
  const view = new DataView(zip.buffer);
  const at = Array.from({ length: zip.length - 4 }, (_, i) => i)
    .filter((i) => view.getUint32(i, true) === signature);
  change(view, at[1]!);
  return await Promise.resolve(zip);
}

const LOCAL = 0x04034b50;
const CENTRAL = 0x02014b50;
const CHANGES: readonly [what: string, why: string, zip: Promise<Uint8Array<ArrayBuffer>>][] = [
  [
    "with a bit changed",
    "damaged: its checksum is wrong",
    changed(LOCAL, (zip, at) => zip.setUint8(at + 30 + 5 + 20, zip.getUint8(at + 30 + 5 + 20) ^ 1)),
  ],
  [
    "that is encrypted",
    "encrypted",
    changed(CENTRAL, (zip, at) => {
      zip.setUint16(at + 8, 1, true);
      zip.setUint32(at + 20, zip.getUint32(at + 24, true) + 12, true); // with its key
    }),
  ],
  [
    "in an unknown compression",
    "damaged: unsupported compression method: 12",
    changed(CENTRAL, (zip, at) => zip.setUint16(at + 10, 12, true)),
  ],
];
for (const [what, why, zip] of CHANGES) {
  Deno.test(`a file of a zip ${what} is named, or left out`, async () => {
    await inFolder(async (folder) => {
      await Deno.writeFile(`${folder}/pets.zip`, await zip);
      await isNamedOrSkipped(`${folder}/pets.zip`, "pets.zip: 2.png", why);
    });
  });
}

Deno.test("an image that is a link to nowhere is named, or left out until it leads somewhere", async () => {
  await inFolder(async (folder) => {
    await writeFiles(folder, { "pets/1.png": ONE, "pets/3.png": THREE });
    await Deno.symlink(`${folder}/2.png`, `${folder}/pets/2.png`);
    await isNamedOrSkipped(`${folder}/pets`, "pets/2.png", "no such file or folder");
    const cached = { onBadFile: "skip", cache: `${folder}/cache` } as const;
    assert.deepEqual(await load(`${folder}/pets`, cached), [10, 30]);
    await Deno.writeFile(`${folder}/2.png`, TWO);
    assert.deepEqual(await load(`${folder}/pets`, cached), [10, 20, 30]);
  });
});
