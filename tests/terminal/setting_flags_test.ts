import assert from "node:assert/strict";
import { TaskCommand } from "../../terminal/cli.ts";
import { addSettingFlags, flagNames, readSettingFlags } from "../../terminal/setting_flags.ts";
import { MADE_UP } from "../support/train/made_up_settings.ts";

/** Made-up settings of a command line, or the error it ends with. */
function read(...args: string[]): unknown {
  const command = new TaskCommand("try", "Tries.").configureOutput({ writeErr: () => {} });
  addSettingFlags(command, MADE_UP);
  try {
    return readSettingFlags(MADE_UP, command.read(args));
  } catch (error) {
    return (error as Error).message;
  }
}

Deno.test("each entry of a table is a flag, with its help, unit, range and default", () => {
  const help = addSettingFlags(new TaskCommand("try", "Tries."), MADE_UP).helpInformation();
  const options = help.slice(help.indexOf("Options:\n") + 9, help.indexOf("  -h, --help"));
  assert.equal(
    options,
    `\
  --layers <N>   depth of it (in layers; a whole number, from 1 to 8; default: tiny 2, small 3, small-64 3,
                 small-128 3, ddpm 4; may change on resume)
  --ratio <R>    share that is kept (a number, above 0 and at most 1; default: 1; 0.5 on a software adapter)
  --name <NAME>  which of them (a, b, c; default: the fastest)
  --fast         hurry (may change on resume)
  --no-safe      take no care
  --most <F>     end of it (a number, 0 or more; default: no limit)
  --net <FILE>   a network (default: one of ours)
  --row <FILE>   numbers of a row (default: all 1)
`,
  );
});

Deno.test("a flag gives its setting's value by the setting's name, and nothing where it is not given", () => {
  assert.deepEqual(read(), {});
  assert.deepEqual(read("--ratio", "1", "--name", "b"), { ratio: 1, name: "b" });
  assert.deepEqual(read("--fast", "--no-safe"), { fast: true, safe: false });
  assert.deepEqual(read("--net", "x.json", "--row", "y.json"), {}, "files are read elsewhere");
});

Deno.test("a flag that takes another's place conflicts with it, and makes that null", () => {
  assert.deepEqual(read("--layers", "2"), { layers: 2, most: null });
  assert.match(
    read("--layers", "2", "--most", "3") as string,
    /'--layers <N>' cannot be used with .*'--most <F>'/,
  );
  assert.match(
    read("--net", "x", "--name", "a") as string,
    /'--net <FILE>' cannot be used with .*'--name <NAME>'/,
  );
});

Deno.test("a flag takes what its setting takes", () => {
  const cases = [["--layers", "9"], ["--layers", "1.5"], ["--ratio", "0"], ["--name", "d"], ["--most", "-1"]];
  for (const args of cases) assert.match(read(...args) as string, /is invalid/, args.join(" "));
  assert.match(read("--name", "old") as string, /is invalid\. Allowed: b, its successor\./);
});

Deno.test("flags are known by their settings' names, but for those that say the opposite", () => {
  assert.deepEqual(flagNames(MADE_UP), {
    layers: "--layers",
    ratio: "--ratio",
    name: "--name",
    fast: "--fast",
    most: "--most",
    network: "--net",
    row: "--row",
  });
});
