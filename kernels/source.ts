/**
 * Interface of a WGSL kernel, parsed from its text, so that launchers are type-checked against the WGSL.
 *
 * Conventions of kernel files:
 * - all bindings are in group 0; `@binding(0) var<uniform> params: Params` holds the shapes (scalar fields only),
 *   storage buffers follow from binding 1, each with a name of its own;
 * - `override` constants for tiles and switches, `const` for mathematics;
 * - several entry points (forward, backward) may share a file; each uses a subset of the bindings.
 *
 * @module
 */

import { findStructs, parseFields, type ScalarType } from "./struct.ts";

/** One buffer that a kernel file declares. */
export interface KernelBinding {
  /** Index in bind group 0. */
  readonly binding: number;
  /** Access mode in WGSL. */
  readonly access: "read" | "read_write";
}

/** Kernel: WGSL text and its parsed interface. */
export interface KernelSource {
  /** File name without `.wgsl`, or the generator's name for a generated kernel; used in errors and profiles. */
  readonly name: string;
  /** The complete WGSL text. */
  readonly code: string;
  /** Storage buffers by variable name. */
  readonly bindings: Readonly<Record<string, KernelBinding>>;
  /** Fields of `struct Params` in order; empty where the kernel has no uniform. */
  readonly params: Readonly<Record<string, ScalarType>>;
  /** Names of the `@compute` functions. */
  readonly entryPoints: readonly string[];
}

const BINDING =
  /@group\(0\)\s*@binding\((\d+)\)\s*var<(uniform|storage)(?:\s*,\s*(read|read_write))?>\s*(\w+)\s*:/g;
const ENTRY_POINT = /@compute[^{;]*?\bfn\s+(\w+)\s*\(/g;

/**
 * Parses bindings, parameters and entry points of a kernel.
 *
 * @param name the kernel's name, for messages
 * @param code its WGSL text with all includes expanded
 * @throws {Error} if the text violates the conventions above: a bug in the kernel
 */
export function parseKernel(name: string, code: string): KernelSource {
  const text = code.replace(/\/\/.*$/gm, "");
  const bindings: Record<string, KernelBinding> = {};
  for (const [, index, space, access, variable] of text.matchAll(BINDING)) {
    if (space === "uniform") {
      if (index !== "0" || variable !== "params") {
        throw new Error(`${name}.wgsl: the only uniform is params at binding 0`);
      }
      continue;
    }
    if (index === "0") throw new Error(`${name}.wgsl: binding 0 is kept for params`);
    bindings[variable] = { binding: Number(index), access: access === "read_write" ? "read_write" : "read" };
  }
  const params = parseFields(`${name}.wgsl: Params`, findStructs(text).get("Params") ?? "");
  const entryPoints = [...text.matchAll(ENTRY_POINT)].map(([, fn]) => fn);
  if (entryPoints.length === 0) throw new Error(`${name}.wgsl: no @compute entry point`);
  return {
    name,
    code,
    bindings,
    params: Object.fromEntries(params.map((field) => [field.name, field.type])),
    entryPoints,
  };
}

/** Override constants of a pipeline, by name. */
export type OverrideConstants = Readonly<Record<string, number>>;

/** Launch as part of a combination. */
export interface CombinedLaunch {
  readonly params: Readonly<Record<string, number>>;
  /** Bytes from the start of the combination's buffer to that of the launch, by buffer name. */
  readonly offsets: Readonly<Record<string, number>>;
}

/** One launch that does the work of several. */
export interface Combination {
  /** Their work, the contents of a storage buffer. */
  readonly records: Uint32Array<ArrayBuffer>;
  /**
   * The launch.
   *
   * @param buffers by the names of the combined launches; each contains theirs
   */
  bind<B>(records: B, buffers: Readonly<Record<string, B>>): Launch<B>;
}

/** Combines launches of a kernel whose buffers are ranges of the same buffers; the results have the same bits. */
export type Combine = (launches: readonly CombinedLaunch[]) => Combination;

/** Dispatch without its pipeline. `B` is the buffer type of this stage: a symbolic tensor or a buffer view. */
export interface Launch<B> {
  readonly kernel: KernelSource;
  readonly entry: string;
  readonly constants: OverrideConstants;
  readonly params: Readonly<Record<string, number>>;
  readonly buffers: Readonly<Record<string, B>>;
  readonly workgroups: readonly [number, number, number];
  /** Operation and layer, e.g. `conv2d down_blocks.0.resnets.0.conv1`. */
  readonly label: string;
  /**
   * Floating-point operations of matrix products and convolutions, 2 per multiply-add, counted as by the direct algorithm; 0
   * for memory-bound kernels.
   */
  readonly flops: number;
  /** Operations that the kernel performs, which Winograd has fewer of. */
  readonly operations: number;
  /** Combines the launch with others of its kernel; absent: it stays alone. */
  readonly combine?: Combine;
}

/** Optional arguments of {@linkcode launch}. */
export interface LaunchOptions {
  constants?: OverrideConstants;
  label?: string;
  flops?: number;
}

/**
 * Creates a launch; entry point, parameters and buffers are type-checked against the kernel's text.
 *
 * @param kernel kernel source
 * @param entry entry point
 * @param params all fields of its `Params`
 * @param buffers storage buffers of this entry point, by WGSL name
 * @param workgroups number of workgroups along x, y, z
 */
export function launch<B, const K extends KernelSource>(
  kernel: K,
  entry: K["entryPoints"][number],
  params: { readonly [P in keyof K["params"]]: number },
  buffers: { readonly [N in keyof K["bindings"]]?: B },
  workgroups: readonly [number, number, number],
  options: LaunchOptions = {},
): Launch<B> {
  return {
    kernel,
    entry,
    params: params as Record<string, number>,
    // Callers pass absent optional operands on as undefined.
    buffers: Object.fromEntries(
      Object.entries(buffers).filter(([, buffer]) => buffer !== undefined),
    ) as Record<string, B>,
    workgroups,
    constants: options.constants ?? {},
    label: options.label ?? `${kernel.name}.${entry}`,
    flops: options.flops ?? 0,
    operations: options.flops ?? 0,
  };
}

/** WebGPU's guaranteed limit on workgroups per dimension. */
const MAX_WORKGROUPS = 65535;

/**
 * Workgroups for `count` items at `perGroup` items per workgroup, folded over x and y if x alone would exceed WebGPU's
 * limit. The kernel computes its group as `workgroup_id.y * num_workgroups.x + workgroup_id.x` and must check the range.
 */
export function grid1d(count: number, perGroup: number): [number, number, number] {
  const groups = Math.max(1, Math.ceil(count / perGroup));
  const y = Math.ceil(groups / MAX_WORKGROUPS);
  return [Math.ceil(groups / y), y, 1];
}
