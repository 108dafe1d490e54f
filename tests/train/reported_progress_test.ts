import assert from "node:assert/strict";
import { reportedProgress } from "../../lib/train/reported_progress.ts";

Deno.test("a task's reports are yielded, the latest for a consumer that is slow, and its result is returned", async () => {
  const seen: number[] = [];
  const task = reportedProgress<number, string>(async (report) => {
    for (let i = 1; i <= 6; i++) {
      report(i);
      if (i % 2 === 0) await new Promise((resolve) => setTimeout(resolve));
    }
    return "done";
  });
  for (;;) {
    const { done, value } = await task.next();
    if (done) {
      assert.equal(value, "done");
      break;
    }
    seen.push(value);
  }
  assert.deepEqual(seen, [2, 4, 6]);
});

Deno.test("a task's error is thrown after its reports", async () => {
  const task = reportedProgress<number, void>((report) => {
    report(1);
    return Promise.reject(new Error("lost"));
  });
  assert.deepEqual(await task.next(), { done: false, value: 1 });
  await assert.rejects(task.next(), /^Error: lost$/);
});
