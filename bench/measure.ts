/**
 * Timing work on the device. Waiting for the queue takes up to 10 ms more than the work in Deno, so work is repeated
 * until it is long against that, and measured alternately with a reference, so that what else the machine does meanwhile
 * falls on both.
 *
 * @module
 */
import type { Gpu } from "../lib/gpu/device.ts";
import { type Program, runPrograms } from "../lib/gpu/program.ts";

/** Submits a piece of work some number of times, and may wait in between. */
export type Work = (count: number) => void | Promise<void>;

/** How long to measure. */
export interface Effort {
  /** Seconds of one measurement, about. */
  readonly seconds: number;
  /** Seconds of one measurement of the reference. */
  readonly referenceSeconds: number;
  /** How often work and reference are measured, alternately. */
  readonly repeats: number;
}

/** What everything else is measured against: how much of it the device does in a second. */
export interface Reference {
  readonly work: Work;
  /** Units (floating-point operations, bytes) of one piece of work. */
  readonly units: number;
  /** How often the work is submitted in one measurement. */
  readonly count: number;
}

/** Result of {@linkcode measureAgainst}. */
export interface Measurement {
  /** Seconds of one piece of work, median. */
  readonly seconds: number;
  /** Reference units a second, median. */
  readonly referenceRate: number;
  /**
   * Work units a second over reference units a second, the median of the ratios of neighbouring measurements. NaN where
   * work has no units.
   */
  readonly ratio: number;
}

/** Replays a program in as few submits as are safe. */
export function replay(gpu: Gpu, program: Program): Work {
  // A submit of many thousand dispatches may run into a driver's watchdog.
  const perSubmit = Math.max(1, Math.floor(1000 / program.dispatches.length));
  return (count) => {
    for (let left = count; left > 0; left -= perSubmit) {
      runPrograms(gpu, new Array<Program>(Math.min(left, perSubmit)).fill(program));
    }
  };
}

/** Seconds from submitting the work to its end. */
export async function timeOnce(gpu: Gpu, work: Work, count: number): Promise<number> {
  const start = performance.now();
  await work(count);
  await gpu.device.queue.onSubmittedWorkDone();
  // A fault during the run makes the time meaningless; asking for the device throws it.
  void gpu.device;
  return (performance.now() - start) / 1000;
}

/** How often to submit the work so that it takes about so many seconds. The first run is not timed: it compiles. */
export async function calibrate(gpu: Gpu, work: Work, seconds: number): Promise<number> {
  await timeOnce(gpu, work, 1);
  for (let count = 1;;) {
    const taken = await timeOnce(gpu, work, count);
    if (taken >= seconds / 2) return Math.max(1, Math.round(count * seconds / taken));
    count = Math.ceil(count * Math.min(16, Math.max(2, seconds / taken)));
  }
}

/**
 * Measures work and reference alternately.
 *
 * @param units of one piece of work, in the reference's unit; NaN where it has none
 */
export async function measureAgainst(
  gpu: Gpu,
  work: Work,
  units: number,
  reference: Reference,
  effort: Effort,
): Promise<Measurement> {
  const count = await calibrate(gpu, work, effort.seconds);
  const seconds: number[] = [];
  const rates: number[] = [];
  const ratios: number[] = [];
  for (let i = 0; i < effort.repeats; i++) {
    const rate = reference.count * reference.units / await timeOnce(gpu, reference.work, reference.count);
    const taken = await timeOnce(gpu, work, count) / count;
    rates.push(rate);
    seconds.push(taken);
    ratios.push(units / taken / rate);
  }
  return { seconds: median(seconds), referenceRate: median(rates), ratio: median(ratios) };
}

/** The middle value; the mean of the two middle ones where their number is even. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const half = (sorted.length - 1) / 2;
  const [low = NaN, high = NaN] = [sorted[Math.floor(half)], sorted[Math.ceil(half)]];
  return (low + high) / 2;
}
