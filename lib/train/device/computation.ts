/**
 * Adapter and kernels that computed a run's weights. Others round differently, so a run resumed with others is not
 * bit-identical to one that was never interrupted.
 *
 * @module
 */
import type { KernelSource, Launch } from "../../../kernels/source.ts";
import { sha256Of } from "../../digest.ts";

/** Adapter and kernels of a run, which determine rounding. */
export interface Computation {
  /** Adapter name. */
  readonly adapter: string;
  /** Digest of the kernels of a step; see {@linkcode digestOf}. */
  readonly kernels: string;
}

/** Parameters that say where images are on the device, not what is computed from them. */
const PLACES: ReadonlySet<string> = new Set(["chunk_first", "chunk_count"]);

/**
 * Digest of what dispatches compute: kernel text, constants, shapes. Order and number of dispatches are excluded: activation
 * checkpointing changes them, but not the results; likewise the place of the images, which may be streamed.
 *
 * @param launches not combined: how many are depends on the memory left, and changes no results either
 */
export async function digestOf(launches: readonly Launch<unknown>[]): Promise<string> {
  const codes = new Map<KernelSource, string>();
  for (const { kernel } of launches) {
    if (!codes.has(kernel)) codes.set(kernel, await sha256Of(withoutComments(kernel.code)));
  }
  const described = launches.map(({ kernel, entry, constants, params, workgroups }) => {
    const code = codes.get(kernel);
    const shapes = sorted(params).filter(([name]) => !PLACES.has(name));
    return JSON.stringify([code, entry, sorted(constants), shapes, workgroups]);
  });
  return (await sha256Of([...new Set(described)].sort().join("\n"))).slice(0, 16);
}

/** Warning for a run resumed with another adapter or other kernels; undefined if they are the same. */
export function describeChange(before: Computation, now: Computation): string | undefined {
  const why = before.adapter !== now.adapter
    ? `this run was computed on ${before.adapter} so far, and adapters round differently`
    : before.kernels !== now.kernels
    ? "the kernels differ from those that computed this run so far, and may round differently"
    : undefined;
  return why && `${why}: the run continues, but may not be bit-identical to one that was never interrupted`;
}

function withoutComments(code: string): string {
  return code.replace(/\/\/.*$/gm, "").replace(/\s+/g, " ").trim();
}

function sorted(values: Readonly<Record<string, number>>): [string, number][] {
  return Object.entries(values).sort(([a], [b]) => a < b ? -1 : 1);
}
