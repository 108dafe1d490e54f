/** Decoded images are found again, as long as they are those of the files; and their file is never in the way. */
import assert from "node:assert/strict";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import type { DataProgress, ImageDataset } from "../../../lib/data/dataset.ts";
import { imageDataset } from "../../../lib/data/image_dataset.ts";
import { loadImages, type LoadImagesOptions } from "../../../lib/data/load_images.ts";
import { ConfigError } from "../../../lib/errors.ts";
import { TEMPORARY_PREFIX } from "../../../lib/files/temporary.ts";
import { canMount, onSmallDisk } from "../../support/small_disk.ts";
import { CONTAINERS, type Files, writeContainer } from "../../support/image_trees.ts";
import { inFolder, makePng, writeFiles } from "../../support/synthetic.ts";

const png = async (red: number, width = 8) =>
  Uint8Array.from(await makePng(width, 8, (x, y) => [red, 20 * x, 20 * y]));
const PETS: Files = {
  "train/cat/1.png": await png(10),
  "train/cat/2.png": await png(20, 16),
  "train/dog/1.png": await png(30),
  "val/dog/2.png": await png(40),
};

/** What a call gave: the data set, and its notes without the folder's path. */
interface Loaded {
  readonly data: ImageDataset;
  readonly notes: string[];
}

/** Loads with every data set kept in `cache` of the folder; its file is closed. */
async function load(folder: string, path: string, options: LoadImagesOptions = {}): Promise<Loaded> {
  const notes: string[] = [];
  const onProgress = ({ message, total }: DataProgress) => {
    if (total === undefined) notes.push(message.replaceAll(`${folder}/`, ""));
  };
  const data = await loadImages(path, { size: 8, cache: join(folder, "cache"), onProgress, ...options });
  return { data, notes };
}

/** The file that has a data set's images, which is closed. */
function fileOf({ data: { images } }: Loaded): string {
  images.close();
  return images.file!;
}

/** All of a data set, its pixels as numbers. */
function contents({ images, ...rest }: ImageDataset): unknown {
  return { ...rest, pixels: [...images.range()] };
}

const kept = /^decoded images are kept in cache\/pets\S*-8x8-[0-9a-f]{8}\.safetensors \(\S+ MiB\)$/;
const found = /^images of pets\S*: decoded before, read from cache\/pets\S*\.safetensors$/;

for (const container of CONTAINERS) {
  Deno.test(`images are decoded once, and are the same from their file, split and notes included: ${container}`, async () => {
    await inFolder(async (folder) => {
      const path = await writeContainer(folder, container, PETS);
      const plain = await load(folder, path, { cache: false });
      const first = await load(folder, path);
      assert.deepEqual(contents(first.data), contents(plain.data));
      assert.deepEqual(first.notes.slice(0, -1), plain.notes);
      assert.match(first.notes.at(-1)!, kept);
      const again = await load(folder, path);
      assert.deepEqual(contents(again.data), contents(plain.data));
      assert.equal(fileOf(again), fileOf(first));
      assert.match(again.notes[0]!, found);
      assert.deepEqual(again.notes.slice(1), plain.notes);
      assert.equal(imageDataset({ ...plain.data }).digest, again.data.digest);
    });
  });
}

Deno.test("a place for decoded images that is none is refused", async () => {
  await inFolder(async (folder) => {
    const path = await writeContainer(folder, "folder", PETS);
    for (const cache of ["", 1, null]) {
      const options = { cache } as LoadImagesOptions;
      await assert.rejects(load(folder, path, options), (error) => error instanceof ConfigError);
    }
  });
});

Deno.test("other options have files of their own", async () => {
  await inFolder(async (folder) => {
    const path = await writeContainer(folder, "folder", {
      ...PETS,
      "test/dog/1.png": PETS["val/dog/2.png"]!,
    });
    const options: LoadImagesOptions[] = [
      ...[{}, { size: 4 }, { size: [8, 4] as const }, { fit: "squash" as const }, { channels: 1 as const }],
      ...[{ background: [1, 2, 3] as const }, { onBadFile: "skip" as const }, { split: "test" as const }],
    ];
    const files = new Set<string>();
    for (const each of options) files.add(fileOf(await load(folder, path, each)));
    assert.equal(files.size, options.length);
    assert.equal(fileOf(await load(folder, path, options[3])), [...files][3]);
  });
});

