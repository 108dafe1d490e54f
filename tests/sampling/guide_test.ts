import assert from "node:assert/strict";
import { cp } from "node:fs/promises";
import { join } from "node:path";
import { ConfigError } from "../../lib/errors.ts";
import { openGpu } from "../../lib/gpu/open.ts";
import { DDPM } from "../../lib/sampling/ddpm.ts";
import { writeForeignPipeline } from "../support/foreign_pipeline.ts";
import { testGpu } from "../support/gpu.ts";
import { PIPELINE } from "../support/tiny_pipeline.ts";
import { inTemporaryDirectory } from "../support/train/directories.ts";
import { microNetwork } from "../support/train/micro.ts";

Deno.test("a model guides itself to the images without guidance, and metadata names the guide", async () => {
  const gpu = await testGpu();
  const before = [gpu.memory.live, gpu.memory.used];
  const model = await DDPM.load(PIPELINE, { gpu, guide: PIPELINE });
  const options = { class: 1, steps: 2, seed: 3 };
  const [plain, guided] = [await model.generate({ ...options, guidance: 1 }), await model.generate(options)];
  assert.ok(guided.pixels.every((value, i) => Math.abs(value - plain.pixels[i]) <= 1));
  assert.deepEqual([guided.metadata[0].guide, guided.metadata[0].guidance], ["tiny_pipeline", 2]);
  const { model_digest: digest } = guided.metadata[0];
  assert.match(String(digest), /^[0-9a-f]{16}$/);
  assert.ok(model.digest.startsWith(String(digest)));
  assert.deepEqual([guided.metadata[0].guide_digest, plain.metadata[0].guide_digest], [digest, undefined]);
  assert.equal(plain.metadata[0].guide, undefined);
  await model.close();
  assert.deepEqual([gpu.memory.live, gpu.memory.used], before);
});

Deno.test("autotuning covers the guide's network", async () => {
  const gpu = await openGpu(); // choices are remembered by device
  await inTemporaryDirectory(async (directory) => {
    const write = async (name: string, width: number) => {
      await writeForeignPipeline(join(directory, name), {
        config: microNetwork({ blockOutChannels: [width, width] }),
      });
      return join(directory, name);
    };
    const [main, weak] = [await write("main", 16), await write("weak", 32)];
    const tuned = async (guide?: string) => {
      let total = 0;
      const model = await DDPM.load(main, {
        ...{ gpu, guide, tune: "on", onWarning: () => {} },
        onTuning: (progress) => total = progress.total,
      });
      await model.startBatch({ rows: 1 });
      await model.close();
      return total;
    };
    assert.ok(await tuned() > 0);
    assert.equal(await tuned(), 0, "all choices are known");
    assert.ok(await tuned(weak) > 0, "those of the guide are not");
  });
  gpu.close();
});

Deno.test("a guide that differs in what both must share is refused, naming it", async () => {
  await inTemporaryDirectory(async (directory) => {
    await cp(PIPELINE, directory, { recursive: true });
    const path = join(directory, "scheduler/scheduler_config.json");
    const config = JSON.parse(await Deno.readTextFile(path));
    for (
      const [change, message] of [
        [
          { prediction_type: "v_prediction" },
          /^guide: expected a model with the objective epsilon of .*, not v/,
        ],
        [
          { num_train_timesteps: 500 },
          /^guide: expected a model with the noise schedule of 1000 timesteps .* not of 500/,
        ],
      ] as const
    ) {
      await Deno.writeTextFile(path, JSON.stringify({ ...config, ...change }));
      await assert.rejects(
        DDPM.load(PIPELINE, { gpu: await testGpu(), guide: directory, onWarning: () => {} }),
        (error: Error) => error instanceof ConfigError && message.test(error.message),
      );
    }
  });
});
