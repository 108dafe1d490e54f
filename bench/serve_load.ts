/**
 * Load generator: concurrent clients of a server, their latencies and failures.
 *
 * @module
 */

/** Options of {@linkcode runLoad}. */
export interface ServeLoadOptions {
  /** Server address without a trailing slash. */
  readonly url: string;
  /** Concurrent requests. */
  readonly clients: number;
  /** Path and query of request `number`, counted from 0. */
  readonly path: (number: number) => string;
  /** True to begin another request, given the number begun and the elapsed seconds. */
  readonly more: (begun: number, seconds: number) => boolean;
  /** Called after each request. */
  readonly onAnswer?: (answers: number, seconds: number) => void;
  /** Request timeout, seconds. */
  readonly timeout: number;
}

/** Result of {@linkcode runLoad}. */
export interface LoadResult {
  /** Latencies of successful requests in seconds, in order of completion. */
  readonly latencies: readonly number[];
  /** Latencies of concurrent health checks, seconds. */
  readonly health: readonly number[];
  /** Number of failed requests by error or status. */
  readonly failures: Readonly<Record<string, number>>;
  /** Seconds from the first request to the last response. */
  readonly seconds: number;
}

/** Pause between health checks, milliseconds. */
const HEALTH_EVERY_MS = 20;

/**
 * Runs clients until `more` returns false and the last response has arrived. The measured time includes that tail,
 * while the server's batch drains.
 */
export async function runLoad(options: ServeLoadOptions): Promise<LoadResult> {
  const { url, clients, path, more, onAnswer, timeout } = options;
  const latencies: number[] = [];
  const failures: Record<string, number> = {};
  const start = performance.now();
  const elapsed = () => (performance.now() - start) / 1000;
  const request = (path: string) => timedFetch(url + path, timeout);
  let begun = 0;
  const client = async () => {
    while (more(begun, elapsed())) {
      const { seconds, failure } = await request(path(begun++));
      if (failure === undefined) latencies.push(seconds);
      else failures[failure] = (failures[failure] ?? 0) + 1;
      onAnswer?.(latencies.length, elapsed());
    }
  };
  let over = false;
  const health: number[] = [];
  const checking = (async () => {
    while (!over) {
      const { seconds, failure } = await request("/healthz");
      if (failure === undefined) health.push(seconds);
      else failures[`/healthz: ${failure}`] = (failures[`/healthz: ${failure}`] ?? 0) + 1;
      await new Promise((resolve) => setTimeout(resolve, HEALTH_EVERY_MS));
    }
  })();
  await Promise.all(Array.from({ length: clients }, client));
  const seconds = elapsed();
  over = true;
  await checking;
  return { latencies, health, failures, seconds };
}

async function timedFetch(url: string, timeout: number): Promise<{ seconds: number; failure?: string }> {
  const start = performance.now();
  try {
    const answer = await fetch(url, { signal: AbortSignal.timeout(1000 * timeout) });
    await answer.arrayBuffer();
    const seconds = (performance.now() - start) / 1000;
    return answer.ok ? { seconds } : { seconds, failure: `status ${answer.status}` };
  } catch (error) {
    return { seconds: NaN, failure: (error as Error).name };
  }
}

/** Merges results of the same load. */
export function mergeLoads(results: readonly LoadResult[]): LoadResult {
  const failures: Record<string, number> = {};
  for (const result of results) {
    for (const [what, count] of Object.entries(result.failures)) {
      failures[what] = (failures[what] ?? 0) + count;
    }
  }
  return {
    latencies: results.flatMap(({ latencies }) => latencies),
    health: results.flatMap(({ health }) => health),
    failures,
    seconds: results.reduce((sum, { seconds }) => sum + seconds, 0),
  };
}

/** Percentile by nearest rank, `share` from 0 to 1; NaN for no values. */
export function percentile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] ?? NaN;
}
