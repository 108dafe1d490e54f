import assert from "node:assert/strict";
import { emaProfile } from "../../kernels/ema_profile.ts";
import { assertClose } from "../support/close.ts";
import { type HostArray, runOnArrays, testGpu } from "../support/gpu.ts";

Deno.test("each profile is updated at its own rate, and not where the step was not finite: elements=1000", async () => {
  const gpu = await testGpu();
  const elements = 1000;
  const rates = Float32Array.of(1, 0.25, 1e-4);
  const parameters = Float32Array.from({ length: elements }, (_, i) => Math.sin(i * 0.7));
  for (const nonFinite of [0, 1]) {
    for (let profile = 0; profile < 3; profile++) {
      const average = Float32Array.from({ length: elements }, (_, i) => Math.cos(i * 1.3));
      const before = average.slice();
      const health = new Uint32Array(4);
      // See records/training.wgsl.
      health[2] = nonFinite;
      await runOnArrays(
        gpu,
        emaProfile<HostArray>({ elements, profile }, { health, rates, parameters, average }),
      );
      const rate = nonFinite ? 0 : rates[profile]!;
      const expected = before.map((value, i) => value + rate * (parameters[i]! - value));
      assertClose(average, expected, { absolute: 1.2e-7 }, `profile ${profile}`);
      assert.equal(average.every((value, i) => value === before[i]), nonFinite === 1);
    }
  }
});
