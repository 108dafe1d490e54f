/**
 * Hoisted constants: tensors that depend on parameters only, such as Winograd-transformed weights, are computed once per
 * parameter change instead of in every pass. First of the passes listed in `launch_key.ts`.
 *
 * @module
 */
import type { Launch } from "../../kernels/source.ts";
import type { Gpu } from "../gpu/device.ts";
import { type BufferView, ResourceScope } from "../gpu/memory.ts";
import { accesses, countWriters, replaceTensors } from "./accesses.ts";
import { launchKey } from "./launch_key.ts";
import type { Tensor } from "./tensor.ts";

/** The launches that read only parameters and each other's results, in order. */
export function constantLaunches(launches: readonly Launch<Tensor>[]): Set<Launch<Tensor>> {
  const writers = countWriters(launches);
  const constants = new Set<Tensor>();
  return new Set(launches.filter((launch) => {
    const { reads, writes: [result, ...more] } = accesses(launch);
    if (!result || more.length > 0 || writers.get(result) !== 1 || result.role !== "activation") return false;
    if (!reads.every(([, tensor]) => isParameter(tensor) || constants.has(tensor))) return false;
    constants.add(result);
    return true;
  }));
}

/** Result of {@linkcode HoistedConstants.hoist}. */
export interface Hoisted {
  /** Remaining launches by node. */
  readonly launches: readonly (readonly Launch<Tensor>[])[];
  /** Views of the hoisted results. */
  readonly bound: ReadonlyMap<Tensor, BufferView>;
}

/** Hoisted constants, shared by all graphs of a network. */
export class HoistedConstants {
  /** Launches that compute the constants; run after every change of the parameters. */
  readonly launches: Launch<BufferView>[] = [];
  #begun = false;
  readonly #scope: ResourceScope;
  /** Results by {@linkcode launchKey}. */
  readonly #views = new Map<string, BufferView>();
  /** Buffers of operands, numbered. */
  readonly #buffers = new Map<GPUBuffer, number>();
  #remaining: number;

  /**
   * Starts without constants.
   *
   * @param what prefix of buffer labels
   * @param limit memory limit for all constants, bytes; launches whose results do not fit stay in every pass
   */
  constructor(gpu: Gpu, what: string, limit: number) {
    this.#scope = new ResourceScope(gpu, what);
    this.#remaining = limit;
  }

  /** Prepends launches on the first call; later calls are ignored, since all passes of a network start with the same ones. */
  begin(launches: readonly Launch<BufferView>[]): void {
    if (!this.#begun) this.launches.unshift(...launches);
    this.#begun = true;
  }

  /**
   * Hoists the launches that read only parameters and hoisted constants.
   *
   * @param launches launches by node, in order
   * @param bound views of the parameters
   * @throws {DeviceError} if the device has too little memory for the results
   */
  hoist(
    launches: readonly (readonly Launch<Tensor>[])[],
    bound: ReadonlyMap<Tensor, BufferView>,
  ): Hoisted {
    const views = new Map<Tensor, BufferView>();
    const constant = constantLaunches(launches.flat());
    const known = (tensor: Tensor) =>
      views.get(tensor) ?? (isParameter(tensor) ? bound.get(tensor) : undefined);
    const take = (launch: Launch<Tensor>): boolean => {
      const { reads, writes: [result] } = accesses(launch);
      // An operand may be in every pass because it did not fit.
      if (!result || !constant.has(launch) || !reads.every(([, tensor]) => known(tensor))) return false;
      const key = launchKey(launch, (tensor) => this.#rangeKey(known(tensor)!)); // all were known above
      const view = this.#view(key, launch.label, result.bytes);
      if (!view.fits) return false;
      views.set(result, view.of);
      if (view.isNew) {
        const buffers = Object.entries(launch.buffers).map(([name, tensor]) => [name, known(tensor)]);
        this.launches.push({ ...launch, buffers: Object.fromEntries(buffers) });
      }
      return true;
    };
    const rest = launches.map((ofNode) => ofNode.filter((launch) => !take(launch)));
    // Readers see a constant as a parameter, so the memory plan does not place it.
    const asParameter = new Map([...views].map(([tensor, view]) => {
      return [tensor, { tensor: { ...tensor, role: "parameter" as const }, view }];
    }));
    const replace = (tensor: Tensor) => asParameter.get(tensor)?.tensor ?? tensor;
    return {
      launches: rest.map((ofNode) => replaceTensors(ofNode, replace)),
      bound: new Map(asParameter.values().map(({ tensor, view }) => [tensor, view])),
    };
  }

  /** Frees the constants. */
  destroy(): void {
    this.#scope.destroy();
  }

  /** View of a launch's result, shared by passes of all batch sizes, which have equal launches. */
  #view(
    key: string,
    label: string,
    bytes: number,
  ): { fits: true; of: BufferView; isNew: boolean } | { fits: false } {
    const made = this.#views.get(key);
    if (made) return { fits: true, of: made, isNew: false };
    if (bytes > this.#remaining) return { fits: false };
    this.#remaining -= bytes;
    const of = this.#scope.buffer(bytes, `constant of ${label}`);
    this.#views.set(key, of);
    return { fits: true, of, isNew: true };
  }

  /** Identity of a range of memory. */
  #rangeKey({ buffer, offset, size }: BufferView): string {
    const number = this.#buffers.get(buffer) ?? this.#buffers.size;
    this.#buffers.set(buffer, number);
    return `${number} ${offset} ${size}`;
  }
}

function isParameter({ role }: Tensor): boolean {
  return role === "parameter";
}
