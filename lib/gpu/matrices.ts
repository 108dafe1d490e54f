/**
 * Matrix units (tensor cores) of an adapter, through WebGPU's experimental subgroup matrices.
 *
 * @module
 */
import { EMULATED_MATRICES, type MatrixUnits } from "../../kernels/target.ts";

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
 * @param subgroupSize lanes of every subgroup; 0 if the size varies, so that kernels must demand one
 * @param emulate emulates them if the adapter has none
 */
export function matrixUnits(
  info: GPUAdapterInfo,
  features: { has(feature: string): boolean },
  subgroupSize: number,
  emulate = false,
): MatrixUnits | undefined {
  return nativeUnits(info, features, subgroupSize) ??
    (emulate && features.has("shader-f16") ? EMULATED_MATRICES : undefined);
}

function nativeUnits(
  info: GPUAdapterInfo,
  features: { has(feature: string): boolean },
  subgroupSize: number,
): MatrixUnits | undefined {
  const needed = ["chromium-experimental-subgroup-matrix", "shader-f16"];
  const subgroups = subgroupSize > 0 ? { subgroupSize } : demandedSize(info, features);
  if (!subgroups || !needed.every((feature) => features.has(feature))) return undefined;
  const { subgroupMatrixConfigs = [] } = info as { subgroupMatrixConfigs?: Iterable<SubgroupMatrixConfig> };
  const shapes = [...subgroupMatrixConfigs]
    .filter((config) => config.componentType === "f16" && config.resultComponentType === "f32")
    .map(({ M, N, K }) => ({ rows: M, columns: N, depth: K }));
  return shapes.length > 0 ? { dialect: "subgroup_matrix", ...subgroups, shapes } : undefined;
}

/** Lanes of a subgroup in kernels that demand a size, where it varies; undefined where they cannot have this one. */
const DEMANDED = 32;

function demandedSize(
  { subgroupMinSize, subgroupMaxSize }: GPUAdapterInfo,
  features: { has(feature: string): boolean },
): Pick<MatrixUnits, "subgroupSize" | "sizeControl"> | undefined {
  const can = ["subgroups", "subgroup-size-control"].every((feature) => features.has(feature)) &&
    subgroupMinSize <= DEMANDED && DEMANDED <= subgroupMaxSize;
  return can ? { subgroupSize: DEMANDED, sizeControl: true } : undefined;
}
