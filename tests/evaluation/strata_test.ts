import assert from "node:assert/strict";
import { EdmProcess } from "../../lib/diffusion/edm_process.ts";
import { RectifiedFlow } from "../../lib/diffusion/rectified_flow.ts";
import { NoiseSchedule } from "../../lib/diffusion/schedule.ts";
import { strataOf } from "../../lib/evaluation/strata.ts";
import { boundSteps, divergenceTerm, snrOf } from "../../lib/evaluation/variational_bound.ts";

const processes = { linear: new NoiseSchedule(), flow: new RectifiedFlow(), edm: new EdmProcess() };

for (const [name, process] of Object.entries(processes)) {
  const levels = boundSteps(process).levels;
  for (const terms of [1, 2, 20, 100, 998, 999]) {
    Deno.test(`strata partition the levels from the second on: ${name}, ${terms} terms`, () => {
      const strata = strataOf(levels, terms);
      assert.equal(strata.length, terms);
      let next = 1;
      for (const { first, count } of strata) {
        assert.equal(first, next);
        assert.ok(count >= 1);
        next += count;
      }
      assert.equal(next, levels.length);
    });
  }
}

Deno.test("strata are small where terms are large, and none has more than a share of the timesteps", () => {
  const levels = boundSteps(processes.linear).levels;
  const strata = strataOf(levels, 20);
  assert.ok(strata.every(({ count }) => count <= 2 * levels.length / 20 + 1));
  // Terms of white Gaussian data of deviation 0.1
  const termAt = (i: number) =>
    divergenceTerm(levels[i - 1], levels[i], "fixed_small").errorWeight / (100 + snrOf(levels[i]));
  const share = ({ first, count }: { first: number; count: number }) =>
    Array.from({ length: count }, (_, k) => termAt(first + k)).reduce((a, b) => a + b);
  const total = strata.reduce((sum, stratum) => sum + share(stratum), 0);
  for (const stratum of strata) {
    if (stratum.count > 1) assert.ok(share(stratum) < 2.1 * total / 20, JSON.stringify(stratum));
  }
});

Deno.test("strata name the terms that a process has", () => {
  assert.throws(
    () => strataOf(boundSteps(processes.linear).levels, 1000),
    /terms: expected a whole number from 1 to 999, got 1000/,
  );
});
