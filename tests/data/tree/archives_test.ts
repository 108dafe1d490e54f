import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { gzipSync } from "node:zlib";
import { packTar, type TarEntry } from "modern-tar";
import type { DataProgress, ImageDataset } from "../../../lib/data/dataset.ts";
import { loadImages } from "../../../lib/data/load_images.ts";
import { inFolder, makePng, member } from "../../support/synthetic.ts";
import { zipOf } from "../../support/torch_files.ts";

const picture = async (red: number) => new Uint8Array(await makePng(8, 8, () => [red, 0, 0]));
const [ONE, TWO] = await Promise.all([picture(10), picture(20)]);

interface Loaded {
  readonly classes: readonly string[];
  /** Red of each image, by class. */
  readonly reds: number[];
  readonly notes: string[];
}

async function load(name: string, archive: Uint8Array): Promise<Loaded> {
  let data: ImageDataset | undefined;
  const notes: string[] = [];
  await inFolder(async (folder) => {
    const onProgress = ({ message, total }: DataProgress) => {
      if (total === undefined) notes.push(message.replaceAll(`${folder}/`, ""));
    };
    await Deno.writeFile(`${folder}/${name}`, archive);
    data = await loadImages(`${folder}/${name}`, { size: 8, onProgress });
  });
  const { classes, count, images } = data!;
  return { classes, reds: Array.from({ length: count }, (_, i) => images.range(i)[0]!), notes };
}

const link = (type: "link" | "symlink", name: string, linkname: string): TarEntry => ({
  header: { name, type, linkname, size: 0, mtime: new Date(0) },
});

Deno.test("links of a tar to files in it are files, wherever they lie; others are skipped", async () => {
  const entries = [
    link("symlink", "pets/b/soft.png", "../a/1.png"),
    member("pets/a/1.png", ONE),
    link("link", "pets/b/hard", "pets/a/1.png"),
    member("pets/b/2.png", TWO),
    link("symlink", "pets/a/chain.png", "../b/hard"),
    link("symlink", "pets/a/out.png", "../../../1.png"),
    link("symlink", "pets/a/root.png", "/pets/a/1.png"),
    link("link", "pets/a/none.png", "pets/a/0.png"),
  ];
  const { classes, reds, notes } = await load("pets.tar", await packTar(entries));
  assert.deepEqual([classes, reds], [["a", "b"], [10, 10, 20, 10, 10]]);
  assert.deepEqual(notes, [
    "pets.tar: skipped 3 entries that are not images (a/none.png, a/out.png, a/root.png)",
  ]);
});

Deno.test("a tar.gz may be of several gzip members, and have padding after them", async () => {
  const tar = await packTar([member("a/1.png", ONE), member("b/2.png", TWO)]);
  const archive = Buffer.concat([
    gzipSync(tar.subarray(0, 700)),
    gzipSync(tar.subarray(700)),
    Buffer.alloc(512),
  ]);
  assert.deepEqual((await load("pets.tar.gz", archive)).reds, [10, 20]);
});

Deno.test("names of a zip are UTF-8 where they can be, whether it says so or not, and else of code page 437", async () => {
  const { classes } = await load("pets.zip", zipOf({ "chât/1.png": ONE, "дом/2.png": TWO }));
  assert.deepEqual(classes, ["chât", "дом"]);
  const latin = zipOf({ "ch?t/1.png": ONE, "x/2.png": TWO }).map((byte) => byte === 0x3f ? 0x83 : byte);
  assert.deepEqual((await load("pets.zip", latin)).classes, ["chât", "x"]);
});

Deno.test("symbolic links of a zip are skipped", async () => {
  const zip = zipOf({ "a/1.png": ONE, "a/link.png": new TextEncoder().encode("1.png") });
  const view = new DataView(zip.buffer);
  const end = zip.length - 22;
  const second = view.getUint32(end + 16, true) + 46 + "a/1.png".length;
  view.setUint16(second + 4, 3 << 8 | 20, true);
  view.setUint32(second + 38, 0o120777 * 2 ** 16, true);
  const { reds, notes } = await load("pets.zip", zip);
  assert.deepEqual(reds, [10]);
  assert.deepEqual(notes, ["pets.zip: skipped 1 entry that is not an image (a/link.png)"]);
});
