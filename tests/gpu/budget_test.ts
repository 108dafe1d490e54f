import assert from "node:assert/strict";
import { ConfigError, DeviceError } from "../../lib/errors.ts";
import { mebibytes, MemoryBudget } from "../../lib/gpu/budget.ts";

const MIB = 2 ** 20;

Deno.test("sizes read as mebibytes, with a digit behind the point where it says something", () => {
  assert.equal(mebibytes(0), "0.0 MiB");
  assert.equal(mebibytes(1.26 * MIB), "1.3 MiB");
  assert.equal(mebibytes(9.9 * MIB), "9.9 MiB");
  assert.equal(mebibytes(1536 * MIB), "1536 MiB");
  assert.equal(mebibytes(48), "0.00005 MiB");
  assert.equal(mebibytes(64 * 1024), "0.06 MiB");
});

Deno.test("the budget refuses with the bytes needed, held and allowed", () => {
  const budget = new MemoryBudget(100 * MIB, "a toy");
  budget.add(60 * MIB);
  budget.require(40 * MIB, "something that just fits");
  assert.throws(
    () => budget.require(40 * MIB + 4, "training small at batch 128"),
    new DeviceError(
      "training small at batch 128 needs 40 MiB of device memory, 60 MiB are in use and 100 MiB are allowed on a toy; " +
        "use a smaller batch or model, or raise the memory budget",
    ),
  );
  budget.remove(60 * MIB);
  budget.require(100 * MIB, "all of it");
});

Deno.test("a budget that is no number of bytes is refused by name", () => {
  for (const limit of [NaN, -1, 0, -Infinity]) {
    assert.throws(
      () => new MemoryBudget(limit, "a toy"),
      new ConfigError("memoryBudget", limit, "a number of bytes above 0, or Infinity"),
    );
  }
  assert.equal(new MemoryBudget(Infinity, "a toy").limit, Infinity);
});
