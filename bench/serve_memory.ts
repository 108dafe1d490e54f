/**
 * Memory of a server over many requests.
 *
 * @module
 */

/** The server's memory after some requests. */
export interface MemorySample {
  readonly requests: number;
  /** Resident set, in MiB. */
  readonly mebibytes: number;
}

/** Memory that a server holds, in MiB, as it says itself. */
export async function residentMebibytes(url: string): Promise<number> {
  const text = await (await fetch(`${url}/metrics`)).text();
  return Number(/^process_resident_memory_bytes (\S+)$/m.exec(text)?.[1]) / 2 ** 20;
}

/**
 * Growth in MiB per 1,000 requests: the slope of the least-squares line through the samples. The first half is left
 * out, in which caches and pools still fill; undefined where fewer than three samples are left.
 *
 * A small slope over some thousand requests need not be a leak, since heaps are collected late: on llvmpipe a server grew
 * from 233 to 360 MiB over 16,000 requests, and was between 306 and 370 MiB over the next 24,000.
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
