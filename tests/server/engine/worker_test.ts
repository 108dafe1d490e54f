import assert from "node:assert/strict";
import { join } from "node:path";
import { DDPM } from "../../../lib/sampling/ddpm.ts";
import { type GenerateOptions, planDraw } from "../../../lib/sampling/request.ts";
import { CheckpointError } from "../../../lib/errors.ts";
import type { Engine, ImageJob, Pixels } from "../../../server/engine/engine.ts";
import type { ModelSettings } from "../../../server/settings.ts";
import { GpuEngine, type GpuEngineOptions } from "../../../server/engine/gpu_engine.ts";
import type { JobResult } from "../../../server/queue/job.ts";
import { Scheduler } from "../../../server/queue/scheduler.ts";
import { testGpu } from "../../support/gpu.ts";
import { inTemporaryDirectory } from "../../support/train/directories.ts";
import { changedPipeline, copyDirectory, PIPELINE, WEIGHTS } from "../../support/server/pipelines.ts";

/** End of an image. */
type End = { pixels: Pixels } | { error: Error };

/** An engine and what it tells, as promises. */
class Bench {
  readonly frames: { id: number; step: number; pixels: Pixels }[] = [];
  readonly told: string[] = [];
  readonly ended = new Set<number>();
  readonly #ends = new Map<number, (end: End) => void>();
  readonly #events: [event: string, resolve: () => void][] = [];
  #lastId = 0;

  readonly engine: Engine;

  private constructor(readonly device: GpuEngine) {
    const [engine] = device.models;
    this.engine = engine;
    engine.listen({
      onTurn: () => this.#heard("turn"),
      onFrame: (id, step, pixels) => this.frames.push({ id, step, pixels }),
      onImage: (id, pixels) => this.#end(id, { pixels }),
      onFailed: (id, error) => this.#end(id, { error }),
      onDown: (error, retryAfter) => {
        this.told.push(`down ${error.message}, ${retryAfter}`);
        this.#heard("down");
      },
      onUp: () => this.#heard("up"),
    });
  }

  static async run(
    { guide, ...options }: Partial<GpuEngineOptions> & Pick<ModelSettings, "guide">,
    body: (bench: Bench) => Promise<void>,
  ): Promise<void> {
    const models = [{ name: "tiny", path: PIPELINE, guide }];
    const device = await GpuEngine.start({ models, rows: 5, ...options });
    try {
      await body(new Bench(device));
    } finally {
      await device.close();
    }
  }

  add(image: Partial<ImageJob> = {}): { id: number; end: Promise<End> } {
    const id = ++this.#lastId;
    const { promise, resolve } = Promise.withResolvers<End>();
    this.#ends.set(id, resolve);
    const defaults = { label: 1, seed: 5, sampler: "ddim", steps: 6, eta: undefined, guidance: 1 } as const;
    this.engine.add({ ...defaults, ...image, id });
    return { id, end: promise };
  }

  /** Draws an image to its end. */
  async draw(image: Partial<ImageJob> = {}): Promise<Pixels> {
    return pixelsOf(await this.add(image).end);
  }

  /** Waits until the engine next tells of an event. */
  async next(event: "turn" | "down" | "up"): Promise<void> {
    await new Promise<void>((resolve) => this.#events.push([event, resolve]));
  }

  #end(id: number, end: End): void {
    this.ended.add(id);
    this.#ends.get(id)?.(end);
  }

  #heard(event: string): void {
    for (const [awaited, resolve] of this.#events) if (awaited === event) resolve();
  }
}

function pixelsOf(end: End): Pixels {
  if ("error" in end) throw end.error;
  return end.pixels;
}

function messageOf(end: End): string {
  return "error" in end ? `${end.error}` : "no error";
}

