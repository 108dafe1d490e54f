/**
 * `deno task imports`: fails on import cycles, imports of a higher floor, APIs of Deno in modules that must run in a
 * browser, imports that a published package cannot have, and names that two modules export.
 *
 * @module
 */
import { checkNames } from "./check_names.ts";

/** A file, or a folder with everything below it. A module belongs to the room with the longest matching path. */
interface Room {
  readonly path: string;
  /** A room may import from itself and from rooms of lower floors. */
  readonly floor: number;
  /** If given, the only rooms it may import from besides itself. */
  readonly sees?: readonly string[];
  /** True for modules that must run in a browser (no `Deno`, no `node:`), or the names of those modules. */
  readonly browser?: true | readonly string[];
}

const ROOMS: readonly Room[] = [
  { path: "deno.json", floor: 0 },
  { path: "lib/errors.ts", floor: 0, browser: true },
  { path: "lib/checks.ts", floor: 1, browser: true },
  { path: "lib/digest.ts", floor: 1, browser: true },
  { path: "lib/html.ts", floor: 1, browser: true },
  { path: "lib/process.ts", floor: 1 },
  { path: "lib/pickle/", floor: 1, browser: true },
  { path: "lib/program.ts", floor: 2, browser: true },
  { path: "lib/random.ts", floor: 2, browser: true },
  { path: "lib/shell.ts", floor: 1, browser: true },
  { path: "lib/counted.ts", floor: 1, browser: true },
  { path: "lib/suggest.ts", floor: 1, browser: true },
  { path: "kernels/", floor: 2, browser: true, sees: ["lib/errors.ts"] },
  { path: "lib/gpu/dawn/", floor: 2, browser: ["package.ts"], sees: ["lib/errors.ts", "lib/process.ts"] },
  { path: "lib/mpi/", floor: 2, browser: ["communicator.ts"], sees: ["lib/errors.ts"] },
  { path: "lib/gpu/", floor: 3, browser: true },
  { path: "lib/gpu/open.ts", floor: 4 },
  { path: "lib/graph/", floor: 4, browser: true },
  { path: "lib/model/", floor: 5, browser: true },
  { path: "lib/diffusion/", floor: 6, browser: true, sees: ["lib/errors.ts", "lib/suggest.ts"] },
  { path: "lib/files/", floor: 6, browser: ["assemble.ts", "safetensors.ts"] },
  { path: "lib/remote/", floor: 7, browser: ["fetch_files.ts"] },
  { path: "lib/data/", floor: 7, browser: ["dataset_parts.ts"] },
  { path: "lib/image/", floor: 7, browser: ["images.ts"] },
  {
    path: "lib/tuning/",
    floor: 7,
    browser: ["cost.ts", "search.ts", "time_limit.ts", "trial_timer.ts", "trials.ts", "tune.ts", "tuning.ts"],
  },
  {
    path: "lib/sampling/",
    floor: 8,
    browser: ["diffusion_model.ts", "generator.ts", "request.ts", "running_batch.ts", "slots/slot_batch.ts"],
  },
  { path: "lib/train/device/", floor: 8 },
  { path: "lib/evaluation/", floor: 9 },
  { path: "lib/train/", floor: 10, browser: ["in_memory.ts"] },
  { path: "lib/report/", floor: 11 },
  { path: "lib/tensorboard/", floor: 11 },
  { path: "mod.ts", floor: 11 },
  { path: "web.ts", floor: 11, browser: true },
  { path: "server/clock.ts", floor: 12 },
  { path: "server/log.ts", floor: 12 },
  { path: "server/settings.ts", floor: 12 },
  { path: "server/private_file.ts", floor: 12 },
  { path: "server/keys/", floor: 13 },
  { path: "server/engine/", floor: 13 },
  { path: "server/queue/", floor: 14 },
  { path: "server/pictures/", floor: 15 },
  { path: "server/metrics.ts", floor: 16 },
  { path: "server/http/", floor: 17 },
  { path: "server/openai/", floor: 18 },
  { path: "server/jobs/", floor: 18 },
  { path: "server/", floor: 19 },
  { path: "terminal/", floor: 20 },
  { path: "bench/", floor: 21 },
  { path: "bundle/", floor: 22 },
  { path: "tasks/", floor: 23 },
  { path: "tests/reference/", floor: 0, sees: [] },
  { path: "examples/", floor: 12, sees: ["mod.ts"] },
  { path: "cli.ts", floor: 24 },
  { path: "tests/", floor: 25 },
  { path: "bench/pytorch/", floor: 26 },
];

