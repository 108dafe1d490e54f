/**
 * Combined launches: launches of many layers, most of them too small to fill a GPU, in one dispatch. They are those at either
 * end of the dependencies: transforms of weights read parameters alone, so all run before the first one is used; gradients of
 * parameters have no reader in the graph, so sums over parts run with the last one. Third of the passes listed in
 * `launch_key.ts`.
 *
 * @module
 */
import type { CombinedLaunch, Launch } from "../../kernels/source.ts";
import type { Gpu } from "../gpu/device.ts";
import { alignUp, BINDING_ALIGNMENT, type BufferView, hull, type ResourceScope } from "../gpu/memory.ts";
import { accesses, countWriters, replaceTensors } from "./accesses.ts";
import type { Graph } from "./graph.ts";
import { pipelineKey } from "./launch_key.ts";
import type { Tensor } from "./tensor.ts";

/** Limits of {@linkcode combineLaunches}, bytes. */
export interface CombineLimits {
  /** Largest binding. */
  readonly binding: number;
  /** Memory for the operands of deferred sums, which live longer. */
  readonly deferred: number;
}

/** Launches in one dispatch. */
interface Group {
  readonly members: readonly Candidate[];
  /** Workspace that contains those of all members. */
  readonly whole: Tensor;
}

/** Launch that may be combined. */
interface Candidate {
  readonly launch: Launch<Tensor>;
  /** Its binding of workspace: the result at the start, the operand at the end. */
  readonly binding: string;
  readonly end: End;
}

type End = "start" | "end";

/** Launches of a graph, some of which stand for several. */
export class CombinedLaunches {
  /** Launches by node. */
  readonly launches: readonly (readonly Launch<Tensor>[])[];
  readonly #groups: ReadonlyMap<Launch<Tensor>, Group>;
  /** Place of each member's workspace in the combined one. */
  readonly #ranges = new Map<Tensor, { readonly whole: Tensor; readonly offset: number }>();

  /** Combines `groups` in `launches`. */
  constructor(launches: readonly (readonly Launch<Tensor>[])[], groups: readonly Group[]) {
    const made = new Map<Launch<Tensor>, Group>();
    const replaced = new Map<Launch<Tensor>, Launch<Tensor>[]>();
    for (const group of groups) {
      let offset = 0;
      for (const { launch, binding } of group.members) {
        const tensor = launch.buffers[binding]!;
        this.#ranges.set(tensor, { whole: group.whole, offset });
        offset += alignUp(tensor.bytes, BINDING_ALIGNMENT);
        replaced.set(launch, []);
      }
      const place = group.members.at(group.members[0]!.end === "start" ? 0 : -1)!;
      const combined = { ...place.launch };
      replaced.set(place.launch, [combined]);
      made.set(combined, group);
    }
    this.launches = launches.map((ofNode) => ofNode.flatMap((launch) => replaced.get(launch) ?? [launch]));
    this.#groups = made;
  }

  /** All launches as the memory planner sees them. */
  planned(): Launch<Tensor>[] {
    return replaceTensors(this.launches.flat(), (tensor) => this.#ranges.get(tensor)?.whole ?? tensor);
  }

  /** Views of the members' workspace, given those of the combined workspace. */
  views(view: (tensor: Tensor) => BufferView): Map<Tensor, BufferView> {
    return new Map(
      [...this.#ranges].map(([tensor, { whole, offset }]) => {
        const { buffer, offset: first } = view(whole);
        return [tensor, { buffer, offset: first + offset, size: tensor.bytes }];
      }),
    );
  }

  /** Launches that a launch stands for; itself if it stands for no others. */
  membersOf(launch: Launch<Tensor>): readonly Launch<Tensor>[] {
    return this.#groups.get(launch)?.members.map((member) => member.launch) ?? [launch];
  }

  /**
   * Dispatches of a launch: one, unless it stands for several whose buffers are not in one binding.
   *
   * @param scope owner of the buffers that describe the work
   * @param limit largest binding, bytes; default the device's
   */
  place(
    gpu: Gpu,
    scope: ResourceScope,
    launch: Launch<Tensor>,
    view: (tensor: Tensor) => BufferView,
    limit: number = gpu.limits.maxStorageBufferBindingSize,
  ): Launch<BufferView>[] {
    const placed = this.membersOf(launch).map((member) => viewsOf(member, view));
    return bindable(placed, limit).map(({ launches: [first, ...more], buffers }) => {
      if (more.length === 0) return first!;
      const combined = [first!, ...more].map(({ params, buffers: own }): CombinedLaunch => ({
        params,
        offsets: mapValues(own, ({ offset }, name) => offset - buffers[name]!.offset),
      }));
      const { records, bind } = first!.combine!(combined);
      const blocks = scope.buffer(records.byteLength, `work of ${first!.kernel.name}`);
      gpu.device.queue.writeBuffer(blocks.buffer, 0, records);
      return bind(blocks, buffers);
    });
  }
}

