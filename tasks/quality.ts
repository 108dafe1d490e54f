/**
 * `deno task quality`: the comparisons that `docs/quality.md` shows.
 *
 * @module
 */
import { showErrorAndExit, TaskCommand } from "../terminal/cli.ts";
import { oneOf } from "../terminal/values.ts";
import { QUALITY_FLAGS } from "./quality/flags.ts";
import { compareRecipes } from "./quality/recipes.ts";
import { compareSamplers } from "./quality/samplers.ts";

const COMPARISONS: ReadonlyMap<string | undefined, (args: string[]) => Promise<number>> = new Map([
  ["samplers", compareSamplers],
  ["recipes", compareRecipes],
]);

async function main(args: string[]): Promise<number> {
  const [name, ...rest] = args;
  const compare = COMPARISONS.get(name);
  if (compare) return await compare(rest);
  new TaskCommand(
    "quality",
    "Compares samplers, or objectives of training; docs/quality.md shows the results.",
  )
    .usage("<samplers|recipes> [options]")
    .argument(
      "<comparison>",
      "samplers or recipes; each has its own --help",
      oneOf(["samplers", "recipes"]).parse,
    )
    .read(args);
  return 0;
}

if (import.meta.main) {
  try {
    Deno.exit(await main(Deno.args));
  } catch (error) {
    showErrorAndExit(error, QUALITY_FLAGS);
  }
}
