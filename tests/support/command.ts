/** Runs tasks as a user does: as processes, on tiny images and a tiny network. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import project from "../../deno.json" with { type: "json" };
import { encodePng } from "../../lib/image/png.ts";
import { unetConfigToJson } from "../../lib/model/config.ts";
import { microNetwork } from "./train/micro.ts";

/** Exit code and output of a process. */
export interface Outcome {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

/** A running task. */
export interface Running {
  readonly child: Deno.ChildProcess;
  /** Resolves with the first line of standard output that `test` accepts; rejects if the output ends without one. */
  until(test: (line: string) => boolean): Promise<string>;
  outcome(): Promise<Outcome>;
}

/** Root of the project. */
const ROOT = fileURLToPath(new URL("../../", import.meta.url));

/**
 * Arguments of `deno` for `tasks/NAME.ts`: those of `deno task NAME`, without prompts for further permissions, and without
 * the lines about packages that a fresh machine fetches.
 */
export function denoArguments(name: string, args: readonly string[]): string[] {
  const tasks: Record<string, { command: string }> = project.tasks;
  const [deno, run, ...rest] = tasks[name.replace("_", ":")].command.split(" ");
  const script = rest.pop()!;
  assert.deepEqual([deno, run, script], ["deno", "run", `tasks/${name}.ts`]);
  const config = `--config=${join(ROOT, "deno.json")}`;
  return [run, ...rest, "--quiet", "--no-prompt", "--no-check", config, join(ROOT, script), ...args];
}

/** Command for `tasks/NAME.ts` in a directory. */
export function taskCommand(
  name: string,
  args: readonly string[],
  cwd: string,
  env: Record<string, string> = {},
): Deno.Command {
  return new Deno.Command(Deno.execPath(), {
    args: denoArguments(name, args),
    cwd,
    env: { NO_COLOR: "1", ...env },
    stdout: "piped",
    stderr: "piped",
  });
}

/** Starts `tasks/NAME.ts` in a directory. */
export function startTask(...args: Parameters<typeof taskCommand>): Running {
  const child = taskCommand(...args).spawn();
  const lines: string[] = [];
  let out = "";
  let wake = () => {};
  let ended = false;
  const reading = (async () => {
    for await (const chunk of child.stdout.pipeThrough(new TextDecoderStream())) {
      out += chunk;
      lines.splice(0, lines.length, ...out.split("\n").slice(0, -1));
      wake();
    }
    ended = true;
    wake();
  })();
  const errors = new Response(child.stderr).text();
  return {
    child,
    async until(test) {
      for (;;) {
        const found = lines.find(test);
        if (found !== undefined) return found;
        if (ended) throw new Error(`no such line in:\n${out}\n${await errors}`);
        await new Promise<void>((resolve) => wake = resolve);
      }
    },
    async outcome() {
      await reading;
      const { code } = await child.status;
      return { code, out, err: await errors };
    },
  };
}

/** Runs `tasks/NAME.ts` to completion. */
export function runTask(...args: Parameters<typeof startTask>): Promise<Outcome> {
  return startTask(...args).outcome();
}

/** Writes `images/`, with classes `light` and `dark` of `images` PNGs each, and `network.json`. */
export async function makeMaterial(directory: string, images = 11): Promise<void> {
  for (const [name, from] of [["light", 160], ["dark", 20]] as const) {
    await Deno.mkdir(join(directory, "images", name), { recursive: true });
    for (let i = 0; i < images; i++) {
      const pixels = Uint8Array.from({ length: 8 * 8 * 3 }, (_, j) => from + (j * (i + 3)) % 60);
      await Deno.writeFile(join(directory, "images", name, `${i}.png`), await encodePng(pixels, 8, 8));
    }
  }
  const network = microNetwork({
    sampleSize: 32,
    blockOutChannels: [4, 8, 8],
    downBlockTypes: DOWN,
    upBlockTypes: UP,
  });
  await Deno.writeTextFile(join(directory, "network.json"), JSON.stringify(unetConfigToJson(network)));
}

const DOWN = ["DownBlock2D", "DownBlock2D", "DownBlock2D"] as const;
const UP = ["UpBlock2D", "UpBlock2D", "UpBlock2D"] as const;

/** Flags of a training run on {@linkcode makeMaterial}'s files: 20 training images, 5 steps per epoch. */
export const TRAINING: readonly string[] = [
  ...["--data", "images", "--config", "network.json", "--batch", "4", "--warmup", "2", "--log-every", "1"],
];
