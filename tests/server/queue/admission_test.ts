/** Requests that a scheduler accepts and refuses. */
import assert from "node:assert/strict";
import { ConfigError } from "../../../lib/errors.ts";
import { assertRefused, Bench, job, type Options, settle } from "./scheduler_bench.ts";

for (const queue of [0, 3]) {
  Deno.test(`with room for ${queue}, exactly the requests beyond it are refused`, async () => {
    const bench = new Bench({ rows: 2, queue });
    const outcomes = Array.from({ length: 2 + queue + 4 }, (_, i) => bench.run({ seed: i, client: `${i}` }));
    await settle();
    assert.deepEqual(outcomes.map(({ error }) => error?.code), [
      ...Array(2 + queue).fill(undefined),
      ...Array(4).fill("queue_full"),
    ]);
    assertRefused(outcomes[2 + queue], 503, "queue_full", new RegExp(`at most ${queue} waiting requests`));
    assert.equal(outcomes[2 + queue].error!.retryAfter, 1, "nothing is measured yet");
    assert.deepEqual([bench.scheduler.state.waiting, bench.scheduler.state.running], [queue, 2]);
    bench.engine.tick(2);
    const late = Array.from({ length: 3 }, (_, i) => bench.run({ seed: i, client: `late ${i}` }));
    await settle();
    assert.deepEqual(late.map(({ error }) => error?.code), [undefined, undefined, "queue_full"]);
    bench.engine.tick(20);
    await settle();
    assert.equal([...outcomes, ...late].filter(({ result }) => result).length, 2 + queue + 2);
    bench.assertEmpty();
  });
}

Deno.test("Retry-After is the time that what was accepted takes at the measured speed, up to the timeout", async () => {
  const bench = new Bench({ rows: 4, queue: 1, timeout: 30 });
  // A step of the fake engine takes 10 ms with two rows: 200 rows a second. How fast full batches are is not known.
  bench.run({ count: 2, steps: 100 });
  bench.engine.tick(100);
  bench.run({ count: 5, steps: 100 });
  bench.run({ client: "b", steps: 990, guidance: 2 });
  bench.run({ client: "c" });
  bench.run({ client: "d" });
  const refused = bench.run({ client: "e" });
  await settle();
  assert.equal(
    refused.error!.retryAfter,
    13,
    "500 rows for the five images, 2 x 990 and two times 2 beside them",
  );

  const long = new Bench({ rows: 4, queue: 0, timeout: 30 });
  long.run({ count: 2, steps: 100 });
  long.engine.tick(100);
  long.run({ count: 11, steps: 1000 });
  const [again] = ["e", "d", "c", "b"].map((client) => long.run({ client })).reverse();
  await settle();
  assert.equal(again.error!.retryAfter, 30, "by then all have ended");
});

for (const clients of [1, 20]) {
  Deno.test(`more work of ${clients} clients than there is time for: as much of it is finished as there is time for`, async () => {
    const bench = new Bench({ rows: 16, queue: 20, timeout: 10 });
    const outcomes = Array.from(
      { length: 20 },
      (_, i) => bench.run({ client: `${i % clients}`, count: 16, seed: 100 * i }),
    );
    bench.engine.tick(2 * 5);
    const single = bench.run({ client: "single", seed: 7 });
    const own = bench.run({ client: "0", seed: 8 });
    assert.ok(bench.seeds.includes(7) && bench.seeds.includes(8), "a single image is let in at once");
    bench.engine.tick(2);
    bench.engine.tick(2 * 4 + 2); // 160 images, the two single ones, and places that these left
    bench.clock.advance(10_000);
    await settle();
    assert.ok(single.result && own.result);
    const finished = outcomes.filter(({ result }) => result).length;
    const late = outcomes.filter(({ error }) => error?.status === 504).length;
    assert.equal(finished + late, 20);
    // If two clients take turns, two requests may be half done.
    assert.ok(finished >= (clients === 1 ? 10 : 9), `${finished} are finished`);
    bench.assertEmpty();
  });
}