Deno.test("a change of the files is noticed, and they are decoded anew", async () => {
  await inFolder(async (folder) => {
    const path = await writeContainer(folder, "folder", PETS);
    const first = await load(folder, path);
    const file = fileOf(first);
    const changes: (() => Promise<void>)[] = [
      () => Deno.writeFile(`${path}/train/cat/3.png`, PETS["val/dog/2.png"]!),
      () => Deno.remove(`${path}/train/cat/3.png`),
      () => Deno.rename(`${path}/train/cat/2.png`, `${path}/train/dog/2.png`),
      () => Deno.utime(`${path}/train/dog/2.png`, new Date(), new Date("2020-02-20")),
      () => Deno.writeTextFile(`${path}/train/labels.csv`, "file,label\ncat/1.png,x\ndog/1.png,y\n"),
    ];
    const digests = new Set([first.data.digest]);
    for (const change of changes) {
      await change();
      const plain = await load(folder, path, { cache: false });
      const changed = await load(folder, path);
      assert.match(
        changed.notes[0]!,
        /^cache\/\S+: of other files than pets has now; the images are decoded anew$/,
      );
      assert.deepEqual(contents(changed.data), contents(plain.data));
      assert.equal(fileOf(changed), file);
      assert.match((await again(folder, path)).notes[0]!, found);
      digests.add(changed.data.digest);
    }
    assert.equal(
      digests.size,
      4,
      "of three changes of contents, one taken back, and the images as they were",
    );
  });
});

async function again(folder: string, path: string): Promise<Loaded> {
  const loaded = await load(folder, path);
  loaded.data.images.close();
  return loaded;
}

Deno.test("files left out stay out, and the images are those that are kept in memory", async () => {
  await inFolder(async (folder) => {
    const broken = {
      ...PETS,
      "train/cat/0.png": new Uint8Array(9),
      "train/dog/0.png": PETS["val/dog/2.png"]!.slice(0, 60),
    };
    const path = await writeContainer(folder, "folder", broken);
    const plain = await load(folder, path, { cache: false, onBadFile: "skip" });
    for (let i = 0; i < 2; i++) {
      const cached = await load(folder, path, { onBadFile: "skip" });
      assert.deepEqual(contents(cached.data), contents(plain.data));
      assert.ok(cached.notes.some((note) => note.startsWith("left out 2 of 6 files")));
      cached.data.images.close();
    }
    await assert.rejects(load(folder, path), /0\.png/);
    assert.equal(
      [...Deno.readDirSync(`${folder}/cache`)].length,
      1,
      "nothing is left of the call that failed",
    );
  });
});

Deno.test("a file that is damaged anywhere, cut short or no such file is named and made anew", async () => {
  await inFolder(async (folder) => {
    const path = await writeContainer(folder, "folder", PETS);
    const first = await load(folder, path);
    const expected = contents(first.data);
    const file = fileOf(first);
    const intact = await Deno.readFile(file);
    const flipped = (at: number) => intact.with(at, intact[at]! ^ 4);
    const text = new TextDecoder().decode(intact.subarray(0, 4096));
    const damages = [
      ...["dtype", "digest", "shape"].map((word) => flipped(text.indexOf(word) + 14)),
      ...[4096, 4096 + 192 * 4 - 1, 4096 + 192 * 4, intact.length - 1].map(flipped), // images; labels and more
      ...[0, 7, 4096, 5000, intact.length - 1].map((length) => intact.slice(0, length)),
      Uint8Array.from([...intact, 0]),
      new TextEncoder().encode("x".repeat(9000)),
      new TextEncoder().encode(text.replace(/denoise images \d+/, "denoise images 9")),
    ];
    for (const [i, damage] of damages.entries()) {
      await Deno.writeFile(file, damage);
      const anew = await load(folder, path);
      assert.match(anew.notes[0]!, /^cache\/pets\S+: .*; the images are decoded anew$/, `damage ${i}`);
      assert.deepEqual(contents(anew.data), expected, `damage ${i}`);
      assert.deepEqual(await Deno.readFile(fileOf(anew)), intact, `damage ${i}`);
    }
  });
});

