import assert from "node:assert/strict";
import { createShutdown } from "../../server/shutdown.ts";

/** A handler, what it did, and its clock. */
function observe(finish: () => Promise<void> = () => Promise.resolve()) {
  const clock = { now: 1000 };
  const told: string[] = [];
  const shutdown = createShutdown({
    finish: () => {
      told.push("finish");
      return finish();
    },
    onSignal: (why, forced) => told.push(`${why}${forced ? ", forced" : ""}`),
    exit: (status) => told.push(`exit ${status}`),
    now: () => clock.now,
  });
  return { shutdown, told, clock };
}

const settled = () => new Promise((resolve) => setTimeout(resolve));

Deno.test("the first signal lets it finish and exits 0; 1 where finishing failed", async () => {
  for (const signal of ["SIGINT", "SIGTERM"] as const) {
    const { promise, resolve } = Promise.withResolvers<void>();
    const { shutdown, told } = observe(() => promise);
    shutdown(signal);
    await settled();
    assert.deepEqual(told, [signal, "finish"]);
    resolve();
    await settled();
    assert.deepEqual(told, [signal, "finish", "exit 0"]);
  }
  const { shutdown, told } = observe(() => Promise.reject(new Error("no")));
  shutdown("SIGTERM");
  await settled();
  assert.deepEqual(told, ["SIGTERM", "finish", "exit 1"]);
});

Deno.test("a signal that comes again at once is the same one; a later one ends it at once", () => {
  for (const [second, status] of [["SIGINT", 130], ["SIGTERM", 143]] as const) {
    const { shutdown, told, clock } = observe(() => new Promise(() => {}));
    shutdown("SIGINT");
    for (const ms of [0, 1, 499]) {
      clock.now = 1000 + ms;
      shutdown(second);
    }
    assert.deepEqual(told, ["SIGINT", "finish"]);
    clock.now = 1500;
    shutdown(second);
    assert.deepEqual(told, ["SIGINT", "finish", `${second}, forced`, `exit ${status}`]);
  }
});

Deno.test("when the process before it has gone it finishes, but that never forces", () => {
  const { shutdown, told, clock } = observe(() => new Promise(() => {}));
  shutdown(undefined);
  clock.now = 9000;
  shutdown(undefined);
  assert.deepEqual(told, ["the parent process has ended", "finish"]);
  shutdown("SIGTERM");
  assert.deepEqual(told.slice(2), ["SIGTERM, forced", "exit 143"]);
});
