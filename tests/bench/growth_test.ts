import assert from "node:assert/strict";
import { DeviceError } from "../../lib/errors.ts";
import { type GrowthPlan, measureSeries, type SeriesBounds } from "../../bench/growth.ts";
import { testGpu } from "../support/gpu.ts";

const sleep = (milliseconds: number) => new Promise<void>((done) => setTimeout(done, milliseconds));

/** Sizes 1, 2, 4, 8 whose work takes 4 ms each and counts 1,000 operations a size; keeps who was made and freed. */
function plan(log: string[], change: Partial<GrowthPlan> = {}): GrowthPlan {
  return {
    ...{ title: "Sleeping", size: "batch", load: "image", sizes: [1, 2, 4, 8] },
    flops: (size) => 1000 * size,
    prepare: (size) => {
      log.push(`make ${size}`);
      const work = (count: number) => sleep(4 * count);
      return Promise.resolve({ work, destroy: () => void log.push(`free ${size}`) });
    },
    ...change,
  };
}

function bounds(change: Partial<SeriesBounds> = {}): SeriesBounds {
  const fma = { work: () => sleep(1), units: 1e4, count: 1, rate: 1e7 };
  return { effort: { longest: 3, total: 10 }, until: Infinity, fma, ...change };
}

Deno.test("a series without a bound in its way has all sizes, and frees each before the next", async () => {
  const log: string[] = [];
  const { points, end } = await measureSeries(await testGpu(), plan(log), bounds());
  assert.deepEqual(points.map(({ size, load }) => [size, load]), [[1, 1], [2, 2], [4, 4], [8, 8]]);
  assert.ok(points.every(({ milliseconds }) => milliseconds > 0));
  assert.equal(end, undefined);
  assert.deepEqual(log, [1, 2, 4, 8].flatMap((size) => [`make ${size}`, `free ${size}`]));
});

Deno.test("a series ends before what would take too long, by the rate of the point before", async () => {
  const log: string[] = [];
  // 1000 times the work of 2 is far too much whatever that took.
  const steep = plan(log, { flops: (size) => size === 4 ? 2e6 : size });
  const effort = { longest: 0.5, total: 10 };
  const { points, end } = await measureSeries(await testGpu(), steep, bounds({ effort }));
  assert.deepEqual(points.map(({ size }) => size), [1, 2]);
  assert.match(end!, /^4 would take about .* s, more than 0\.5 s$/);
});

Deno.test("a series ends at what the device cannot hold, in its words, and when its time is up", async () => {
  const log: string[] = [];
  const small = plan(log);
  const prepare: GrowthPlan["prepare"] = (size) => {
    if (size > 1) throw new DeviceError("it needs 9 GiB");
    return small.prepare(size);
  };
  const full = await measureSeries(await testGpu(), { ...small, prepare }, bounds());
  assert.deepEqual([full.points.length, full.end], [1, "it needs 9 GiB"]);
  const late = await measureSeries(await testGpu(), small, bounds({ until: performance.now() - 1 }));
  assert.deepEqual([late.points.length, late.end], [0, "the time limit of this table was reached"]);
});

Deno.test("a load that is not the size is worked out of it", async () => {
  const wide = plan([], { sizes: [2], loadOf: (size) => size ** 2 });
  const { points: [point] } = await measureSeries(await testGpu(), wide, bounds());
  assert.deepEqual([point.size, point.load], [2, 4]);
});