Deno.test("a request that cannot end in time is refused at once if the speed of a full batch is known", async () => {
  const bench = new Bench({ rows: 2, queue: 100, timeout: 9.5 });
  bench.engine.up({ stepSeconds: 0.001 }); // which says little of a full batch
  const big = (client: string) => bench.run({ client, count: 8, steps: 100 }); // 4 s at 200 rows a second
  const unmeasured = [big("a"), big("b"), big("c")];
  bench.engine.tick(100);
  const late = [big("c"), big("d")];
  const single = bench.run({ client: "d", steps: 100 });
  await settle();
  assert.ok([...unmeasured, single].every(({ error }) => !error));
  for (const outcome of late) {
    assertRefused(outcome, 503, "overloaded", /would not finish within 9.5 seconds/);
  }
  // Six images of a's eight, b's eight, c's eight, then its own: 15 s.
  assert.deepEqual(late.map(({ error }) => error!.retryAfter), [6, 6]);
  bench.engine.tick(2000);
  await settle();
  assert.ok(unmeasured.every(({ result }) => result) && single.result);
  // One that has the server for itself may try what takes less than the deadline.
  const alone = bench.run({ count: 19, steps: 100 });
  bench.engine.tick(1000);
  await settle();
  assert.ok(alone.result);
  bench.assertEmpty();
});

Deno.test("a request with little time left is refused naming that, and Retry-After is for one with the whole timeout", async () => {
  const bench = new Bench({ rows: 2, queue: 100, timeout: 9.5 });
  bench.engine.up({ stepSeconds: 0.001 });
  bench.run({ client: "a", count: 8, steps: 100 }); // 4 s at 200 rows a second
  bench.engine.tick(100);
  const refused = (client: string, count: number, seconds?: number) =>
    bench.run({ client, count, steps: 100, seconds });
  const outcomes = [refused("b", 8, 5.5), refused("c", 16, 0.4)]; // behind 3 s of a's, after 4 s and 8 s of their own
  await settle();
  assertRefused(
    outcomes[0],
    503,
    "overloaded",
    /would not finish within the 5.5 seconds left of its 9.5$/,
  );
  assertRefused(
    outcomes[1],
    503,
    "overloaded",
    /would not finish within the 0.4 seconds left of its 9.5$/,
  );
  assert.deepEqual(outcomes.map(({ error }) => error!.retryAfter), [1, 2], "7 s and 11 s, in 9.5 s");
  const fresh = refused("c", 16, 9.499);
  await settle();
  assertRefused(fresh, 503, "overloaded", /would not finish within 9.5 seconds$/);
});

const guided = { guide: "weaker" };

Deno.test("with a guide a step has twice the rows: what it can do in time is accepted, what it cannot is refused", async () => {
  const bench = new Bench({ rows: 2, queue: 100, timeout: 9.5 });
  bench.engine.up({ stepSeconds: 0.001, ...guided });
  const big = (client: string) => bench.run({ client, count: 8, steps: 100, ...guided, guidance: 2 }); // 4 s at 400 rows a second
  const begun = [big("a"), big("b"), big("c")];
  bench.engine.tick(100);
  const late = [big("c"), big("d")];
  const single = bench.run({ client: "d", steps: 100, ...guided, guidance: 2 });
  await settle();
  assert.ok([...begun, single].every(({ error }) => !error));
  for (const outcome of late) {
    assertRefused(outcome, 503, "overloaded", /would not finish within 9.5 seconds/);
  }
  assert.deepEqual(late.map(({ error }) => error!.retryAfter), [6, 6], "as for a model without a guide");
  bench.engine.tick(2000);
  await settle();
  assert.ok([...begun, single].every(({ result }) => result));
  bench.assertEmpty();
});

Deno.test("half a batch with its guide's rows does not count as a full one", async () => {
  const bench = new Bench({ rows: 4, queue: 100, timeout: 9.5 });
  bench.engine.up({ stepSeconds: 0.001, ...guided });
  bench.run({ count: 2, steps: 100, ...guided, guidance: 2 });
  bench.engine.tick(100); // 4 rows in 10 ms; a full batch has 8
  const outcomes = ["a", "b"].map((client) =>
    bench.run({ client, count: 12, steps: 100, ...guided, guidance: 2 })
  );
  await settle();
  assert.deepEqual(outcomes, [{}, {}], "48 rows x 100 at 400 rows a second would be 12 s");
  bench.engine.tick(1000);
  await settle();
  assert.ok(outcomes.every(({ result }) => result));
});

Deno.test("the speed of a batch with room does not count as that of a full one", async () => {
  const bench = new Bench({ rows: 4, timeout: 10 });
  bench.run({ steps: 100 });
  bench.engine.tick(100); // one row: 100 rows a second
  const outcomes = ["a", "b"].map((client) => bench.run({ client, count: 8, steps: 100 }));
  await settle();
  assert.deepEqual(outcomes, [{}, {}]);
  bench.engine.tick(1000);
  await settle();
  assert.ok(outcomes.every(({ result }) => result));
});

