import assert from "node:assert/strict";
import { join } from "node:path";
import { unetConfigToJson } from "../../lib/model/config.ts";
import { resolveGrids } from "../../lib/train/options.ts";
import { resolveSettings, type SettingsOptions } from "../../lib/train/settings.ts";
import { repeatArguments, runCommands } from "../../tasks/run_commands.ts";
import { imageOptionsIn } from "../../tasks/data_flags.ts";
import { otherSettingsOf, readFlags, settingsOf } from "../../tasks/train_flags.ts";
import { SOFTWARE } from "../support/adapters.ts";
import { runRecord } from "../support/report.ts";
import { inTemporaryDirectory } from "../support/train/directories.ts";
import { microNetwork } from "../support/train/micro.ts";

const SHAPE = { height: 32, width: 32, channels: 3, classes: 2 } as const;

for (
  const [what, options] of Object.entries<SettingsOptions>({
    "defaults": {},
    "a recipe, and a setting of it that was given": { recipe: "best", lr: 1e-3, flowTimes: "uniform" },
    "switches on and off": { flip: false, keepBest: true, conditional: false, dropout: 0.25 },
    "steps instead of epochs, and lists": {
      steps: 70,
      epochs: null,
      emaProfiles: [0.05, 0.1],
      objective: "v",
      zeroTerminalSnr: true,
    },
    "the small default run": { preset: "auto" },
  })
) {
  Deno.test(`the command to repeat a run has the same settings: ${what}`, async () => {
    const run = runRecord({}, options);
    const flags = readFlags(repeatArguments(run));
    const { recipe: _, ...repeated } = resolveSettings(await settingsOf(flags), SOFTWARE, SHAPE);
    const { recipe: __, ...settings } = run.settings!;
    assert.deepEqual(repeated, settings);
  });
}

Deno.test("the command to repeat a run has its custom network and its grids, and its words are quoted", async () => {
  await inTemporaryDirectory(async (directory) => {
    const model = microNetwork({ sampleSize: 32 });
    await Deno.mkdir(join(directory, "unet"));
    await Deno.writeTextFile(join(directory, "unet/config.json"), JSON.stringify(unetConfigToJson(model)));
    const grids = resolveGrids(SOFTWARE, { sampleEvery: 3, guidance: 1.5 });
    const imageOptions = {
      size: [24, 32],
      fit: "pad",
      background: [0, 128, 255],
      labelColumn: "kind",
    } as const;
    const dataset = { name: "birds", digest: "0", source: "/home/me/my birds", imageOptions };
    const run = runRecord({ directory, grids, dataset }, { model });
    const flags = readFlags(repeatArguments(run));
    assert.deepEqual(resolveSettings(await settingsOf(flags), SOFTWARE, SHAPE), run.settings);
    assert.deepEqual(resolveGrids(SOFTWARE, otherSettingsOf(flags)), grids);
    assert.equal(flags.data, "/home/me/my birds");
    assert.deepEqual(imageOptionsIn(flags), imageOptions);
    assert.match(runCommands(run).repeat!, /--data '\/home\/me\/my birds' /);
  });
});

Deno.test("a run that ended is not continued, one that was interrupted or killed is, on its backend", () => {
  const end = { step: 4, interrupted: true, stoppedEarly: false, seconds: 1 };
  const run = runRecord({ machine: { adapter: { ...SOFTWARE, backend: "dawn" } } });
  const command = "deno task train --resume runs/run --backend dawn";
  assert.equal(runCommands(run).resume, command);
  assert.equal(runCommands({ ...run, log: { ...run.log, end } }).resume, command);
  assert.equal(
    runCommands({ ...run, log: { ...run.log, end: { ...end, interrupted: false } } }).resume,
    undefined,
  );
  assert.equal(runCommands({ ...run, resumable: false }).resume, undefined);
  assert.equal(runCommands(run).sample, "deno task sample --model runs/run --class cat");
});
