/**
 * Child process of checkpoint_crash_test.ts, in its own mount namespace: saves on the small file system mounted at its
 * argument until that is full, then again after remounting it read-only, and prints the outcomes as JSON.
 */
import { join } from "node:path";
import { loadLatestCheckpoint, loadPipeline, saveCheckpoint } from "../../../lib/files/checkpoint.ts";
import { assertModelOf, exampleCheckpoint } from "./example_checkpoint.ts";

const [disk] = Deno.args;
const runDir = join(disk, "run");
const errors: string[] = [];

async function save(step: number): Promise<void> {
  try {
    await saveCheckpoint(runDir, exampleCheckpoint(step), { keep: 1000 });
  } catch (error) {
    errors.push(`${(error as Error).name}: ${(error as Error).message}`);
  }
}

let step = 0;
while (errors.length === 0) await save(++step);
await new Deno.Command("mount", { args: ["-o", "remount,ro", disk] }).output();
await save(step);

const { step: latest } = await loadLatestCheckpoint(runDir);
assertModelOf(await loadPipeline(runDir, { onWarning: () => {} }), exampleCheckpoint(latest));
const leftovers = [...Deno.readDirSync(runDir), ...Deno.readDirSync(join(runDir, "checkpoints"))]
  .map((entry) => entry.name).filter((name) => name.startsWith(".tmp"));
console.log(JSON.stringify({ errors, attempted: step, latest, leftovers }));
