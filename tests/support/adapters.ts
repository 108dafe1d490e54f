/** Descriptions of adapters for tests of what depends on them. */
import { EMULATED_MATRICES } from "../../kernels/target.ts";
import type { AdapterDescription } from "../../lib/gpu/device.ts";

/** Adapter whose shaders run on the CPU. */
export const SOFTWARE: AdapterDescription = {
  backend: "deno",
  name: "Software Adapter",
  vendor: "",
  software: true,
  features: ["shader-f16"],
  subgroupSize: 8,
};

/** GPU without matrix units. */
export const PLAIN_GPU: AdapterDescription = {
  ...SOFTWARE,
  name: "Plain Card",
  software: false,
  subgroupSize: 32,
};

/** GPU with matrix units. */
export const MATRIX_GPU: AdapterDescription = {
  ...PLAIN_GPU,
  name: "Matrix Card",
  matrices: { ...EMULATED_MATRICES, dialect: "subgroup_matrix" },
};

/** GPU without float16. */
export const OLD_GPU: AdapterDescription = { ...PLAIN_GPU, name: "Old Card", features: [] };
