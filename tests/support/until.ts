/**
 * Waits until a condition holds. A condition that never does fails its test after a time far longer than needed on a busy
 * machine, rather than hold up the suite without a word.
 *
 * @param what names the condition in the error
 * @param condition asked every few milliseconds
 * @param seconds how long it may take
 */
export async function until(
  what: string,
  condition: () => boolean | Promise<boolean>,
  seconds = 60,
): Promise<void> {
  const end = performance.now() + 1000 * seconds;
  while (!await condition()) {
    if (performance.now() > end) throw new Error(`not within ${seconds} s: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}
