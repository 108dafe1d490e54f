import assert from "node:assert/strict";
import { join } from "node:path";
import type { TrainEvent } from "../../mod.ts";
import { createReporter } from "../../terminal/progress.ts";
import { RunReport } from "../../tasks/run_report.ts";
import { logLines } from "../support/report.ts";
import { inTemporaryDirectory } from "../support/train/directories.ts";

/** A run's report with a clock of its own, and the lines it prints. */
function reportOf(out: string) {
  const clock = { ms: 0 };
  const printed = { text: "" };
  const stream = { write: (part: string) => printed.text += part };
  const report = new RunReport(createReporter({ mode: "lines", stream }), out, () => clock.ms);
  const tell = (type: TrainEvent["type"]) => report.on({ type, step: type === "end" ? 0 : 1 } as TrainEvent);
  return { report, clock, printed, tell };
}

Deno.test("a report is written at the step after an epoch, and not so often that it takes much of the time", async () => {
  await inTemporaryDirectory(async (out) => {
    const lines = logLines(2).map((line) => `${JSON.stringify(line)}\n`).join("");
    await Deno.writeTextFile(join(out, "metrics.jsonl"), lines);
    const { report, clock, printed, tell } = reportOf(out);
    const isWritten = async () => await Deno.remove(report.path).then(() => true, () => false);
    await tell("start");
    await tell("step");
    await tell("epoch");
    assert.equal(await isWritten(), false);
    await tell("step");
    assert.equal(await isWritten(), true);
    await tell("step");
    assert.equal(await isWritten(), false, "without news");

    // A slow write is not repeated before fifty times as long
    await tell("epoch");
    const writing = report.write();
    clock.ms += 1000;
    await writing;
    assert.equal(await isWritten(), true);
    await tell("epoch");
    clock.ms += 49_000;
    await tell("step");
    assert.equal(await isWritten(), false);
    clock.ms += 2000;
    await tell("step");
    assert.equal(await isWritten(), true);
    assert.equal(printed.text, "");
  });
});

Deno.test("a report that cannot be written is one warning, and training goes on", async () => {
  await inTemporaryDirectory(async (out) => {
    await Deno.mkdir(join(out, "report.html/full"), { recursive: true });
    await Deno.writeTextFile(join(out, "metrics.jsonl"), `${JSON.stringify(logLines(1)[0])}\n`);
    const { report, printed, tell } = reportOf(out);
    for (const type of ["step", "epoch", "step", "epoch", "step"] as const) await tell(type);
    assert.equal(await report.write(), false);
    assert.match(printed.text, /^warning: \S+report\.html: not written \(cannot write .*\)\n$/);
  });
});

Deno.test("a run that ends before its first step has no report", async () => {
  await inTemporaryDirectory(async (out) => {
    const { report, tell } = reportOf(out);
    await tell("start");
    await tell("end");
    assert.equal(await report.write(), false);
    assert.deepEqual([...Deno.readDirSync(out)], []);
  });
});
