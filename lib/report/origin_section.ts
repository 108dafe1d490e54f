/**
 * Machine and versions of a run, and the commands to repeat it.
 *
 * @module
 */
import type { Html } from "../html.ts";
import { formatTime } from "./format.ts";
import { command, type Fact, factList, section } from "./markup.ts";
import type { RunRecord } from "./run_record.ts";

/** Machine, versions, times and commands of a run. */
export function originSection(run: RunRecord): Html | undefined {
  const { machine, log: { starts }, commands, settings } = run;
  const resumes = starts.slice(1).map(({ resumedFrom, time }) =>
    `after step ${resumedFrom}, ${formatTime(time)}`
  );
  const facts: Fact[] = [
    ["Adapter", machine?.adapter.name],
    ["Driver", machine?.driver],
    ["WebGPU", machine?.webgpu],
    ["Precision", settings?.precision],
    [
      "Device memory",
      starts.length > 0 ? `${Math.round(starts.at(-1)!.deviceBytes / 2 ** 20)} MiB` : undefined,
    ],
    ["System", machine?.system],
    ["Versions", machine?.denoise && `denoise ${machine.denoise}, Deno ${machine.deno}`],
    ["Started", starts[0] && formatTime(starts[0].time)],
    ["Resumed", resumes.join("; ")],
    ["Fine-tuned from", run.init],
    ["Directory", run.directory],
  ];
  return section("origin", "Repeat it", [
    command("Train again", commands.repeat),
    command("Continue", commands.resume),
    command("Draw images", commands.sample),
    factList(facts),
  ]);
}
