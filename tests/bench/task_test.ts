import assert from "node:assert/strict";
import { newReport } from "../../bench/report.ts";
import { testGpu } from "../support/gpu.ts";
import { inTemporaryDirectory } from "../support/train/directories.ts";
import { runTask } from "../support/command.ts";

const ROW = `add [${(await testGpu()).adapter.software ? 64 : 128},32,32,128] forward`;

/** Writes a report of this or another adapter in which adding reached so much of the copy bandwidth. */
async function writeReport(directory: string, name: string, ofLimit: number): Promise<void> {
  const { adapter } = await testGpu();
  const environment = { driver: "?", deno: "?", system: "?", threads: 1, load: 0, date: "2026-01-02" };
  const report = newReport({ ...environment, adapter: { ...adapter, name } }, true);
  report.kernels.push({ name: ROW, milliseconds: 1, gigabytesPerSecond: 1, ofLimit });
  await Deno.writeTextFile(`${directory}/old.json`, JSON.stringify(report));
}

Deno.test("a bench that lost speed against an earlier one ends with 1, names the row and has written all files", async () => {
  await inTemporaryDirectory(async (directory) => {
    const { adapter } = await testGpu();
    const timed = adapter.features.includes("timestamp-query");
    await writeReport(directory, adapter.name, 1e6);
    const measured = ["--quick", "--only", "^add|sampling tiny", "--batch", "1"];
    const profile = timed ? ["--profile", "trace.json"] : [];
    const flags = [...measured, ...profile, "--compare", "old.json", "--json", "new.json"];
    const { code, out, err } = await runTask("bench", flags, directory);
    assert.match(out, /^compared with old\.json /m, err);
    assert.ok(out.endsWith(`1 of 1 rows lost more than 25.0 % of their speed: ${ROW}\n`), out);
    assert.equal(code, 1);
    const read = async (name: string) => JSON.parse(await Deno.readTextFile(`${directory}/${name}`));
    const { kernels, profiles } = await read("new.json");
    assert.equal(kernels[0].name, ROW);
    if (!timed) return;
    const [{ name, replays }, ...others] = profiles;
    assert.deepEqual([name, replays, others], ["sampling step of tiny, batch 1", 3, []]);
    const { traceEvents } = await read("trace.json");
    const whole = traceEvents.filter(({ cat }: { cat?: string }) => cat === "replay");
    assert.equal(whole.length, 3);
  });
});

Deno.test("a report of another adapter is refused before anything is measured, with the way round it", async () => {
  await inTemporaryDirectory(async (directory) => {
    await writeReport(directory, "Fake 9000", 0.5);
    const { code, out, err } = await runTask("bench", ["--quick", "--compare", "old.json"], directory);
    assert.match(err, /--compare: expected a report of the adapter here.*not of Fake 9000, or --any-adapter/);
    assert.deepEqual([code, out], [2, ""]);
  });
});

Deno.test("a growth page without a series says what was measured where, and goes with no other result", async () => {
  await inTemporaryDirectory(async (directory) => {
    const flags = ["--growth", "page.md", "--quick", "--only", "no such table"];
    const { code, out, err } = await runTask("bench", flags, directory);
    assert.equal(code, 0, err);
    assert.equal(await Deno.readTextFile(`${directory}/page.md`), out);
    assert.match(out, /^# Growth of cost\n/);
    const refused = await runTask("bench", ["--growth", "--compare", "old.json"], directory);
    assert.match(refused.err, /'--growth \[FILE\]' cannot be used with option '--compare <FILE>'/);
    assert.equal(refused.code, 2);
  });
});

Deno.test("a pattern that no row has is refused before anything is measured", async () => {
  await inTemporaryDirectory(async (directory) => {
    const none = await runTask("bench", ["--only", "zzzz"], directory);
    assert.match(
      none.err,
      /^error: --only: expected a pattern that a row's name has, .*, got "zzzz"$/m,
    );
    assert.deepEqual([none.code, none.out], [2, ""]);
    // First steps are left out by --quick.
    const left = await runTask("bench", ["--quick", "--only", "^first step"], directory);
    assert.match(left.err, /--only: expected /);
    assert.equal(left.code, 2);
  });
});