Deno.test("an image has the bytes that generate gives, alone and whoever joins and leaves beside it", async () => {
  const model = await DDPM.load(PIPELINE, { gpu: await testGpu() });
  const options = { class: 2, sampler: "ddim", steps: 12, eta: 0.5, guidance: 2, seed: 77 } as const;
  const { pixels: expected } = await model.generate(options);
  await model.close();
  await Bench.run({}, async ({ device, engine }) => {
    const scheduler = new Scheduler(device, { queue: 100, timeout: 60, maxWork: 1e9 });
    const run = (request: GenerateOptions, client: string, signal = new AbortController().signal) =>
      scheduler.run({ client, draw: planDraw(request, engine.model!), signal });
    const [alone] = (await run(options, "a")).images;
    assert.deepEqual(alone, expected, "alone");
    const drawings: Promise<JobResult>[] = [];
    const neighbours: Promise<unknown>[] = [];
    for (let i = 0; i < 24; i++) {
      if (i % 8 === 0) drawings.push(run(options, "a"));
      const leaving = new AbortController();
      const sampler = i % 2 === 0 ? "ddim" : "ddpm";
      const neighbour = {
        class: i % 3,
        seed: i,
        count: 1 + i % 3,
        steps: 1 + i % 7,
        guidance: 1 + i % 2,
        sampler,
      } as const;
      neighbours.push(run(neighbour, `${i % 5}`, leaving.signal).catch(() => {}));
      // One in three leaves at some moment, waiting or half drawn.
      if (i % 3 === 0) setTimeout(() => leaving.abort(), 10 * i);
    }
    for (const drawing of drawings) assert.deepEqual((await drawing).images[0], expected, "in company");
    await Promise.all(neighbours);
    assert.equal(scheduler.state.running, 0);
  });
});

Deno.test("an image that is parked for others and resumed has the bytes that generate gives", async () => {
  const model = await DDPM.load(PIPELINE, { gpu: await testGpu() });
  const options = { class: 2, count: 3, sampler: "ddpm", steps: 150, guidance: 2, seed: 77 } as const;
  const { pixels: expected } = await model.generate(options);
  await model.close();
  await Bench.run({}, async ({ device, engine }) => {
    const parked: number[] = [];
    const park = engine.park.bind(engine);
    engine.park = (id) => {
      parked.push(id);
      park(id);
    };
    const scheduler = new Scheduler(device, { queue: 100, timeout: 60, maxWork: 1e9 });
    const run = (request: GenerateOptions, client: string) =>
      scheduler.run({
        client,
        draw: planDraw(request, engine.model!),
        signal: new AbortController().signal,
      });
    const drawing = run(options, "long");
    let over = false;
    drawing.finally(() => over = true);
    // Others come one after the other until it is drawn, one of them for more than the batch holds.
    const others = ["b", "c"].map(async (client) => {
      for (let seed = 0; !over; seed++) {
        await run({ class: seed % 3, seed, steps: 2 + seed % 9, count: 1 + 2 * (seed % 2) }, client);
      }
    });
    const { images } = await drawing;
    await Promise.all(others);
    assert.ok(new Set(parked).size >= 2 && parked.length > 5, `parked: ${parked}`);
    assert.deepEqual(images.flatMap((pixels) => [...pixels]), [...expected]);
  });
});

Deno.test("a model that is replaced stays until its parked images are finished", async () => {
  await Bench.run({ rows: 2 }, async (bench) => {
    const image = { steps: 800, guidance: 2 };
    const expected = await bench.draw(image);
    const { id, end } = bench.add(image);
    await bench.next("turn");
    bench.engine.park(id);
    await bench.engine.reload();
    await bench.draw({ seed: 1, guidance: 2 });
    assert.equal(bench.ended.has(id), false);
    bench.engine.resume(id);
    assert.deepEqual(pixelsOf(await end), expected);
  });
});