Deno.test("by default only many or large images are kept, beside their folder, which may be moved with them", async () => {
  await inFolder(async (folder) => {
    const beside = (of: Loaded) => of.data.images.file;
    const path = await writeContainer(folder, "folder", PETS);
    assert.equal(beside(await load(folder, path, { cache: true })), undefined);
    const image = PETS["train/cat/1.png"]!;
    const many = Object.fromEntries(Array.from({ length: 2000 }, (_, i) => [`many/${i}.png`, image]));
    await Deno.mkdir(`${folder}/x/many`, { recursive: true });
    await writeFiles(`${folder}/x`, many);
    const first = await load(folder, `${folder}/x/many`, { cache: undefined });
    assert.match(fileOf(first), /\/x\/\.denoise-cache\/many-8x8-[0-9a-f]{8}\.safetensors$/);
    await Deno.rename(`${folder}/x`, `${folder}/y`);
    const moved = await load(folder, `${folder}/y/many/`, { cache: undefined });
    assert.match(moved.notes[0]!, /^images of y\/many: decoded before/);
    assert.equal(dirname(fileOf(moved)), `${folder}/y/.denoise-cache`);
    assert.equal(moved.data.digest, first.data.digest);
  });
});

Deno.test("what a killed process left is removed by the next", async () => {
  await inFolder(async (folder) => {
    const path = await writeContainer(folder, "folder", PETS);
    await Deno.mkdir(`${folder}/cache`);
    await Deno.writeTextFile(`${folder}/cache/${TEMPORARY_PREFIX}x`, "half");
    fileOf(await load(folder, path));
    assert.equal([...Deno.readDirSync(`${folder}/cache`)].length, 1);
  });
});

Deno.test("two processes may decode the same images at once", async () => {
  await inFolder(async (folder) => {
    const path = await writeContainer(folder, "folder", PETS);
    const both = await Promise.all([load(folder, path), load(folder, path), load(folder, path)]);
    for (const { data } of both) assert.deepEqual(contents(data), contents(both[0]!.data));
    both.forEach(fileOf);
    assert.equal([...Deno.readDirSync(`${folder}/cache`)].length, 1);
    assert.match((await again(folder, path)).notes[0]!, found);
  });
});

const script = fileURLToPath(new URL("../../support/load_images.ts", import.meta.url));
const FULL = /^decoded images are not kept: .*\/disk\/pets\S+: the disk is full/;
const needsMount = { ignore: !canMount };

/** Runs a command in a working directory, and returns the JSON of its last line. */
async function outcome(
  [command, ...args]: string[],
  cwd: string,
): Promise<{ notes: string[]; digest: string; file: string | null }> {
  const { stdout, stderr, success } = await new Deno.Command(command!, { args, cwd }).output();
  assert.ok(success, new TextDecoder().decode(stderr));
  return JSON.parse(new TextDecoder().decode(stdout).trim().split("\n").at(-1)!);
}

const run = [Deno.execPath(), "run", "-A", "--quiet", script];

Deno.test(
  "a disk that fills while images are decoded costs their file, and no image",
  needsMount,
  async () => {
    await inFolder(async (folder) => {
      const path = await writeContainer(folder, "folder", PETS);
      const plain = await outcome([...run, path, '{"size":64,"cache":false}'], folder);
      const disk = `${folder}/disk`;
      await Deno.mkdir(disk);
      for (const kibibytes of [4, 20, 48]) { // 4 KiB of header and four images of 12 KiB
        const options = JSON.stringify({ size: 64, cache: disk });
        const full = await outcome(
          onSmallDisk(kibibytes, '"$2" run -A --quiet "$3" "$4" "$5"', [
            disk,
            Deno.execPath(),
            script,
            path,
            options,
          ]),
          folder,
        );
        assert.deepEqual([full.digest, full.file], [plain.digest, null]);
        const told = full.notes.filter((note) => FULL.test(note));
        assert.equal(told.length, 1);
        assert.deepEqual(full.notes.filter((note) => !told.includes(note)), plain.notes);
      }
    });
  },
);

Deno.test(
  "images on a disk that cannot be written are kept in the working directory",
  needsMount,
  async () => {
    await inFolder(async (folder) => {
      const [disk, work] = [`${folder}/disk`, `${folder}/work`];
      await Deno.mkdir(disk);
      await Deno.mkdir(work);
      const image = PETS["train/cat/1.png"]!;
      const many = Object.fromEntries(Array.from({ length: 2000 }, (_, i) => [`many/${i}.png`, image]));
      await Deno.mkdir(`${folder}/source/many`, { recursive: true });
      await writeFiles(`${folder}/source`, many);
      const load =
        'cp -r "$4" "$1" && mount -o remount,ro "$1" && "$2" run -A --quiet "$3" "$1/many" \'{"size":8}\'';
      const command = onSmallDisk(20_000, load, [disk, Deno.execPath(), script, `${folder}/source/many`]);
      const { notes, file } = await outcome(command, work);
      assert.equal(dirname(file!), await Deno.realPath(`${work}/.cache/images`));
      assert.match(notes.at(-1)!, /^decoded images are kept in/);
    });
  },
);
