import assert from "node:assert/strict";
import { shownSteps, type Spread } from "../../lib/sampling/moments.ts";

Deno.test("steps to show are spaced evenly, denser towards the end, at the ends of equal parts, or every n", () => {
  const cases: [steps: number, spread: Spread, shown: number[]][] = [
    [9, { count: 5, spacing: "even" }, [0, 2, 4, 6, 8]],
    [3, { count: 10, spacing: "even" }, [0, 1, 2]],
    [1, { count: 2, spacing: "even" }, [0]],
    [101, { count: 6, spacing: "late" }, [0, 36, 64, 84, 96, 100]],
    [4, { count: 30, spacing: "late" }, [0, 1, 2, 3]],
    [1, { count: 2, spacing: "late" }, [0]],
    [12, { count: 4, spacing: "ends" }, [2, 5, 8, 11]],
    [5, { count: 1, spacing: "ends" }, [4]],
    [2, { count: 9, spacing: "ends" }, [0, 1]],
    [10, { every: 4 }, [3, 7, 9]],
    [8, { every: 4 }, [3, 7]],
    [3, { every: 7 }, [2]],
  ];
  for (const [steps, spread, shown] of cases) {
    assert.deepEqual(shownSteps(steps, spread), shown, `${steps} ${JSON.stringify(spread)}`);
  }
});

Deno.test("steps to show ascend and end with the last, whatever is asked for", () => {
  for (let steps = 1; steps <= 200; steps++) {
    for (const count of [2, 3, 9, 30, 300]) {
      const spreads: Spread[] = [{ every: count }];
      for (const spacing of ["even", "late", "ends"] as const) spreads.push({ count, spacing });
      for (const spread of spreads) {
        const shown = shownSteps(steps, spread);
        assert.ok(
          shown.every((step, i) => Number.isInteger(step) && step > (shown[i - 1] ?? -1)),
          `${shown}`,
        );
        assert.equal(shown.at(-1), steps - 1);
      }
    }
  }
});