Deno.test("frames are those of a trajectory, at the steps that were asked for", async () => {
  const model = await DDPM.load(PIPELINE, { gpu: await testGpu() });
  const trajectory = await model.trajectory({ class: 1, sampler: "ddim", steps: 9, seed: 4, guidance: 2 }, 5);
  await model.close();
  await Bench.run({}, async (bench) => {
    const image = { label: 1, steps: 9, seed: 4, guidance: 2 };
    for (const kind of ["predicted", "noisy"] as const) {
      bench.frames.length = 0;
      bench.add({ seed: 1, steps: 30 });
      const { id, end } = bench.add({ ...image, frames: { kind, at: [0, 2, 4, 6] } });
      const pixels = pixelsOf(await end);
      assert.deepEqual(pixels, trajectory.noisy[4].pixels);
      const expected = trajectory[kind].slice(0, 4).map(({ pixels }, i) => ({ id, step: 2 * i, pixels }));
      assert.deepEqual(bench.frames, expected);
    }
  });
});

Deno.test("images that are removed leave their rows to others, and nothing more is told of them", async () => {
  await Bench.run({ rows: 4 }, async (bench) => {
    const expected = await bench.draw({ seed: 9 });
    const removed = [1, 2].map((seed) => bench.add({ seed, steps: 1000, guidance: 2 }));
    await bench.next("turn");
    for (const { id } of removed) bench.engine.remove(id);
    // Four rows are in use until the worker hears of it, which it does in the order in which it is told.
    const images = [9, 10, 11, 12].map((seed) => bench.add({ seed }));
    assert.deepEqual(pixelsOf(await images[0].end), expected);
    for (const { end } of images) await end;
    assert.deepEqual(removed.filter(({ id }) => bench.ended.has(id)), []);
  });
});

Deno.test("an image that cannot be drawn fails alone, and leaves its rows to others", async () => {
  await Bench.run({ rows: 3 }, async (bench) => {
    const expected = await bench.draw();
    const good = bench.add();
    const wrong = bench.add({ label: 99 });
    assert.match(
      messageOf(await wrong.end),
      /^ConfigError: label: expected a whole number from 0 to 3, got 99/,
    );
    const edit = { image: new Float32Array(8 * 8 * 3).fill(3e38) }; // overflows in the network
    const infinite = bench.add({ edit, steps: 4 });
    assert.match(messageOf(await infinite.end), /^ConfigError: data\[\d+\]: expected a finite number/);
    // This one shows at its first frame that it is lost, and is not taken to its end.
    const frame = bench.add({ edit, steps: 400, frames: { kind: "noisy", at: [3] } });
    assert.match(messageOf(await frame.end), /a finite number/);
    await bench.draw({ guidance: 2 });
    assert.deepEqual(pixelsOf(await good.end), expected);
    assert.deepEqual(await bench.draw(), expected);
  });
});

Deno.test("a reload while images are drawn: they are finished with the model they began with", async () => {
  await inTemporaryDirectory(async (directory) => {
    const other = join(directory, "other");
    await changedPipeline(other, (name, data) => {
      if (name === "conv_out.bias") data.fill(0.5);
    });
    await Bench.run({}, async (bench) => {
      const { engine } = bench;
      const image = { steps: 40 };
      const before = await bench.draw(image);
      const reloading = engine.reload(other);
      // There is an image in the batch at every moment, the one of the change included.
      const drawn: Pixels[] = [];
      while (engine.model!.path === PIPELINE) drawn.push(await bench.draw(image));
      const model = await reloading;
      assert.deepEqual([model.path, model.id, engine.model], [other, "tiny", model]);
      for (const pixels of drawn) assert.deepEqual(pixels, before);
      const after = await bench.draw(image);
      assert.notDeepEqual(after, before);
      await engine.reload(PIPELINE);
      assert.deepEqual(await bench.draw(image), before);
    });
  });
});

