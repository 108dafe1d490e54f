import assert from "node:assert/strict";
import type { EndEvent } from "../../mod.ts";
import { createReporter } from "../../tasks/progress.ts";
import { TrainingReport } from "../../tasks/training_report.ts";

/** What the end of a run is told as. */
async function toldOf(event: Partial<EndEvent>): Promise<string> {
  let text = "";
  const reporter = createReporter({ mode: "lines", stream: { write: (part: string) => text += part } });
  const end = { type: "end", step: 0, interrupted: true, history: [], seconds: 75, ...event } as const;
  await new TrainingReport(reporter, "runs/a").on(end);
  return text;
}

Deno.test("a run that was interrupted is told to be resumable only where there is something to resume", async () => {
  assert.equal(
    await toldOf({ step: 0 }),
    "stopped before the first step was done; there is nothing to resume\n",
  );
  assert.equal(
    await toldOf({ step: 7 }),
    "stopped after step 7; go on with: deno task train --resume runs/a\n",
  );
  assert.match(await toldOf({ step: 7, interrupted: false }), /^done: 7 steps in 1:15 \(/);
});
