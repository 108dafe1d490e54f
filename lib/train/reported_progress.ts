/**
 * Progress of a task that reports by a callback, as values of an async generator.
 *
 * @module
 */

/**
 * Runs a task, and yields the latest of its reports whenever the consumer is ready for one.
 *
 * @param task reports progress by the function that it is given
 * @returns the task's result, which it also throws errors as
 */
export async function* reportedProgress<P, T>(
  task: (report: (progress: P) => void) => Promise<T>,
): AsyncGenerator<P, T, undefined> {
  let latest: { progress: P } | undefined;
  let wake = Promise.withResolvers<void>();
  let over = false;
  const result = task((progress) => {
    latest = { progress };
    wake.resolve();
  }).finally(() => {
    over = true;
    wake.resolve();
  });
  result.catch(() => {}); // thrown by the await below, also if the consumer is busy when it fails
  while (true) {
    await wake.promise;
    wake = Promise.withResolvers();
    const news = latest;
    latest = undefined;
    if (news) yield news.progress;
    if (over) return await result;
  }
}
