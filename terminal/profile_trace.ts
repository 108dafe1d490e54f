/**
 * Profiles in Chrome's trace event format, for chrome://tracing and Perfetto: a slice per replay, and in it one per dispatch.
 *
 * @module
 */
import type { Slice } from "../lib/gpu/profile.ts";

/** Replays of one kind, e.g. of a training step. */
export interface TraceGroup {
  readonly name: string;
  /** Dispatches of each replay, in order. */
  readonly replays: readonly (readonly Slice[])[];
}

/** One entry of Chrome's trace event format; times are in microseconds. */
type TraceEvent =
  | {
    readonly ph: "M";
    readonly name: string;
    readonly pid: number;
    readonly tid: number;
    readonly args: unknown;
  }
  | {
    readonly ph: "X";
    readonly name: string;
    readonly cat: string;
    readonly pid: number;
    readonly tid: number;
    readonly ts: number;
    readonly dur: number;
    readonly args: unknown;
  };

/** A file in Chrome's trace event format. */
export interface Trace {
  readonly traceEvents: readonly TraceEvent[];
  readonly displayTimeUnit: "ms";
  readonly otherData: Readonly<Record<string, string>>;
}

/** Encodes a trace with a process per group, and the adapter's name as metadata. */
export function chromeTrace(groups: readonly TraceGroup[], adapter: string): Trace {
  return {
    traceEvents: groups.flatMap(({ name, replays }, pid): TraceEvent[] => [
      { ph: "M", name: "process_name", pid, tid: 0, args: { name } },
      ...replays.flatMap((slices, i) => replayEvents(`${name}, ${i + 1} of ${replays.length}`, slices, pid)),
    ]),
    displayTimeUnit: "ms",
    otherData: { adapter },
  };
}

function replayEvents(name: string, slices: readonly Slice[], pid: number): TraceEvent[] {
  const [first] = slices;
  if (first === undefined) return [];
  const event = (name: string, cat: string, from: number, to: number, args: unknown): TraceEvent => {
    return { ph: "X", name, cat, pid, tid: 0, ts: 1000 * from, dur: 1000 * (to - from), args };
  };
  const events: TraceEvent[] = [];
  const begin = Math.max(0, first.start);
  let end = begin;
  for (const { dispatch, start, milliseconds } of slices) {
    // Slices on a track must not overlap; if two passes do, the later slice starts at the end of the earlier one.
    const from = Math.max(end, start);
    end = Math.max(from, start + milliseconds);
    const { label, kernel, workgroups, flops, bytes } = dispatch;
    events.push(event(label, kernel, from, end, { kernel, workgroups, flops, bytes, milliseconds }));
  }
  return [event(name, "replay", begin, end, { dispatches: slices.length }), ...events];
}
