import assert from "node:assert/strict";
import { CheckpointError, ConfigError, DataError, DeviceError } from "../../../lib/errors.ts";
import { errorFrom, errorRecord } from "../../../server/engine/protocol.ts";

Deno.test("errors come across with class, message and stack", () => {
  const across = (error: unknown) => errorFrom(structuredClone(errorRecord(error)));
  for (
    const error of [
      new CheckpointError("unet.safetensors: truncated"),
      new DeviceError("no adapter"),
      new DataError("not a PNG"),
    ]
  ) {
    const copy = across(error);
    assert.equal(copy.constructor, error.constructor);
    assert.deepEqual([copy.name, copy.message, copy.stack], [error.name, error.message, error.stack]);
  }
  const config = across(new ConfigError("act_fn", "gelu", '"silu"')) as ConfigError;
  assert.ok(config instanceof ConfigError);
  assert.deepEqual([config.message, config.field, config.value], [
    'act_fn: expected "silu", got "gelu"',
    "act_fn",
    "gelu",
  ]);
  assert.equal((across(new ConfigError("size", [1, 2], "a number")) as ConfigError).value, "[1, 2]");
  const bug = across(new TypeError("x is undefined"));
  assert.deepEqual([bug.name, bug.message, bug.constructor], ["TypeError", "x is undefined", Error]);
  assert.equal(across("a string").message, "a string");
});
