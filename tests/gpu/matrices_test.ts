import assert from "node:assert/strict";
import { matrixUnits } from "../../lib/gpu/matrices.ts";

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