/** Packages whose parts that are imported run in browsers: plain JavaScript without imports, of imagescript its PNG codec. */
const BROWSER_PACKAGES: readonly string[] = ["fastest-levenshtein", "imagescript"];

const ROOT = new URL("../", import.meta.url);
const FOLDERS = ["bench", "bundle", "examples", "kernels", "lib", "server", "tasks", "terminal", "tests"];

/** A module of the project. */
export interface Module {
  /** Imports: project files by path from the root, other specifiers (`npm:…`, `node:…`) unchanged. */
  readonly imports: readonly string[];
  /** Those of them that are of types alone, which nobody loads. */
  readonly types?: readonly string[];
  readonly text: string;
}

/**
 * Checks all rules.
 *
 * @param modules the project's modules by path from the root
 * @returns a message for each violation
 */
export function checkImports(modules: ReadonlyMap<string, Module>): string[] {
  const problems: string[] = [];
  const forBrowser = browserModules(modules);
  for (const [path, { imports, text }] of modules) {
    const room = roomOf(path);
    if (!room) {
      problems.push(`${path}: is in no room; add one to the table in tasks/check_imports.ts`);
      continue;
    }
    const browser = forBrowser.get(path);
    if (browser && usesDeno(text)) problems.push(`${path}: uses Deno, but ${browser}`);
    for (const target of imports) {
      if (browser && !browserHas(target)) problems.push(`${path}: imports ${target}, but ${browser}`);
      const problem = checkImport(room, target, modules);
      if (problem) problems.push(`${path}: imports ${target}, ${problem}`);
    }
  }
  const cycle = findCycle(modules);
  if (cycle) problems.push(`import cycle: ${cycle.join(" -> ")}`);
  return problems;
}

function roomOf(path: string): Room | undefined {
  const matches = ROOMS.filter((room) =>
    room.path.endsWith("/") ? path.startsWith(room.path) : path === room.path
  );
  return matches.sort((a, b) => b.path.length - a.path.length)[0];
}

/**
 * Modules that must run in a browser, those of the rooms' tables and all that they import, each with the reason. Dynamic imports
 * count: bundlers follow them. Imports of types do not: nothing is left of them.
 */
function browserModules(modules: ReadonlyMap<string, Module>): Map<string, string> {
  const reasons = new Map<string, string>();
  for (const path of modules.keys()) if (runsInBrowser(path)) reasons.set(path, "must run in a browser");
  // Modules that are added on the way are visited, too.
  for (const path of reasons.keys()) {
    const { imports = [], types = [] } = modules.get(path) ?? {};
    for (const target of imports) {
      if (!modules.has(target) || reasons.has(target) || types.includes(target)) continue;
      reasons.set(target, `${path}, which imports it, must run in a browser`);
    }
  }
  return reasons;
}

/** False for built-in modules of Node, and for packages that are not known to run in browsers. */
function browserHas(target: string): boolean {
  const name = /^npm:\/?((?:@[^/]+\/)?[^@/]+)/.exec(target)?.[1];
  return !target.startsWith("node:") && (name === undefined || BROWSER_PACKAGES.includes(name));
}

function runsInBrowser(path: string): boolean {
  const { path: room = "", browser = [] } = roomOf(path) ?? {};
  return browser === true || browser.some((name) => path === `${room}${name}`);
}

function checkImport(from: Room, target: string, modules: ReadonlyMap<string, Module>): string | undefined {
  if (target.startsWith("node:") || target.startsWith("npm:")) return undefined;
  if (/^[a-z]+:/.test(target)) {
    return "but only npm packages, built-in modules and the project's files are allowed";
  }
  if (!modules.has(target)) return "which does not exist";
  const to = roomOf(target);
  if (!to || to === from) return undefined;
  if (from.sees) {
    if (from.sees.includes(to.path)) return undefined;
    return `but ${from.path} may import ${from.sees.join(", ") || "nothing else"} only`;
  }
  // references in tests/ are on a low floor so that they cannot import the code they check; all tests may import them
  const checks = from.path.startsWith("tests/") || from.path === "bench/pytorch/";
  if (to.path.startsWith("tests/") && !checks) return "but tests are for tests only";
  if (to.floor < from.floor) return undefined;
  return `but ${from.path} must not know ${to.path}`;
}

