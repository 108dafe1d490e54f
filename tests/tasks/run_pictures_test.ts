import assert from "node:assert/strict";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { GIF } from "imagescript";
import { DDPM, NoiseSchedule } from "../../mod.ts";
import { EdmProcess } from "../../lib/diffusion/edm_process.ts";
import { RectifiedFlow } from "../../lib/diffusion/rectified_flow.ts";
import { shownSteps } from "../../lib/sampling/moments.ts";
import { CHART_COLORS } from "../../lib/image/chart.ts";
import { decodePng } from "../support/read_png.ts";
import { createReporter } from "../../terminal/progress.ts";
import { drawForwardProcess, drawLossCurves, drawReverseProcess } from "../../tasks/run_pictures.ts";
import { testGpu } from "../support/gpu.ts";
import { inTemporaryDirectory } from "../support/train/directories.ts";
import { patternImages } from "../support/train/micro.ts";

/** A pipeline of three classes without names, 8 x 8 images. */
const MODEL = fileURLToPath(new URL("../golden/tiny_pipeline", import.meta.url));

const quiet = createReporter({ mode: "quiet" });

/** Height of the training curve at half its width, as a share of the way from the first loss to the last. */
async function middleOf(losses: readonly number[]): Promise<number> {
  let share = NaN;
  await inTemporaryDirectory(async (out) => {
    await drawLossCurves(out, losses.map((trainLoss, i) => ({ epoch: i + 1, trainLoss, valLoss: null })));
    const { rgb, width, height } = decodePng(await Deno.readFile(join(out, "loss.png")));
    const color = [1, 3, 5].map((at) => parseInt(CHART_COLORS[0].slice(at, at + 2), 16));
    const found: { x: number; y: number }[] = [];
    for (let i = width * 80; i < width * height; i++) { // below the legend
      if (color.every((value, c) => rgb[3 * i + c] === value)) {
        found.push({ x: i % width, y: Math.floor(i / width) });
      }
    }
    const end = (pick: (...values: number[]) => number, of: "x" | "y") => pick(...found.map((at) => at[of]));
    const center = (end(Math.min, "x") + end(Math.max, "x")) / 2;
    const middle = found.filter(({ x }) => Math.abs(x - center) < 4).map(({ y }) => y);
    const [top, bottom] = [end(Math.min, "y"), end(Math.max, "y")];
    share = (middle.reduce((a, b) => a + b, 0) / middle.length - top) / (bottom - top);
  });
  return share;
}

Deno.test("losses far apart have a logarithmic axis, others a linear one", async () => {
  assert.ok(Math.abs(await middleOf([1, 0.1, 0.01]) - 0.5) < 0.05);
  assert.ok(Math.abs(await middleOf([0.9, 0.4, 0.31]) - 5 / 5.9) < 0.05);
});

Deno.test("the forward process has a row for each of some classes, and says which", async () => {
  await inTemporaryDirectory(async (out) => {
    const path = join(out, "forward.png");
    await drawForwardProcess(out, new NoiseSchedule(), patternImages(40, 8, 32));
    const { text, width, height } = decodePng(await Deno.readFile(path));
    assert.deepEqual(text, { class: "first, third, class4, class6", image: "0, 2, 4, 6", seed: "0" });
    assert.ok(width > 10 * 66 && height > 4 * 66 && height < 5 * 66, `${width} x ${height}`);
    await drawForwardProcess(out, new NoiseSchedule(), { ...patternImages(40, 1, 32), classes: [] });
    const single = decodePng(await Deno.readFile(path));
    assert.ok(single.height < 2 * 66);
    assert.equal(single.text.class, "none");
    for (const process of [new RectifiedFlow(), new EdmProcess()]) {
      await drawForwardProcess(out, process, patternImages(40, 8, 32));
      const { text, width: wide, rgb } = decodePng(await Deno.readFile(path));
      assert.equal(text.image, "0, 2, 4, 6", process.constructor.name);
      assert.ok(wide < 1.2 * width, `captions widen the picture from ${width} to ${wide}`);
      assert.ok(new Set(rgb).size > 100, "there is noise");
    }
  });
});

Deno.test("the reverse process has two rows for each class, and says how its images were made", async () => {
  await inTemporaryDirectory(async (out) => {
    const model = await DDPM.load(MODEL, { gpu: await testGpu() });
    await drawReverseProcess(out, model, quiet);
    const { text, height, width, rgb } = decodePng(await Deno.readFile(join(out, "reverse.png")));
    assert.deepEqual([text.class, text.seed, text.steps, text.sampler], [
      "0, 1, 2",
      "1, 2, 3",
      "100",
      "unipc",
    ]);

    // The last estimate of the last image is the finished one.
    const finished = (await model.generate({ class: 2, seed: 3, steps: 100 })).scaled(2);
    const starts = rowsOf(finished.pixels, 16).filter((_, row) => row % 2 === 1).map((line) =>
      find(rgb, line)
    );
    const [first] = starts;
    assert.ok(
      first > rgb.length * 0.8 && first / 3 % width > width * 0.8,
      `${first} of ${width} x ${height}`,
    );
    assert.deepEqual(starts, starts.map((_, row) => first + 2 * row * width * 3));
    const animation = await GIF.decode(await Deno.readFile(join(out, "reverse.gif"))) as GIF;
    assert.equal(animation.length, shownSteps(100, { count: 25, spacing: "late" }).length);
    await model.close();
  });
});

function rowsOf(pixels: Uint8Array, width: number): Uint8Array[] {
  const length = 3 * width;
  return Array.from(
    { length: pixels.length / length },
    (_, i) => pixels.subarray(i * length, (i + 1) * length),
  );
}

/** Index of the last row equal to the given pixels. */
function find(rgb: Uint8Array, line: Uint8Array): number {
  for (let at = rgb.length - line.length; at >= 0; at -= 3) {
    if (line.every((value, i) => rgb[at + i] === value)) return at;
  }
  return -1;
}
