import assert from "node:assert/strict";
import { EMULATED_MATRICES } from "../../kernels/target.ts";
import { ConfigError } from "../../lib/errors.ts";
import { matrixUnits } from "../../lib/gpu/matrices.ts";
import { emulationAsked } from "../../lib/gpu/open.ts";
import { withEnvironment } from "../support/environment.ts";

/** A configuration as Dawn gives it: an object whose fields are accessors of its prototype, so that it prints as `{}`. */
class Config {
  readonly #fields: readonly [string, string, number, number, number];
  constructor(...fields: readonly [string, string, number, number, number]) {
    this.#fields = fields;
  }
  get componentType() {
    return this.#fields[0];
  }
  get resultComponentType() {
    return this.#fields[1];
  }
  get M() {
    return this.#fields[2];
  }
  get N() {
    return this.#fields[3];
  }
  get K() {
    return this.#fields[4];
  }
}

const CONFIGS = [
  new Config("f16", "f16", 16, 16, 16),
  new Config("f16", "f32", 16, 16, 16),
  new Config("f16", "f32", 16, 8, 8),
  new Config("i8", "i32", 16, 16, 32),
];
const BOTH = new Set(["chromium-experimental-subgroup-matrix", "shader-f16"]);

function unitsOf(subgroupMatrixConfigs: Config[] | undefined, features = BOTH, subgroupSize = 32) {
  return matrixUnits({ subgroupMatrixConfigs } as unknown as GPUAdapterInfo, features, subgroupSize);
}

Deno.test("matrix units are the adapter's configurations from float16 to float32, in its order", () => {
  assert.deepEqual(unitsOf(CONFIGS), {
    dialect: "subgroup_matrix",
    subgroupSize: 32,
    shapes: [{ rows: 16, columns: 16, depth: 16 }, { rows: 16, columns: 8, depth: 8 }],
  });
});

Deno.test("there are no matrix units without such a configuration, a feature they need, or a fixed subgroup size", () => {
  assert.equal(unitsOf(undefined), undefined);
  assert.equal(unitsOf([]), undefined);
  assert.equal(unitsOf([CONFIGS[0], CONFIGS[3]]), undefined);
  for (const feature of BOTH) {
    assert.equal(unitsOf(CONFIGS, new Set([...BOTH].filter((other) => other !== feature))), undefined);
  }
  assert.equal(unitsOf(CONFIGS, BOTH, 0), undefined);
});

Deno.test("matrix units are emulated if asked for, where there are none, on a device with float16", () => {
  const emulated = (subgroupMatrixConfigs: Config[], features: Set<string>) =>
    matrixUnits({ subgroupMatrixConfigs } as unknown as GPUAdapterInfo, features, 32, true);
  assert.deepEqual(emulated([], new Set(["shader-f16"])), EMULATED_MATRICES);
  assert.deepEqual(emulated(CONFIGS, BOTH), unitsOf(CONFIGS));
  assert.equal(emulated([], new Set()), undefined);
});

Deno.test("the environment asks for emulation by one word, and another is refused", async () => {
  const asked = (value: string | undefined) => withEnvironment({ DENOISE_MATRICES: value }, emulationAsked);
  assert.deepEqual([await asked(undefined), await asked(""), await asked("emulate")], [false, false, true]);
  await assert.rejects(asked("yes"), (error: Error) => {
    assert.equal(error.message, 'DENOISE_MATRICES: expected emulate, got "yes"');
    return error instanceof ConfigError;
  });
});

Deno.test("where the subgroup size varies, kernels demand 32 lanes if they can", () => {
  const features = new Set([...BOTH, "subgroups", "subgroup-size-control"]);
  const unitsIn = (subgroupMinSize: number, subgroupMaxSize: number, has = features) =>
    matrixUnits(
      { subgroupMatrixConfigs: CONFIGS, subgroupMinSize, subgroupMaxSize } as unknown as GPUAdapterInfo,
      has,
      0,
    );
  assert.deepEqual(unitsIn(32, 64), {
    ...{ dialect: "subgroup_matrix", subgroupSize: 32, sizeControl: true },
    shapes: [{ rows: 16, columns: 16, depth: 16 }, { rows: 16, columns: 8, depth: 8 }],
  });
  assert.equal(unitsIn(8, 16), undefined);
  assert.equal(unitsIn(64, 64), undefined);
  assert.equal(unitsIn(32, 64, new Set([...BOTH, "subgroups"])), undefined);
});
