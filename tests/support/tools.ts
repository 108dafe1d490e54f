/** Programs that tests of deployment need, and that not every machine has. */
import assert from "node:assert/strict";
import { accessSync, constants } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

/** Where `tasks/setup.sh` unpacks Debian's packages. */
const UNPACKED = fileURLToPath(new URL("../../.cache/tools", import.meta.url));

/** A missing tool fails its tests. */
const required = Deno.env.get("DENOISE_REQUIRE_TOOLS") === "1";

/** Path of a program: on the PATH, in the folders of the system's own, or unpacked by `tasks/setup.sh`. */
export function findTool(name: string): string | undefined {
  const folders = (Deno.env.get("PATH") ?? "").split(":").filter((folder) => folder !== "");
  const places = [...folders, "/usr/sbin", "/usr/local/sbin", `${UNPACKED}/usr/sbin`, `${UNPACKED}/usr/bin`];
  return places.map((folder) => join(folder, name)).find(isExecutable);
}

function isExecutable(file: string): boolean {
  try {
    accessSync(file, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/** Programs and their paths. */
export type Tools<Name extends string> = Readonly<Record<Name, string>>;

/** Defines a test that needs programs. */
type DefineTest<Name extends string> = (name: string, fn: (tools: Tools<Name>) => Promise<void>) => void;

/**
 * Defines tests that need programs. Where one is missing they are left out, which is printed, unless DENOISE_REQUIRE_TOOLS is 1.
 *
 * @param names of the programs
 */
export function testsWith<Name extends string>(names: readonly Name[]): DefineTest<Name> {
  const found = names.map((name) => [name, findTool(name)] as const);
  const missing = found.filter(([, path]) => path === undefined).map(([name]) => name).join(", ");
  if (missing !== "" && !required) {
    return leaveOut(
      `tests that need ${missing} (on Debian, sh tasks/setup.sh test unpacks nginx and promtool)`,
    );
  }
  return (name, fn) =>
    Deno.test(name, async () => {
      assert.equal(missing, "", "not found, and DENOISE_REQUIRE_TOOLS=1 asks for it");
      await fn(Object.fromEntries(found) as Tools<Name>);
    });
}

/** Defines tests that are left out, and prints which. */
export function leaveOut<Name extends string>(what: string): DefineTest<Name> {
  console.log(`left out: ${what}`);
  return (name) => Deno.test.ignore(name, () => {});
}

/** Runs a program to its end. */
export async function runTool(
  program: string,
  args: readonly string[],
  options: Pick<Deno.CommandOptions, "cwd" | "env"> = {},
): Promise<{ readonly code: number; readonly out: string; readonly err: string }> {
  const { code, stdout, stderr } = await new Deno.Command(program, { ...options, args: [...args] }).output();
  return { code, out: new TextDecoder().decode(stdout), err: new TextDecoder().decode(stderr) };
}
