import assert from "node:assert/strict";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { GIF } from "imagescript";
import { Images } from "../../lib/image/images.ts";
import { runTask } from "../support/command.ts";
import { WEIGHTS_NAME, writeForeignPipeline } from "../support/foreign_pipeline.ts";
import { decodePng } from "../support/read_png.ts";
import { inTemporaryDirectory } from "../support/train/directories.ts";
import { microNetwork } from "../support/train/micro.ts";

/** A pipeline of three classes without names, 8 x 8 images. */
const MODEL = fileURLToPath(new URL("../golden/tiny_pipeline", import.meta.url));
const QUICK = ["--model", MODEL, "--scale", "1", "--quiet"];

/** Writes an 8 x 8 image, and a mask whose lower half is white. */
async function writePictures(directory: string): Promise<Uint8Array> {
  const pixels = Uint8Array.from({ length: 192 }, (_, i) => i * 37);
  await Deno.writeFile(join(directory, "a.png"), await new Images(pixels, 1, 8, 8).png());
  await Deno.writeFile(join(directory, "b.png"), await new Images(pixels.toReversed(), 1, 8, 8).png());
  const mask = pixels.map((_, i) => i < 96 ? 0 : 255);
  await Deno.writeFile(join(directory, "mask.png"), await new Images(mask, 1, 8, 8).png());
  return pixels;
}

Deno.test("edit keeps what the mask says, and writes an image of each seed with its settings", async () => {
  await inTemporaryDirectory(async (directory) => {
    const pixels = await writePictures(directory);
    const flags = [
      "--image",
      "a.png",
      "--mask",
      "mask.png",
      "--steps",
      "4",
      "--resamplings",
      "2",
    ];
    const { code, err } = await runTask(
      "edit",
      [...QUICK, ...flags, "--count", "2", "--out", "drawn"],
      directory,
    );
    assert.deepEqual([code, err], [0, ""]);
    const pictures = await Promise.all(
      [1, 2].map(async (i) => decodePng(await Deno.readFile(join(directory, "drawn", `edit-${i}.png`)))),
    );
    for (const { rgb: drawn } of pictures) {
      assert.deepEqual([...drawn.subarray(0, 96)], [...pixels.subarray(0, 96)]);
    }
    assert.notDeepEqual(pictures[0].rgb, pictures[1].rgb);
  });
});

