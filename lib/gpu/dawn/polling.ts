/**
 * Pace of Dawn's polling. While it waits for the device, Dawn asks its driver by a chain of `setImmediate` calls, which it
 * looks up in the global scope. Without pauses that takes a processor from software adapters (with two of them some waits
 * never ended), and each call leaves a native function to be finalized, at a cost that grows with the square of their
 * number in Deno 2.9.
 *
 * @module
 */

/** Polls between two pauses: enough for short waits, which take 0.1 ms. */
const BURST = 16;
/** Length of a pause in milliseconds, the shortest of a timer. */
const PAUSE = 1;

type Callback = (...args: unknown[]) => void;

/** Part of the global scope. */
interface Scope {
  setImmediate: (callback: Callback, ...args: unknown[]) => unknown;
  readonly setTimeout: (callback: Callback, milliseconds: number) => unknown;
}

/** Makes Dawn's polling pause for a millisecond now and then. Immediates of everybody else stay what they were. */
export function pacePolling(scope: Scope = globalThis as unknown as Scope): void {
  const { setImmediate } = scope;
  let polls = 0;
  scope.setImmediate = function (callback, ...args) {
    if (isDawns(callback) && ++polls % BURST === 0) return scope.setTimeout(callback, PAUSE);
    return setImmediate(callback, ...args);
  };
}

/** True for functions of native add-ons: they have neither a name nor a text. Those of the runtime have a name. */
function isDawns(callback: Callback): boolean {
  return callback.name === "" && /^function \(\) \{ \[native code\] \}$/.test(String(callback));
}
