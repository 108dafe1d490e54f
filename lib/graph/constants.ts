/**
 * Hoisted constants: tensors that depend on the parameters alone, such as weights transformed for Winograd, are computed
 * once for all passes of a network whose parameters do not change, instead of in every pass.
 *
 * @module
 */
import type { Launch } from "../../kernels/source.ts";
import type { Gpu } from "../gpu/device.ts";
import { type BufferView, ResourceScope } from "../gpu/memory.ts";
import type { Tensor } from "./tensor.ts";

/** Launches of a graph without those that {@linkcode HoistedConstants} has taken over. */
export interface Hoisted {
  readonly launches: readonly (readonly Launch<Tensor>[])[];
  /** Where the results of the others lie. */
  readonly bound: ReadonlyMap<Tensor, BufferView>;
}

/** Hoisted constants, shared by several graphs of one network. */
export class HoistedConstants {
  /** Launches that compute them, to be run whenever the parameters have changed. */
  readonly launches: Launch<BufferView>[] = [];
  #begun = false;
  readonly #scope: ResourceScope;
  readonly #views = new Map<string, BufferView>();
  #room: number;

  /**
   * Starts without constants.
   *
   * @param room memory limit in bytes for all constants; what does not fit is computed in every pass
   */
  constructor(gpu: Gpu, what: string, room: number) {
    this.#scope = new ResourceScope(gpu, what);
    this.#room = room;
  }

  /** Puts launches before all others, if these are the first: all passes of a network begin with the same. */
  begin(launches: readonly Launch<BufferView>[]): void {
    if (!this.#begun) this.launches.unshift(...launches);
    this.#begun = true;
  }

  /**
   * Takes launches over that read nothing but parameters and what follows from them.
   *
   * @param launches of each node, in order
   * @param bound where the parameters lie
   * @throws {DeviceError} when the device cannot hold the results
   */
  hoist(
    launches: readonly (readonly Launch<Tensor>[])[],
    bound: ReadonlyMap<Tensor, BufferView>,
  ): Hoisted {
    const views = new Map<Tensor, BufferView>();
    const writers = countWriters(launches.flat());
    const known = (tensor: Tensor) =>
      views.get(tensor) ?? (isParameter(tensor) ? bound.get(tensor) : undefined);
    const take = (launch: Launch<Tensor>): boolean => {
      const { reads, writes: [result, ...more] } = accesses(launch);
      if (more.length > 0 || writers.get(result) !== 1) return false;
      if (result.role !== "activation" || !reads.every(known)) return false;
      const view = this.#view(launch, result);
      if (!view.fits) return false;
      views.set(result, view.of);
      if (view.isNew) {
        const buffers = Object.entries(launch.buffers).map(([name, tensor]) => [name, known(tensor)]);
        this.launches.push({ ...launch, buffers: Object.fromEntries(buffers) });
      }
      return true;
    };
    const rest = launches.map((ofNode) => ofNode.filter((launch) => !take(launch)));
    // To whoever reads a constant it is one more parameter, which needs no place among the activations.
    const asParameter = new Map([...views].map(([tensor, view]) => {
      return [tensor, { tensor: { ...tensor, role: "parameter" as const }, view }];
    }));
    const replace = (tensor: Tensor) => asParameter.get(tensor)?.tensor ?? tensor;
    return {
      launches: rest.map((ofNode) =>
        ofNode.map((launch) => ({
          ...launch,
          buffers: Object.fromEntries(
            Object.entries(launch.buffers).map(([name, tensor]) => [name, replace(tensor)]),
          ),
        }))
      ),
      bound: new Map(asParameter.values().map(({ tensor, view }) => [tensor, view])),
    };
  }

  /** Frees them. */
  destroy(): void {
    this.#scope.destroy();
  }

  /** Where the result of a launch lies: passes of every batch size have the same launch. */
  #view(
    { kernel, label, params }: Launch<Tensor>,
    { bytes }: Tensor,
  ): { fits: true; of: BufferView; isNew: boolean } | { fits: false } {
    const key = `${label} ${kernel.name} ${JSON.stringify(params)} ${bytes}`;
    const made = this.#views.get(key);
    if (made) return { fits: true, of: made, isNew: false };
    if (bytes > this.#room) return { fits: false };
    this.#room -= bytes;
    const of = this.#scope.buffer(bytes, `constant of ${label}`);
    this.#views.set(key, of);
    return { fits: true, of, isNew: true };
  }
}

function isParameter({ role }: Tensor): boolean {
  return role === "parameter";
}

function accesses({ kernel, buffers }: Launch<Tensor>): { reads: Tensor[]; writes: Tensor[] } {
  const of = (access: "read" | "read_write") =>
    Object.entries(buffers).filter(([name]) => kernel.bindings[name].access === access).map(([, t]) => t);
  return { reads: of("read"), writes: of("read_write") };
}

function countWriters(launches: readonly Launch<Tensor>[]): Map<Tensor, number> {
  const counts = new Map<Tensor, number>();
  for (const launch of launches) {
    for (const tensor of accesses(launch).writes) counts.set(tensor, (counts.get(tensor) ?? 0) + 1);
  }
  return counts;
}