Deno.test("edit does not draw over a picture that it is given", async () => {
  await inTemporaryDirectory(async (directory) => {
    await writePictures(directory);
    await Deno.mkdir(join(directory, "drawn"));
    await Deno.copyFile(join(directory, "a.png"), join(directory, "drawn/edit-2.png"));
    await Deno.symlink("a.png", join(directory, "link.png"));
    const before = await Deno.readFile(join(directory, "a.png"));
    for (
      const [flags, message] of [
        [
          ["--image", "a.png", "--out", "link.png"],
          'error: --out: expected another path: it would replace link.png, which is given, got "link.png"\n',
        ],
        [
          ["--image", "a.png", "--mask", "mask.png", "--out", "mask.png"],
          'error: --out: expected another path: it would replace mask.png, which is given, got "mask.png"\n',
        ],
        [
          ["--image", "drawn/edit-2.png", "--count", "2", "--out", "drawn"],
          'error: --out: expected another path: it would replace drawn/edit-2.png, which is given, got "drawn"\n',
        ],
      ] as const
    ) {
      const { code, err } = await runTask("edit", [...QUICK, ...flags], directory);
      assert.deepEqual([code, err.replace(/\(--help.*\n/, "")], [2, message]);
    }
    assert.deepEqual(await Deno.readFile(join(directory, "a.png")), before);
  });
});

Deno.test("edit draws images between two seeds and between two images, as a strip and an animation", async () => {
  await inTemporaryDirectory(async (directory) => {
    await writePictures(directory);
    for (const what of [["--seeds", "1,2"], ["--images", "a.png,b.png"]]) {
      const flags = [...what, "--frames", "3", "--steps", "3", "--gif", "all.gif", "--out", "strip.png"];
      const { code, err } = await runTask("edit", [...QUICK, ...flags], directory);
      assert.deepEqual([code, err], [0, ""]);
      const { width, height } = decodePng(await Deno.readFile(join(directory, "strip.png")));
      assert.ok(width > 3 * height - 12, `${width} x ${height}`);
      assert.equal((await GIF.decode(await Deno.readFile(join(directory, "all.gif")))).length, 3);
    }
  });
});

Deno.test("edit changes the class of an image", async () => {
  await inTemporaryDirectory(async (directory) => {
    await writePictures(directory);
    const flags = [
      "--image",
      "a.png",
      "--invert",
      "--from",
      "0",
      "--class",
      "1",
      "--steps",
      "3",
      "--out",
      "one.png",
    ];
    const { code, err } = await runTask("edit", [...QUICK, ...flags], directory);
    assert.deepEqual([code, err], [0, ""]);
    assert.equal(decodePng(await Deno.readFile(join(directory, "one.png"))).width, 8);
  });
});

Deno.test("edit draws from a picture, and between two, with a model of grey images", async () => {
  await inTemporaryDirectory(async (directory) => {
    await writePictures(directory);
    const config = microNetwork({ inChannels: 1, outChannels: 1 });
    await writeForeignPipeline(join(directory, "grey"), { config });
    const model = ["--model", "grey", "--scale", "1", "--quiet", "--steps", "2", "--out", "grey.png"];
    for (const what of [["--image", "a.png", "--mask", "mask.png"], ["--images", "a.png,b.png"]]) {
      const { code, err } = await runTask("edit", [...model, "--sampler", "ddim", ...what], directory);
      assert.deepEqual([code, err], [0, ""]);
      const { rgb } = decodePng(await Deno.readFile(join(directory, "grey.png")));
      assert.ok(rgb.every((value, i) => value === rgb[i - i % 3]), "grey");
    }
  });
});

Deno.test("edit reads the pictures before the model", async () => {
  await inTemporaryDirectory(async (directory) => {
    await writePictures(directory);
    const model = join(directory, "damaged");
    await writeForeignPipeline(model, { config: microNetwork() });
    await Deno.truncate(join(model, "unet", WEIGHTS_NAME), 100);
    await Deno.writeTextFile(join(directory, "notes.png"), "hello");
    for (
      const [flags, message] of [
        [["--image", "missing.png"], /missing\.png: cannot be read/],
        [
          ["--image", "a.png", "--mask", "notes.png"],
          /notes\.png: .*expected a PNG, JPEG, WebP or GIF image/,
        ],
        [["--image", "a.png"], /diffusion_pytorch_model/],
      ] as const
    ) {
      const { code, err } = await runTask("edit", ["--model", model, "--quiet", ...flags], directory);
      assert.match(err, message);
      assert.notEqual(code, 0);
    }
  });
});

Deno.test("edit refuses what does not belong together, naming the flag and what it belongs to", async () => {
  await inTemporaryDirectory(async (directory) => {
    await writePictures(directory);
    await Deno.writeFile(join(directory, "wide.png"), await new Images(new Uint8Array(96), 1, 4, 8).png());
    await Deno.writeFile(join(directory, "black.png"), await new Images(new Uint8Array(192), 1, 8, 8).png());
    const cases: readonly (readonly [string[], RegExp])[] = [
      [[], /one of --image, --images and --seeds, got "none of them"/],
      [["--image", "a.png", "--seeds", "1,2"], /got "--seeds and --image"/],
      [
        ["--seeds", "1,2", "--strength", "0.5"],
        /--strength: expected no value with --seeds; it belongs to --images and/,
      ],
      [
        ["--image", "a.png", "--strength", "0"],
        /'--strength <F>' argument '0' is invalid\. Allowed: .*above 0/,
      ],
      [["--image", "a.png", "--frames", "5"], /--frames: .* it belongs to --seeds and --images/],
      [["--seeds", "1,1"], /two different seeds/],
      [
        ["--image", "a.png", "--mask", "wide.png"],
        /wide\.png: 8 x 4 pixels, expected 8 x 8 pixels as the image has/,
      ],
      [["--image", "a.png", "--mask", "black.png"], /black\.png: nothing in it is white/],
      [["--image", "missing.png"], /missing\.png: cannot be read/],
    ];
    for (const [flags, message] of cases) {
      const { code, err } = await runTask("edit", [...QUICK, ...flags], directory);
      assert.match(err, message);
      assert.notEqual(code, 0);
    }
  });
});
