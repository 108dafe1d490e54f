/**
 * Memory growth of a server over many requests.
 *
 * @module
 */

/** Server memory after a number of requests. */
export interface MemorySample {
  readonly requests: number;
  /** Resident set size, MiB. */
  readonly mebibytes: number;
}

/** Resident set size of a server in MiB, from its metrics. */
export async function residentMebibytes(url: string): Promise<number> {
  const text = await (await fetch(`${url}/metrics`)).text();
  return Number(/^process_resident_memory_bytes (\S+)$/m.exec(text)?.[1]) / 2 ** 20;
}

/**
 * Growth in MiB per 1,000 requests: slope of the least-squares line through the second half of the samples, after caches
 * and pools have filled. Undefined for fewer than three samples.
 *
 * A small slope over a few thousand requests need not be a leak, since garbage is collected late: on llvmpipe a server
 * grew from 233 to 360 MiB over 16,000 requests, and stayed between 306 and 370 MiB over the next 24,000.
 */
export function memorySlope(samples: readonly MemorySample[]): number | undefined {
  const last = samples.at(-1)?.requests ?? 0;
  const late = samples.filter(({ requests }) => requests >= last / 2);
  if (late.length < 3) return undefined;
  const mean = (values: number[]) => values.reduce((a, b) => a + b) / values.length;
  const x = mean(late.map(({ requests }) => requests));
  const y = mean(late.map(({ mebibytes }) => mebibytes));
  const covariance = mean(late.map((sample) => (sample.requests - x) * (sample.mebibytes - y)));
  return 1000 * covariance / mean(late.map((sample) => (sample.requests - x) ** 2));
}
