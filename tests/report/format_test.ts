import assert from "node:assert/strict";
import { countOf, formatSeconds, formatTime, formatValue } from "../../lib/report/format.ts";

Deno.test("durations have their two largest units", () => {
  const times = [0.04, 9.9, 10, 59.4, 59.6, 60, 125, 3599.4, 3599.6, 3600, 7500, 90_000];
  assert.deepEqual(times.map(formatSeconds), [
    ...["0.0 s", "9.9 s", "10 s", "59 s"],
    ...["1 min 00 s", "1 min 00 s", "2 min 05 s", "59 min 59 s"],
    ...["1 h 00 min", "1 h 00 min", "2 h 05 min", "25 h 00 min"],
  ]);
});

Deno.test("values have four digits, whole ones all of theirs, and small ones a power of ten", () => {
  const values = [0, 12_345, 0.5, 0.001, 0.00099, -0.0002, 999.94, 1234.5];
  assert.deepEqual(values.map(formatValue), [
    ...["0", "12,345", "0.5000", "0.001000", "9.90e-4", "-2.00e-4", "999.9", "1,235"],
  ]);
});

Deno.test("a text that is no time stays as it is, and one of a thing is not several", () => {
  assert.equal(formatTime("2026-12-01T00:25:59+01:00"), "2026-11-30 23:25 UTC");
  assert.equal(formatTime("yesterday"), "yesterday");
  assert.deepEqual([0, 1, 2000].map((count) => countOf(count, "epoch")), [
    "0 epochs",
    "1 epoch",
    "2,000 epochs",
  ]);
  assert.equal(countOf(2, "class", "classes"), "2 classes");
});
