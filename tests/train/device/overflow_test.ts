import assert from "node:assert/strict";
import { ConfigError } from "../../../lib/errors.ts";
import { checkOverflow } from "../../../lib/train/device/overflow.ts";
import { testGpu } from "../../support/gpu.ts";

Deno.test("this adapter's float16 overflows to infinity, as the loss scale needs", async () => {
  await checkOverflow(await testGpu());
});

Deno.test("an adapter whose float16 saturates or overflows to anything but infinity cannot train in mixed precision", async () => {
  const gpu = await testGpu();
  const cases: [(value: number) => number, RegExp][] = [
    [(value) => Math.sign(value) * 65504, /converts 65536 to 65504 in float16/],
    [(value) => value < 0 ? Infinity : Math.f16round(value), /converts -65536 to Infinity/],
    [(value) => Math.abs(value) > 1e6 ? NaN : Math.f16round(value), /converts 1000000000 to NaN/],
  ];
  for (const [rounded, message] of cases) {
    await assert.rejects(
      checkOverflow(gpu, (_gpu, values) => Promise.resolve(Float16Array.from(values, rounded))),
      (error) => error instanceof ConfigError && error.field === "precision" && message.test(error.message),
    );
  }
});