Deno.test("a single image is let in, however long it takes and however little is left of what is half way", () => {
  const bench = new Bench({ rows: 2 });
  bench.run({ client: "a", count: 5, seed: 10 });
  bench.run({ client: "b", count: 5, seed: 20 });
  bench.engine.tick(2);
  bench.run({ client: "c", seed: 30, steps: 50 });
  bench.engine.tick(4);
  assert.ok(bench.seeds.includes(30), `${bench.seeds}`);
});

Deno.test("a request that alone cannot end in time is refused as its own fault, with the most that can", async () => {
  const bench = new Bench({ rows: 4, timeout: 10 });
  bench.engine.up({ stepSeconds: 0.01 });
  const refused = (options: Options, message: RegExp) =>
    assert.rejects(bench.scheduler.run(job(options)), (error: Error) => {
      assert.match(error.message, message);
      return error instanceof ConfigError;
    });
  await refused(
    { count: 9, steps: 1000 }, // three batches
    /^steps: expected at most 333 steps x 9 images or 1000 steps x 4 images: what this server can draw in 10 seconds, got "1000 steps x 9 images"$/,
  );
  const guided = /^steps: expected at most 500 steps x 4 images or 1000 steps x 2 images: /;
  await refused({ count: 4, steps: 1000, guidance: 2 }, guided);
  const fits = [{ count: 4, steps: 1000 }, { count: 2, steps: 1000, guidance: 2, client: "b" }].map(
    (options) => {
      const alone = new Bench({ rows: 4, timeout: 10 });
      const outcome = alone.run(options);
      alone.engine.tick(1000);
      return outcome;
    },
  );
  await settle();
  assert.ok(fits.every(({ result }) => result));
  bench.assertEmpty();
});

Deno.test("before anything is drawn, the speed that a model was tried out with counts", async () => {
  const bench = new Bench({ rows: 4, timeout: 10 });
  bench.engine.up({ stepSeconds: 0.5 });
  const outcome = bench.run({ count: 9, steps: 10 });
  await settle();
  assert.match(
    String(outcome.error),
    /^ConfigError: steps: expected at most 6 steps x 9 images or 10 steps x 8 images/,
  );
  const longest = bench.run({ count: 8, steps: 10 });
  const beside = bench.run({ client: "b", count: 8, steps: 10 });
  await settle();
  assert.deepEqual(longest, {});
  assertRefused(beside, 503, "overloaded", /would not finish within 10 seconds/);
  assert.equal(beside.error!.retryAfter, 10);
  bench.engine.up({ stepSeconds: 0.01 });
  const faster = bench.run({ client: "b", count: 8, steps: 10 });
  bench.engine.tick(100);
  await settle();
  assert.ok(longest.result && faster.result, "the next model is faster");
  bench.assertEmpty();
});

Deno.test("a client may have so much work under way, and no more", async () => {
  const bench = new Bench({ rows: 4, maxWork: 100 });
  const first = bench.run({ count: 2, steps: 20, guidance: 2 }); // 80
  const more = bench.run({ steps: 21 });
  const other = bench.run({ client: "b", count: 5, steps: 20 });
  await settle();
  assertRefused(
    more,
    429,
    "too_much_work",
    /^a client may have 100 network evaluations in progress.* this one's 21$/,
  );
  assert.equal(more.error!.retryAfter, 1);
  assert.deepEqual([first, other], [{}, {}]);
  bench.engine.tick();
  const fits = bench.run({ steps: 21 });
  await settle();
  assert.deepEqual(fits, {}, "what is done does not count any more");
  await assert.rejects(
    bench.scheduler.run(job({ client: "c", count: 3, steps: 34 })),
    /^ConfigError: steps: expected at most 33 steps x 3 images or 34 steps x 2 images: 100 network evaluations a client/,
  );
  bench.engine.tick(100);
  await settle();
  assert.ok(first.result && other.result && fits.result);
  bench.assertEmpty();
});

Deno.test("guidance where the batch has a single row is refused as the request's fault", async () => {
  const bench = new Bench({ rows: 1 });
  await assert.rejects(bench.scheduler.run(job({ guidance: 2 })), (error: Error) => {
    assert.match(
      error.message,
      /^guidance: expected 1: the image takes 2 rows.* has 1 on this server, got 2$/,
    );
    return error instanceof ConfigError;
  });
  bench.assertEmpty();
});
