/**
 * What a run's weights were computed with: adapter and kernels. Others round otherwise, so a run that goes on with others
 * is not the run to the bit that was never interrupted.
 *
 * @module
 */
import { createHash } from "node:crypto";
import type { KernelSource, Launch } from "../../../kernels/source.ts";
import type { BufferView } from "../../gpu/memory.ts";
import type { Precision } from "../../model/precision.ts";

/** What decides how a step rounds. */
export interface Computation {
  /** Adapter name. */
  readonly adapter: string;
  /** Digest of the kernels of a step; see {@linkcode digestOf}. */
  readonly kernels: string;
}

/**
 * A digest of what dispatches compute: text, constants, shapes. Neither their order nor how often each comes is in it,
 * which differ where activations are computed again, and change no bits.
 */
export function digestOf(launches: readonly Launch<BufferView>[]): string {
  const codes = new Map<KernelSource, string>();
  const described = launches.map(({ kernel, entry, constants, params, workgroups }) => {
    const code = codes.get(kernel) ?? sha256(withoutComments(kernel.code));
    codes.set(kernel, code);
    return JSON.stringify([code, entry, sorted(constants), sorted(params), workgroups]);
  });
  return sha256([...new Set(described)].sort().join("\n")).slice(0, 16);
}

/** Why a run that goes on may be another to the bit, as a sentence; undefined where it is the same. */
export function describeChange(before: Computation, now: Computation): string | undefined {
  const why = before.adapter !== now.adapter
    ? `this run was computed on ${before.adapter} so far, and adapters round differently`
    : before.kernels !== now.kernels
    ? "the kernels are not those that this run was computed with so far, and may round differently"
    : undefined;
  return why && `${why}: it goes on, but need not be the same to the bit as if it had never been interrupted`;
}

/** What follows from going on in another precision, as a sentence; undefined where it is the same. */
export function describePrecisionChange(before: Precision, now: Precision): string | undefined {
  if (before === now) return undefined;
  return `\`precision\` was ${before} so far, and is ${now} from here on: weights and loss curve will differ from those ` +
    "of a run that had kept it";
}

function withoutComments(code: string): string {
  return code.replace(/\/\/.*$/gm, "").replace(/\s+/g, " ").trim();
}

function sorted(values: Readonly<Record<string, number>>): [string, number][] {
  return Object.entries(values).sort(([a], [b]) => a < b ? -1 : 1);
}

function sha256(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}
