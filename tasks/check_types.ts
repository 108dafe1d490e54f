/**
 * `deno task types`: `deno check`, then the rooms of {@linkcode STRICT} again with `noUncheckedIndexedAccess`, which makes
 * the type of `array[i]` include undefined. TypeScript has one setting for all files, so errors in other rooms are
 * filtered out.
 *
 * @module
 */
import { fileURLToPath } from "node:url";

/**
 * Rooms without unchecked indices, as path prefixes. `kernels/` and the tests stay out: kernel generators and float64
 * references index arrays on every line, within bounds that follow from the shapes beside them.
 */
const STRICT: readonly string[] = [
  "bench/",
  "bundle/",
  "lib/",
  "mod.ts",
  "server/",
  "tasks/",
  "terminal/",
  "web.ts",
];

const ROOT = new URL("../", import.meta.url);

/**
 * Errors of a `deno check` in the given rooms.
 *
 * @param output its output without colours
 * @param root file URL of the project
 * @param rooms path prefixes, relative to the root
 */
export function errorsIn(output: string, root: string, rooms: readonly string[]): string[] {
  return output.split(/^(?=TS\d+ \[ERROR\])/m).slice(1).filter((error) => {
    // The first location is that of the error; further ones are related declarations.
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

/** Writes a copy of deno.json with the setting on; its imports are npm packages only, so any folder will do. */
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
      throw new Error(`deno check failed without a type error:\n${output}`);
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