/** True if the code uses the global `Deno`, outside comments and strings. */
function usesDeno(text: string): boolean {
  const code = text.replace(/"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'|\/\*[\s\S]*?\*\/|\/\/.*/g, "");
  return /\bDeno\b/.test(code);
}

/** Finds an import cycle: its modules in order, the first repeated at the end. */
function findCycle(modules: ReadonlyMap<string, Module>): string[] | undefined {
  const finished = new Set<string>();
  const trail: string[] = [];
  const visit = (path: string): string[] | undefined => {
    if (finished.has(path)) return undefined;
    const start = trail.indexOf(path);
    if (start >= 0) return [...trail.slice(start), path];
    trail.push(path);
    for (const target of modules.get(path)?.imports ?? []) {
      if (!modules.has(target)) continue;
      const cycle = visit(target);
      if (cycle) return cycle;
    }
    trail.pop();
    finished.add(path);
    return undefined;
  };
  for (const path of modules.keys()) {
    const cycle = visit(path);
    if (cycle) return cycle;
  }
  return undefined;
}

/** Output of `deno info --json`: the fields used here. */
interface Info {
  modules: { specifier: string; error?: string; dependencies?: Dependency[] }[];
}
interface Dependency {
  specifier: string;
  code?: { specifier?: string };
  type?: { specifier?: string };
}

/** Reads the import graph by `deno info` on a temporary module that imports every file. */
async function readModules(): Promise<Map<string, Module>> {
  const files = await Array.fromAsync(sourceFiles());
  const entry = await Deno.makeTempFile({ suffix: ".ts" });
  try {
    await Deno.writeTextFile(entry, files.map((path) => `import "${new URL(path, ROOT)}";\n`).join(""));
    const args = ["info", "--json", "--no-lock", "--config", "deno.json", entry];
    const { success, stdout, stderr } = await new Deno.Command(Deno.execPath(), { args, cwd: ROOT }).output();
    if (!success) throw new Error(`deno info failed: ${new TextDecoder().decode(stderr)}`);
    const info: Info = JSON.parse(new TextDecoder().decode(stdout));
    const modules = new Map<string, Module>();
    for (const { specifier, error, dependencies = [] } of info.modules) {
      const path = relative(specifier);
      if (path === specifier || error !== undefined) continue;
      const targetsOf = ({ specifier, code, type }: Dependency) => {
        const targets = [code?.specifier, type?.specifier].filter((target) => target !== undefined);
        return targets.length === 0 ? [specifier] : targets.map(relative);
      };
      const loaded = dependencies.filter(({ code, type }) => code || !type).flatMap(targetsOf);
      const imports = [...new Set(dependencies.flatMap(targetsOf))];
      modules.set(path, {
        imports,
        types: imports.filter((target) => !loaded.includes(target)),
        text: await Deno.readTextFile(new URL(path, ROOT)),
      });
    }
    return modules;
  } finally {
    await Deno.remove(entry);
  }
}

function relative(specifier: string): string {
  return specifier.startsWith(ROOT.href) ? specifier.slice(ROOT.href.length) : specifier;
}

async function* sourceFiles(folder?: string): AsyncGenerator<string> {
  if (folder === undefined) {
    yield* ["mod.ts", "web.ts", "cli.ts"];
    // Git does not keep empty folders, so some may be missing.
    for await (const { name } of Deno.readDir(ROOT)) if (FOLDERS.includes(name)) yield* sourceFiles(name);
    return;
  }
  for await (const { name, isFile, isDirectory } of Deno.readDir(new URL(folder, ROOT))) {
    const path = `${folder}/${name}`;
    if (isDirectory) yield* sourceFiles(path);
    else if (isFile && name.endsWith(".ts")) yield path;
  }
}

if (import.meta.main) {
  const modules = await readModules();
  const problems = [...checkImports(modules), ...checkNames(modules)];
  for (const problem of problems) console.error(problem);
  if (problems.length > 0) Deno.exit(1);
  console.log(`${modules.size} modules, every import points the right way, no name is exported twice`);
}
