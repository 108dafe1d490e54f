/**
 * Matrix units of an adapter (tensor cores), which WebGPU's experimental subgroup matrices reach.
 *
 * @module
 */
import type { MatrixUnits } from "../../kernels/target.ts";

/** One supported size of an adapter; WebGPU's types lack it. `M` rows, `N` columns, `K` depth. */
interface SubgroupMatrixConfig {
  readonly componentType: string;
  readonly resultComponentType: string;
  readonly M: number;
  readonly N: number;
  readonly K: number;
}

/**
 * Matrix units with float16 operands and float32 sums; undefined if there are none. Sums in float16 overflow in networks.
 *
 * @param features of the device
 * @param subgroupSize lanes of every subgroup; 0 if the size varies
 */
export function matrixUnits(
  info: GPUAdapterInfo,
  features: { has(feature: string): boolean },
  subgroupSize: number,
): MatrixUnits | undefined {
  const needed = ["chromium-experimental-subgroup-matrix", "shader-f16"];
  if (subgroupSize === 0 || !needed.every((feature) => features.has(feature))) return undefined;
  const { subgroupMatrixConfigs = [] } = info as { subgroupMatrixConfigs?: Iterable<SubgroupMatrixConfig> };
  const shapes = [...subgroupMatrixConfigs]
    .filter((config) => config.componentType === "f16" && config.resultComponentType === "f32")
    .map(({ M, N, K }) => ({ rows: M, columns: N, depth: K }));
  return shapes.length > 0 ? { dialect: "subgroup_matrix", subgroupSize, shapes } : undefined;
}
