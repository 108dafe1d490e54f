/**
 * Interface of a WGSL kernel file, parsed from its text, so that the TypeScript that launches it cannot drift from it.
 *
 * Conventions every kernel file follows:
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
  /** How the kernel uses it. */
  readonly access: "read" | "read_write";
}

/** A kernel file: its text and what was parsed from it. */
export interface KernelSource {
  /** File name without `.wgsl`, or the generator's name for a generated kernel; appears in errors and profiles. */
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
 * Reads bindings, parameters and entry points off a kernel's WGSL text.
 *
 * @param name the kernel's name, for messages
 * @param code its WGSL text with all includes expanded
 * @throws {Error} when the text breaks the conventions above; kernels are ours, so this is a bug and not bad input
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

/** One dispatch: a kernel with everything it needs except the pipeline. `B` is how buffers are named at this stage. */
export interface Launch<B> {
  readonly kernel: KernelSource;
  readonly entry: string;
  readonly constants: OverrideConstants;
  readonly params: Readonly<Record<string, number>>;
  readonly buffers: Readonly<Record<string, B>>;
  readonly workgroups: readonly [number, number, number];
  /** What this dispatch computes for whom, e.g. `conv2d down_blocks.0.resnets.0.conv1`. */
  readonly label: string;
  /** Floating-point operations of products (2 per multiply-add); 0 where memory traffic is what counts. */
  readonly flops: number;
}

/** Arguments of {@linkcode launch} that may be left out. */
export interface LaunchOptions {
  constants?: OverrideConstants;
  label?: string;
  flops?: number;
}

/**
 * Describes one dispatch; the types tie entry point, parameters and buffers to the kernel's text.
 *
 * @param kernel one of the sources
 * @param entry which of its entry points
 * @param params every field of its `Params`
 * @param buffers the storage buffers this entry point uses, by their WGSL names
 * @param workgroups how many workgroups along x, y, z
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
    // Optional operands arrive as undefined where a caller passes them on.
    buffers: Object.fromEntries(
      Object.entries(buffers).filter(([, buffer]) => buffer !== undefined),
    ) as Record<string, B>,
    workgroups,
    constants: options.constants ?? {},
    label: options.label ?? `${kernel.name}.${entry}`,
    flops: options.flops ?? 0,
  };
}

/** WebGPU's guaranteed limit of workgroups along one dimension. */
const MAX_WORKGROUPS = 65535;

/**
 * Workgroups for `count` items at `perGroup` items a workgroup, folded over x and y where x alone would pass
 * WebGPU's limit. The kernel finds its group as `workgroup_id.y * num_workgroups.x + workgroup_id.x` and must
 * check its range.
 */
export function grid1d(count: number, perGroup: number): [number, number, number] {
  const groups = Math.max(1, Math.ceil(count / perGroup));
  const y = Math.ceil(groups / MAX_WORKGROUPS);
  return [Math.ceil(groups / y), y, 1];
}