Deno.test("a reload of what is no model, damaged or useless is an error, and the old model goes on", async () => {
  await inTemporaryDirectory(async (directory) => {
    const [truncated, useless] = [join(directory, "truncated"), join(directory, "useless")];
    await copyDirectory(PIPELINE, truncated);
    await Deno.truncate(join(truncated, WEIGHTS), 5000);
    await changedPipeline(useless, (name, data) => {
      if (name === "conv_out.weight") data.fill(NaN);
    });
    await Bench.run({}, async (bench) => {
      const { engine } = bench;
      const expected = await bench.draw();
      const { model } = engine;
      const drawing = bench.add({ steps: 300 });
      for (
        const [path, message] of [
          [join(directory, "nowhere"), /nowhere: no such file or directory/],
          [truncated, /diffusion_pytorch_model\.safetensors/],
          [useless, /useless/],
        ] as const
      ) {
        await assert.rejects(engine.reload(path), (error: Error) => {
          assert.match(error.message, message);
          return error instanceof CheckpointError;
        });
      }
      assert.equal(engine.model, model);
      assert.deepEqual(await bench.draw(), expected);
      pixelsOf(await drawing.end);
    });
  });
});

Deno.test("a guide is read again with a reload; one that no longer fits leaves the old pair serving", async () => {
  await inTemporaryDirectory(async (directory) => {
    const guide = join(directory, "weak");
    await changedPipeline(guide, (name, data) => name === "conv_out.bias" && data.fill(0.5));
    const model = await DDPM.load(PIPELINE, { gpu: await testGpu(), guide });
    const { pixels } = await model.generate({ class: 1, sampler: "ddim", steps: 6, seed: 5, guidance: 2 });
    await model.close();
    await Bench.run({ guide }, async (bench) => {
      const { engine } = bench;
      assert.equal(engine.model!.guide, "weak");
      assert.deepEqual(await bench.draw({ guidance: 2 }), pixels, "as generate() draws it");
      const before = engine.model;
      const scheduler = join(guide, "scheduler/scheduler_config.json");
      const config = await Deno.readTextFile(scheduler);
      await Deno.writeTextFile(scheduler, config.replace('"epsilon"', '"v_prediction"'));
      await assert.rejects(
        engine.reload(),
        /^ConfigError: guide: expected a model with the objective epsilon of .*, not v/,
      );
      assert.equal(engine.model, before);
      assert.deepEqual(await bench.draw({ guidance: 2 }), pixels);
      await Deno.writeTextFile(scheduler, config);
      await changedPipeline(guide, (name, data) => name === "conv_out.bias" && data.fill(-0.5));
      await engine.reload();
      assert.notDeepEqual(await bench.draw({ guidance: 2 }), pixels);
    });
  });
});

const faults: [fault: string, message: RegExp][] = [
  ["crash", /^down the GPU worker failed: .*this image crashes the worker, [1-9]/],
  ["lose", /^down the WebGPU device .* was lost .*, [1-9]/],
];
for (const [fault, message] of faults) {
  Deno.test(`after a fault (${fault}) the worker is started again, and serves as before`, async () => {
    const url = new URL("../../support/server/faulty_worker.ts", import.meta.url);
    const startWorker = () => new Worker(url, { type: "module", name: `${fault} 666` });
    await Bench.run({ startWorker }, async (bench) => {
      const expected = await bench.draw();
      const lost = bench.add({ steps: 1000 });
      await bench.next("turn");
      bench.add({ seed: 666 });
      await bench.next("down");
      assert.equal(bench.engine.model, undefined);
      assert.match(bench.told[0], message);
      await bench.next("up");
      assert.deepEqual(await bench.draw(), expected);
      assert.equal(bench.ended.has(lost.id), false);
      assert.equal(bench.told.length, 1);
    });
  });
}

Deno.test("a first start without a model says so", async () => {
  await assert.rejects(
    GpuEngine.start({ models: [{ name: "a", path: "/nowhere/at/all" }], rows: 1 }),
    (error: Error) => {
      assert.match(error.message, /^\/nowhere\/at\/all: no such file or directory/);
      return error instanceof CheckpointError;
    },
  );
});
