/**
 * The commands of the published package's command line, each a task.
 *
 * @module
 */
import { relative } from "node:path";
import { fileURLToPath } from "node:url";
import project from "../deno.json" with { type: "json" };
import { PACKAGE_CLI, startTasksBy } from "../lib/program.ts";
import { shellQuote } from "../lib/shell.ts";
import { withSuggestion } from "../lib/suggest.ts";
import { SERVER_COMMAND } from "../terminal/modules.ts";
import { complain, standardOutput } from "../terminal/output.ts";
import { runToExit, type Task } from "../terminal/task.ts";

/** Loads a task: only that which runs. */
type LoadTask = () => Promise<Task>;

/** Tasks of deno.json that need no clone of the project. */
export const COMMANDS: Readonly<Record<string, LoadTask>> = {
  "init": async () => (await import("./init.ts")).initTask,
  "train": async () => (await import("./train.ts")).trainTask,
  "sample": async () => (await import("./sample.ts")).sampleTask,
  "edit": async () => (await import("./edit.ts")).editTask,
  "serve": async () => (await import("./serve.ts")).serveTask,
  "keys": async () => (await import("./keys.ts")).keysTask,
  "evaluate": async () => (await import("./evaluate.ts")).evaluateTask,
  "report": async () => (await import("./report.ts")).reportTask,
  "export": async () => (await import("./export.ts")).exportTask,
  "fetch": async () => (await import("./fetch.ts")).fetchTask,
  "train:classifier": async () => (await import("./train_classifier.ts")).trainClassifierTask,
};

/**
 * Runs the command that the arguments name, and ends the process with its exit code: 2 for an unknown one.
 *
 * @param args command and its arguments
 */
export async function runCommand(args: readonly string[]): Promise<never> {
  const program = programWords(Deno.mainModule, Deno.cwd());
  const [name, ...rest] = args;
  // Before the task's module is loaded, whose help texts may name commands.
  startTasksBy(program);
  if (name === SERVER_COMMAND && Deno.build.standalone) {
    await import("../server/main.ts");
    return await new Promise(() => {}); // the server ends the process
  }
  if (name === "--version" || name === "-V") {
    standardOutput().write(`${project.version}\n`);
    Deno.exit(0);
  }
  const load = name !== undefined && Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : undefined;
  if (load) return await runToExit(await load(), rest);
  if (name === undefined || name === "--help" || name === "-h") {
    standardOutput().write(helpOf(program));
    Deno.exit(name === undefined ? 2 : 0);
  }
  const names = Object.keys(COMMANDS);
  complain(
    `error: ${withSuggestion(`unknown command '${name}'; allowed: ${names.join(", ")}`, name, names)}`,
  );
  Deno.exit(2);
}

/**
 * Words that a user of the package's command line puts before a command.
 *
 * @param mainModule of the process
 * @param directory current directory
 * @param executable path of the process's executable, if `deno compile` has made it of this program
 */
export function programWords(
  mainModule: string,
  directory: string,
  executable: string | undefined = Deno.build.standalone ? Deno.execPath() : undefined,
): readonly string[] {
  if (executable !== undefined) return [executable];
  const script = mainModule.startsWith("file:")
    ? relative(directory, fileURLToPath(mainModule))
    : mainModule.startsWith("jsr:")
    ? mainModule
    : PACKAGE_CLI;
  return ["deno", "run", "-A", script];
}

function helpOf(program: readonly string[]): string {
  const tasks: Readonly<Record<string, { readonly description: string }>> = project.tasks;
  const commands = Object.keys(COMMANDS).map((name) => [name, tasks[name]!.description] as const); // a test compares the two
  const options = [
    ["-h, --help", "show this help; after a command, its options"],
    ["-V, --version", "print the version of the package"],
  ] as const;
  const width = Math.max(...[...commands, ...options].map(([name]) => name.length)) + 2;
  const lines = (rows: readonly (readonly [string, string])[]) =>
    rows.map(([name, description]) => `  ${name.padEnd(width)}${description}\n`).join("");
  return `Usage: ${program.map(shellQuote).join(" ")} COMMAND [options]\n\n` +
    "Trains and samples denoising diffusion models (DDPM) on WebGPU.\n\n" +
    `Commands:\n${lines(commands)}\nOptions:\n${lines(options)}`;
}
