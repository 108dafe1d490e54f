import assert from "node:assert/strict";
import { Heartbeat, type Mailbox } from "../../lib/mpi/heartbeat.ts";

/** Mailboxes of ranks in one process. */
function mailboxes(size: number): Mailbox[] {
  const words = new Set<string>();
  return Array.from({ length: size }, (_, own) => ({
    send(to: number) {
      const taken = !words.has(`${own} ${to}`);
      words.add(`${own} ${to}`);
      return taken;
    },
    receive: (from: number) => words.delete(`${from} ${own}`),
  }));
}

Deno.test("a rank that is silent for longer than the timeout is named, by rank 0 and to rank 0's followers", () => {
  let now = 0;
  const silent: string[] = [];
  const boxes = mailboxes(3);
  const ranks = boxes.map((box, rank) =>
    new Heartbeat({ rank, size: 3 }, box, {
      timeout: 10,
      onSilent: (other) => silent.push(`${rank}: ${other}`),
      now: () => now,
    })
  );
  const beat = (...who: number[]) => {
    now += 1000;
    for (const rank of who) ranks[rank].beat();
  };
  for (let i = 0; i < 30; i++) beat(0, 1, 2);
  assert.deepEqual(silent, []);
  for (let i = 0; i < 10; i++) beat(0, 1);
  assert.deepEqual(silent, []);
  for (let i = 0; i < 2; i++) beat(0, 1);
  assert.deepEqual(silent, ["0: 2"]);
  for (let i = 0; i < 12; i++) beat(1, 2);
  assert.deepEqual(silent.filter((line) => line === "1: 0"), ["1: 0"]);
});

Deno.test("a process that was stopped itself blames nobody", () => {
  let now = 0;
  const silent: number[] = [];
  const [first, second] = mailboxes(2);
  const own = new Heartbeat({ rank: 0, size: 2 }, first, {
    timeout: 10,
    onSilent: (rank) => silent.push(rank),
    now: () => now,
  });
  const other = new Heartbeat({ rank: 1, size: 2 }, second, {
    timeout: 1e9,
    onSilent() {},
    now: () => now,
  });
  own.beat();
  now += 3_600_000;
  own.beat();
  assert.deepEqual(silent, []);
  for (let i = 0; i < 20; i++) {
    now += 1000;
    other.beat();
    own.beat();
  }
  assert.deepEqual(silent, []);
  for (let i = 0; i < 12; i++) {
    now += 1000;
    own.beat();
  }
  assert.deepEqual(silent, [1]);
});
