import assert from "node:assert/strict";
import { fairRows, StepTimes } from "../../../server/queue/step_times.ts";

function times(measured: Readonly<Record<number, number>>): StepTimes {
  const times = new StepTimes(measured[1]);
  for (const [rows, seconds] of Object.entries(measured)) {
    const programRows = Number(rows);
    times.add({ steps: 2, seconds: 2 * seconds, rows: programRows, programRows, images: [] });
  }
  return times;
}

Deno.test("the fastest step counts; between programs it is on a line, above them as fast as the largest", () => {
  const one = times({ 1: 1, 4: 2.5 });
  one.add({ steps: 1, seconds: 9, rows: 4, programRows: 4, images: [] });
  one.add({ steps: 10, seconds: 20, rows: 3, programRows: 4, images: [] });
  assert.deepEqual([1, 2, 3, 4, 16].map((rows) => one.atLeast(rows)), [1, 1, 1, 2, 2]);
  const about = [1, 2.5, 4, 16].map((rows) => one.about(rows));
  assert.deepEqual(about, [1, 1.5, 2, 2]);
});

Deno.test("a program that was measured slower than a larger one does not make that one slower", () => {
  const noisy = times({ 1: 1, 2: 5, 4: 3 });
  assert.deepEqual([noisy.about(2), noisy.about(3), noisy.atLeast(4)], [5, 5, 5]);
});

Deno.test("the batch is as large as it may be without slowing who asks for little beyond a fair part", () => {
  const asked = (rows: number, image = 2) => ({ rows, image });
  const flat = times({ 1: 1, 16: 1.2 });
  const proportional = times({ 1: 1, 16: 16 });
  assert.equal(fairRows([asked(16)], 16, proportional), 16, "alone");
  assert.equal(fairRows([asked(16), asked(2)], 16, flat), 16);
  assert.equal(fairRows([asked(16), asked(2)], 16, proportional), 4);
  assert.equal(fairRows([asked(16), asked(2), asked(6)], 16, proportional), 6);
  assert.equal(fairRows([asked(100), asked(100)], 16, proportional), 16);
  assert.equal(
    fairRows([asked(16), asked(1, 1)], 16, proportional),
    3,
    "room for a guided image and a plain one",
  );
  assert.equal(fairRows(Array.from({ length: 20 }, () => asked(2)), 16, proportional), 16);
});
