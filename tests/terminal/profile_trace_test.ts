import assert from "node:assert/strict";
import type { Slice } from "../../lib/gpu/profile.ts";
import type { Dispatch } from "../../lib/gpu/program.ts";
import { chromeTrace } from "../../terminal/profile_trace.ts";

function slice(label: string, start: number, milliseconds: number): Slice {
  const dispatch = { label, kernel: "add.forward", workgroups: [3, 2, 1], flops: 10, bytes: 48 };
  return { dispatch: dispatch as unknown as Dispatch, start, milliseconds };
}

Deno.test("a trace has a named process for each group, a slice for each replay and under it one for each dispatch", () => {
  const groups = [
    { name: "training step", replays: [[slice("a", 0, 1), slice("b", 2, 0.5)], [slice("a", 5, 1)]] },
    { name: "sampling step", replays: [[slice("c", 0, 1)]] },
  ];
  const { traceEvents, displayTimeUnit, otherData } = chromeTrace(groups, "Fake 9000");
  assert.deepEqual([displayTimeUnit, otherData], ["ms", { adapter: "Fake 9000" }]);
  const names = traceEvents.filter(({ ph }) => ph === "M").map(({ pid, args }) => [pid, args]);
  assert.deepEqual(names, [[0, { name: "training step" }], [1, { name: "sampling step" }]]);
  const shown = traceEvents.flatMap((event) =>
    event.ph === "X" ? [[event.pid, event.name, event.cat, event.ts, event.dur]] : []
  );
  assert.deepEqual(shown, [
    [0, "training step, 1 of 2", "replay", 0, 2500],
    [0, "a", "add.forward", 0, 1000],
    [0, "b", "add.forward", 2000, 500],
    [0, "training step, 2 of 2", "replay", 5000, 1000],
    [0, "a", "add.forward", 5000, 1000],
    [1, "sampling step, 1 of 1", "replay", 0, 1000],
    [1, "c", "add.forward", 0, 1000],
  ]);
  const b = traceEvents.find((event) => event.ph === "X" && event.name === "b")!;
  const args = { kernel: "add.forward", workgroups: [3, 2, 1], flops: 10, bytes: 48, milliseconds: 0.5 };
  assert.deepEqual(b.args, args);
});

Deno.test("slices of a track do not overlap, whatever the clock says", () => {
  const replays = [[slice("a", 0, 3), slice("b", 1, 3), slice("c", 1, 1), slice("d", 7, 1)]];
  const { traceEvents } = chromeTrace([{ name: "step", replays }], "Fake 9000");
  const spans = traceEvents.flatMap((event) =>
    event.ph === "X" && event.cat !== "replay" ? [[event.ts, event.ts + event.dur]] : []
  );
  assert.deepEqual(spans, [[0, 3000], [3000, 4000], [4000, 4000], [7000, 8000]]);
  assert.deepEqual(chromeTrace([{ name: "none", replays: [[]] }], "Fake").traceEvents.length, 1);
});