/** Combines launches with others of the same pipeline, at most {@linkcode CombineLimits.binding} bytes of workspace each. */
export function combineLaunches(
  g: Graph,
  launches: readonly (readonly Launch<Tensor>[])[],
  limits: CombineLimits,
): CombinedLaunches {
  const groups: { key: string; members: Candidate[]; bytes: number }[] = [];
  for (const candidate of findCandidates(launches, limits.deferred)) {
    const { launch, binding, end } = candidate;
    const bytes = alignUp(launch.buffers[binding]!.bytes, BINDING_ALIGNMENT);
    const key = `${end} ${pipelineKey(launch)}`;
    const group = groups.findLast((other) => other.key === key);
    if (group && group.bytes + bytes <= limits.binding) {
      group.members.push(candidate);
      group.bytes += bytes;
    } else groups.push({ key, members: [candidate], bytes });
  }
  return new CombinedLaunches(
    launches,
    groups.filter(({ members }) => members.length > 1).map(({ members, bytes }): Group => {
      const name = `${members[0]!.launch.kernel.name} of ${members.length} layers`;
      return { members, whole: g.tensor(name, [1, 1, 1, bytes / 4], "activation", false, "float32") };
    }),
  );
}

/** Launches that may be combined, in order. */
function findCandidates(
  launches: readonly (readonly Launch<Tensor>[])[],
  deferred: number,
): Candidate[] {
  const writers = countWriters(launches.flat());
  const readers = readersOf(launches);
  const found = launches.flatMap((ofNode, node) =>
    ofNode.flatMap((launch): Candidate[] => {
      const { reads, writes: [result, ...more] } = accesses(launch);
      if (!launch.combine || !result || more.length > 0 || writers.get(result) !== 1) return [];
      const later = readers.get(result) ?? [];
      // A result that is kept for a later node takes memory at the peak in any case.
      const early = reads.every(([, { role }]) => role === "parameter") &&
        later.some((other) => other > node);
      if (early && result.role === "activation") {
        const binding = Object.keys(launch.buffers).find((name) => launch.buffers[name] === result)!;
        return [{ launch, binding, end: "start" }];
      }
      const [[binding, operand] = [], ...others] = reads;
      if (!binding || !operand || operand.role !== "activation" || others.length > 0) return [];
      const own = writers.get(operand) === 1 && readers.get(operand)?.length === 1;
      return result.role === "gradient" && later.length === 0 && own ? [{ launch, binding, end: "end" }] : [];
    })
  );
  const bytesOf = ({ launch, binding }: Candidate) => launch.buffers[binding]!.bytes;
  let left = deferred;
  const late = found.filter(({ end }) => end === "end").sort((a, b) => bytesOf(a) - bytesOf(b));
  const fitting = new Set(late.filter((candidate) => (left -= bytesOf(candidate)) >= 0));
  return found.filter((candidate) => candidate.end === "start" || fitting.has(candidate));
}

/** Nodes that read each tensor, one per launch. */
function readersOf(launches: readonly (readonly Launch<Tensor>[])[]): Map<Tensor, number[]> {
  const readers = new Map<Tensor, number[]>();
  for (const [node, ofNode] of launches.entries()) {
    for (const [, tensor] of ofNode.flatMap((launch) => accesses(launch).reads)) {
      readers.set(tensor, [...readers.get(tensor) ?? [], node]);
    }
  }
  return readers;
}

/** Consecutive launches whose buffers are in one binding each. */
function bindable(
  launches: readonly Launch<BufferView>[],
  limit: number,
): { launches: Launch<BufferView>[]; buffers: Readonly<Record<string, BufferView>> }[] {
  const groups: { launches: Launch<BufferView>[]; buffers: Readonly<Record<string, BufferView>> }[] = [];
  for (const launch of launches) {
    const last = groups.at(-1);
    const buffers = last && mapValues(launch.buffers, (view, name) => hull(view, last.buffers[name], limit));
    if (last && buffers && isComplete(buffers)) {
      last.launches.push(launch);
      last.buffers = buffers;
    } else groups.push({ launches: [launch], buffers: launch.buffers });
  }
  return groups;
}

function isComplete(
  buffers: Readonly<Record<string, BufferView | undefined>>,
): buffers is Readonly<Record<string, BufferView>> {
  return Object.values(buffers).every((view) => view !== undefined);
}

function viewsOf(launch: Launch<Tensor>, view: (tensor: Tensor) => BufferView): Launch<BufferView> {
  return { ...launch, buffers: mapValues(launch.buffers, view) };
}

function mapValues<V, W>(
  of: Readonly<Record<string, V>>,
  map: (value: V, name: string) => W,
): Readonly<Record<string, W>> {
  return Object.fromEntries(Object.entries(of).map(([name, value]) => [name, map(value, name)]));
}
