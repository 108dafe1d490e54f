import assert from "node:assert/strict";
import { thinEarly, thinOut } from "../../lib/report/thin.ts";

Deno.test("a long curve keeps its end and its mean, or its highest peak", () => {
  const x = Array.from({ length: 1003 }, (_, i) => i + 1);
  const y = x.map((step) => step === 500 ? 9 : 1);
  const mean = thinOut({ x, y }, 100, "mean");
  assert.ok(mean.x.length <= 100 && mean.x.length > 50);
  assert.equal(mean.x.at(-1), 1003);
  assert.ok(Math.max(...mean.y) < 2);
  const peaks = thinOut({ x, y }, 100, "max");
  assert.equal(Math.max(...peaks.y), 9);
  const at = peaks.x[peaks.y.indexOf(9)];
  assert.ok(at >= 500 && at < 511);
  assert.deepEqual(thinOut({ x, y }, 1003, "mean"), { x, y });
  assert.deepEqual(thinOut({ x: [], y: [] }, 10, "mean"), { x: [], y: [] });
});

Deno.test("of many grids early ones are left out, but not the first nor the last, within the limit", () => {
  const epochs = Array.from({ length: 100 }, (_, i) => i + 1);
  const kept = thinEarly(epochs, () => 10, 300);
  assert.ok(kept.length <= 30 && kept.length >= 28, String(kept.length));
  assert.deepEqual([kept[0], kept.at(-1)], [1, 100]);
  const gaps = kept.slice(1).map((epoch, i) => epoch - kept[i]);
  assert.equal(gaps.at(-1), 1);
  assert.ok(Math.max(...gaps.slice(0, 10)) > 3 * gaps.at(-1)!);
  assert.deepEqual(thinEarly(epochs, () => 1, 100), epochs);
  assert.deepEqual(thinEarly([1, 2, 3], () => 10, 5), [3]);
  assert.deepEqual(thinEarly([], () => 10, 5), []);
});
