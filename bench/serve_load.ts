/**
 * Clients of a server, as many as asked for at once, and what they saw.
 *
 * @module
 */

/** What to ask of a server. */
export interface ServeLoadOptions {
  /** The server's address, without a slash at the end. */
  readonly url: string;
  /** Requests under way at any time. */
  readonly clients: number;
  /** Path and query of a request. */
  readonly path: (number: number) => string;
  /** Whether to begin another request. */
  readonly more: (begun: number, seconds: number) => boolean;
  /** Called after each answer. */
  readonly onAnswer?: (answers: number, seconds: number) => void;
  /** Seconds after which a request has failed. */
  readonly timeout: number;
}

/** What the clients saw. */
export interface LoadResult {
  /** Seconds that each good answer took, in the order of the answers. */
  readonly latencies: readonly number[];
  /** Seconds that health checks took meanwhile. */
  readonly health: readonly number[];
  /** Bad answers and failures, by what they were. */
  readonly failures: Readonly<Record<string, number>>;
  /** From the first request until the last answer. */
  readonly seconds: number;
}

/** Milliseconds between a health check's answer and the next check. */
const HEALTH_EVERY_MS = 20;

/**
 * Runs clients until there is no more to ask and the last answer has come. The time is taken until then, and all
 * answers count: a batch that empties at the end is part of what is measured.
 */
export async function runLoad(options: ServeLoadOptions): Promise<LoadResult> {
  const { url, clients, path, more, onAnswer, timeout } = options;
  const latencies: number[] = [];
  const failures: Record<string, number> = {};
  const start = performance.now();
  const elapsed = () => (performance.now() - start) / 1000;
  const ask = (path: string) => timedFetch(url + path, timeout);
  let begun = 0;
  const client = async () => {
    while (more(begun, elapsed())) {
      const { seconds, failure } = await ask(path(begun++));
      if (failure === undefined) latencies.push(seconds);
      else failures[failure] = (failures[failure] ?? 0) + 1;
      onAnswer?.(latencies.length, elapsed());
    }
  };
  let over = false;
  const health: number[] = [];
  const checking = (async () => {
    while (!over) {
      const { seconds, failure } = await ask("/healthz");
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

/** Several results of the same load as one. */
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

/** The smallest value that `share` of all values do not exceed (nearest rank); NaN where there are none. */
export function percentile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] ?? NaN;
}
