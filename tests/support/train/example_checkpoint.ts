/** Small checkpoints whose values all depend on the step, so that mixed-up files are detected. */
import assert from "node:assert/strict";
import type { Checkpoint, LoadedCheckpoint, Pipeline, StateTensor } from "../../../lib/files/checkpoint.ts";

const SHAPES: [string, number[]][] = [["conv_in.weight", [8, 3, 3, 3]], ["conv_in.bias", [8]], ["empty", [
  0,
  4,
]]];

/** The checkpoint of a step; variants of a step differ. */
export function exampleCheckpoint(step: number, variant = 0): Checkpoint {
  const floats = (count: number, salt: number) =>
    new Float32Array(
      Uint32Array.from({ length: count }, (_, i) => Math.imul(i + 1, 0x9e3779b1) ^ salt).buffer,
    );
  const tensor = (shape: number[], salt: number) => ({
    shape,
    data: floats(shape.reduce((a, b) => a * b, 1), Math.imul(step * 16 + variant, 0x85ebca6b) + salt),
  });
  const trainerTensors: Checkpoint["trainerTensors"] = new Map();
  for (const [name, shape] of SHAPES) {
    for (const [salt, role] of ["raw", "m", "v"].entries()) {
      trainerTensors.set(`${role}.${name}`, tensor(shape, salt + 1));
    }
  }
  trainerTensors.set("order", { shape: [3], data: Uint32Array.of(step, 2 ** 32 - 1, variant) });
  trainerTensors.set("flips", { shape: [2], data: Uint8Array.of(255, step) });
  return {
    step,
    ema: new Map(SHAPES.map(([name, shape]) => [name, tensor(shape, 0)])),
    trainerTensors,
    trainer: { step, seed: 7, variant, options: { lr: 2e-4, classes: ["cat", "dog"], out: null } },
    unetConfig: { _class_name: "UNet2DModel", attention_head_dim: null, sample_size: 32, norm_eps: 1e-6 },
    schedulerConfig: { _class_name: "DDPMScheduler", num_train_timesteps: 1000 },
    modelIndex: { _class_name: "DDPMPipeline", unet: ["diffusers", "UNet2DModel"] },
  };
}

type Tensors = ReadonlyMap<string, StateTensor>;

/** Tensor bits, so that NaN payloads and the sign of zero count. */
function bitsOf(tensors: Tensors): Record<string, unknown> {
  const entries = [...tensors].map(([name, { shape, data }]) => {
    const bits = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
    return [name, { shape, type: data.constructor.name, bits: [...bits] }];
  });
  return Object.fromEntries(entries);
}

/** Fails unless all bits equal `expected`. */
export function assertSame(actual: LoadedCheckpoint, expected: Checkpoint): void {
  assert.equal(actual.step, expected.step);
  assert.deepEqual(bitsOf(actual.ema), bitsOf(expected.ema));
  assert.deepEqual(bitsOf(actual.trainerTensors), bitsOf(expected.trainerTensors));
  for (const part of ["trainer", "unetConfig", "schedulerConfig", "modelIndex"] as const) {
    assert.deepEqual(actual[part], expected[part]);
  }
}

/** Fails unless the model is the EMA of `expected`, bit for bit. */
export function assertModelOf(actual: Pipeline, expected: Checkpoint): void {
  assert.deepEqual(bitsOf(actual.tensors), bitsOf(expected.ema));
  for (const part of ["unetConfig", "schedulerConfig", "modelIndex"] as const) {
    assert.deepEqual(actual[part], expected[part]);
  }
}
