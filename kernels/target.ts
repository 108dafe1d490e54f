/**
 * Kernel variants of a device, and the interface by which autotuning selects them.
 *
 * @module
 */

/** Size of one matrix multiply-accumulate, C [rows, columns] += A [rows, depth] B [depth, columns]. */
export interface MatrixShape {
  /** Rows of A and C. */
  readonly rows: number;
  /** Columns of B and C. */
  readonly columns: number;
  /** Columns of A, rows of B. */
  readonly depth: number;
}

/**
 * Matrix units: hardware that multiplies small matrices held by a subgroup (tensor cores), with float16 operands and float32
 * sums.
 */
export interface MatrixUnits {
  /**
   * `subgroup_matrix`: the WGSL extension `chromium_experimental_subgroup_matrix`. `emulation`: the same kernels in plain WGSL,
   * for tests of their logic on any adapter.
   */
  readonly dialect: "subgroup_matrix" | "emulation";
  /** Lanes of the subgroups that hold a matrix. */
  readonly subgroupSize: number;
  /** Subgroups have this size only in kernels that demand it (`subgroup_size_control`); default: always. */
  readonly sizeControl?: boolean;
  /** Supported sizes, in the adapter's order. */
  readonly shapes: readonly MatrixShape[];
}

/** Matrix units for tests, emulated in plain WGSL; see {@linkcode MatrixUnits.dialect}. */
export const EMULATED_MATRICES: MatrixUnits = {
  dialect: "emulation",
  subgroupSize: 32,
  shapes: [{ rows: 16, columns: 16, depth: 16 }],
};

/** Properties of a device that kernel generators depend on; see `kernelTarget` in lib/graph/compile.ts. */
export interface KernelTarget {
  /**
   * `subgroup`, for software adapters: one fixed-size subgroup per workgroup, registers and subgroup broadcasts, no
   * workgroup memory. `tile`, for GPUs: tiles staged in workgroup memory.
   */
  readonly path: "subgroup" | "tile";
  /** Lanes of a subgroup; 0 if the size varies or subgroup operations are unavailable. */
  readonly subgroupSize: number;
  /**
   * Store activations, their gradients, and convolution and linear weights as float16, which needs `shader-f16`; all else
   * stays float32. See storage.ts.
   */
  readonly half?: boolean;
  /** Largest buffer range that a kernel can bind, bytes; default {@linkcode GUARANTEED_BINDING}. */
  readonly bindingBytes?: number;
  /** Limit on a workgroup's memory in bytes; default {@linkcode GUARANTEED_WORKGROUP_BYTES}. */
  readonly workgroupBytes?: number;
  /** Memory is short: no results are kept for speed, in launches that are combined or left out. */
  readonly frugal?: true;
  /** Matrix units; absent: none. See {@linkcode unitsOfProducts}. */
  readonly matrices?: MatrixUnits;
  /** Selects among candidates; default the first. */
  readonly choose?: Choose;
}

/** WebGPU's guaranteed limit on a storage buffer binding, bytes. */
export const GUARANTEED_BINDING: number = 2 ** 27;

/** WebGPU's guaranteed workgroup memory, bytes. */
export const GUARANTEED_WORKGROUP_BYTES = 16384;

/** WebGPU's guaranteed limit on invocations per workgroup. */
export const GUARANTEED_INVOCATIONS = 256;

/**
 * Matrix units that products are computed on; undefined if none are. Software adapters have a faster way with the same sums,
 * even if units are emulated.
 */
export function unitsOfProducts({ path, half = false, matrices }: KernelTarget): MatrixUnits | undefined {
  return half && path === "tile" ? matrices : undefined;
}

/**
 * Selects one of several variants that compute the same result, always the same one for the same key.
 *
 * @param key operation with all sizes
 * @param candidates names of the variants, the default first; never empty
 */
export type Choose = (key: string, candidates: readonly string[]) => string;

/**
 * Selects the candidate for `key` on a target.
 *
 * @param others names that a target may select although they are no candidates
 * @throws {RangeError} for any other name
 */
export function choose(
  { choose }: KernelTarget,
  key: string,
  candidates: readonly string[],
  others: () => readonly string[] = () => [],
): string {
  if (!choose || candidates.length < 2) return candidates[0];
  const chosen = choose(key, candidates);
  if (candidates.includes(chosen) || others().includes(chosen)) return chosen;
  const known = [...new Set([...candidates, ...others()])].join(", ");
  throw new RangeError(`choice of ${key}: expected one of ${known}, got ${JSON.stringify(chosen)}`);
}
