/**
 * Timing of device work. Waiting for the queue costs up to 10 ms in Deno, so work is repeated until that is negligible,
 * and it is measured alternately with a reference, so that other load on the machine affects both alike.
 *
 * @module
 */
import type { Gpu } from "../lib/gpu/device.ts";
import { type Program, runPrograms } from "../lib/gpu/program.ts";

/** Submits a piece of work `count` times; may wait in between. */
export type Work = (count: number) => void | Promise<void>;

/** Duration and number of measurements. */
export interface Effort {
  /** Approximate seconds of one measurement. */
  readonly seconds: number;
  /** Approximate seconds of one measurement of the reference. */
  readonly referenceSeconds: number;
  /** Alternating measurements of work and reference. */
  readonly repeats: number;
}

/** Reference work that other work is measured against. */
export interface Reference {
  readonly work: Work;
  /** Floating-point operations or bytes of one piece of work. */
  readonly units: number;
  /** Repetitions in one measurement. */
  readonly count: number;
}

/** Result of {@linkcode measureAgainst}. */
export interface Measurement {
  /** Median seconds of one piece of work. */
  readonly seconds: number;
  /** Median reference units per second. */
  readonly referenceRate: number;
  /**
   * Rate of the work over rate of the reference: the median over neighbouring measurements. NaN for work without units.
   */
  readonly ratio: number;
}

/** Work that replays a program in as few submits as are safe. */
export function replay(gpu: Gpu, program: Program): Work {
  // Many thousand dispatches in one submit may trip a driver's watchdog.
  const perSubmit = Math.max(1, Math.floor(1000 / program.dispatches.length));
  return (count) => {
    for (let left = count; left > 0; left -= perSubmit) {
      runPrograms(gpu, new Array<Program>(Math.min(left, perSubmit)).fill(program));
    }
  };
}

/** Seconds from submit to completion. */
export async function timeOnce(gpu: Gpu, work: Work, count: number): Promise<number> {
  const start = performance.now();
  await work(count);
  await gpu.device.queue.onSubmittedWorkDone();
  // The getter throws a fault of the run, which would make the time meaningless.
  void gpu.device;
  return (performance.now() - start) / 1000;
}

/** Repetitions of the work that take about `seconds`. The first run is a warm-up. */
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
 * @param units operations or bytes of one piece of work, in the reference's unit; NaN if it has none
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

/** Median; the mean of the two middle values for an even count, NaN for none. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const half = (sorted.length - 1) / 2;
  const [low = NaN, high = NaN] = [sorted[Math.floor(half)], sorted[Math.ceil(half)]];
  return (low + high) / 2;
}
