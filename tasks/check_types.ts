/**
 * `deno task types`: `deno check`, then the rooms of {@linkcode STRICT} once more with `noUncheckedIndexedAccess`, by which
 * `array[i]` may be undefined. TypeScript has one setting for all files, so errors of other rooms are left out.
 *
 * @module
 */
import { fileURLToPath } from "node:url";

/**
 * Rooms without unchecked indices. `kernels/` and the tests are not to join them: generators of kernels and float64
 * references index arrays on every line, and the shapes beside them say why that is right.
 */
const STRICT: readonly string[] = [
  "bench/",
  "bundle/",
  "lib/diffusion/",
  "lib/gpu/",
  "lib/graph/",
  "lib/image/",
  "lib/model/",
  "lib/tuning/",
  "tasks/bench.ts",
  "tasks/bench_serve.ts",
  "tasks/bundle.ts",
  "tasks/check_",
  "tasks/gen.ts",
  "tasks/test.ts",
];

const ROOT = new URL("../", import.meta.url);

/**
 * Errors of one `deno check` that lie in some rooms.
 *
 * @param output what it printed, colours left out
 * @param root file URL of the project
 * @param rooms paths from the root
 */
export function errorsIn(output: string, root: string, rooms: readonly string[]): string[] {
  return output.split(/^(?=TS\d+ \[ERROR\])/m).slice(1).filter((error) => {
    // The first place is that of the error; further ones say what else it is about.
    const [, path] = /^ {4}at (\S+?):\d+:\d+$/m.exec(error) ?? [];
    return rooms.some((room) => path?.startsWith(root + room));
  }).map((error) => error.trim());
}

async function check(args: readonly string[], output: "inherit" | "piped"): Promise<Deno.CommandOutput> {
  const command = new Deno.Command(Deno.execPath(), {
    args: ["check", ...args],
    cwd: ROOT,
    env: { NO_COLOR: "1" },
    stdout: output,
    stderr: output,
  });
  return await command.output();
}

/** A copy of deno.json with the setting on; its paths are those of npm packages, so that it may lie anywhere. */
async function strictConfig(folder: string): Promise<string> {
  const config = JSON.parse(await Deno.readTextFile(new URL("deno.json", ROOT)));
  config.compilerOptions.noUncheckedIndexedAccess = true;
  await Deno.writeTextFile(`${folder}/deno.json`, JSON.stringify(config));
  return `${folder}/deno.json`;
}

async function main(): Promise<number> {
  const { code } = await check([], "inherit");
  if (code !== 0) return code;
  const folder = await Deno.makeTempDir();
  try {
    const rooms = STRICT.map((room) => fileURLToPath(new URL(room, ROOT)));
    const { code, stderr } = await check(["--config", await strictConfig(folder), ...rooms], "piped");
    const output = new TextDecoder().decode(stderr);
    if (code !== 0 && errorsIn(output, ROOT.href, [""]).length === 0) {
      throw new Error(`deno check did not check:\n${output}`);
    }
    const errors = errorsIn(output, ROOT.href, STRICT);
    for (const error of errors) console.error(`${error}\n`);
    if (errors.length === 0) return 0;
    console.error(`${errors.length} unchecked indices in ${STRICT.join(", ")}`);
    return 1;
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

if (import.meta.main) Deno.exit(await main());
