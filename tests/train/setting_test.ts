import assert from "node:assert/strict";
import { ConfigError } from "../../lib/errors.ts";
import {
  checkGiven,
  defaultsOf,
  describeDefault,
  pickGiven,
  type Setting,
  type SettingTable,
} from "../../lib/train/setting.ts";
import { PLAIN_GPU, SOFTWARE } from "../support/adapters.ts";
import { MADE_UP, type MadeUp } from "../support/train/made_up_settings.ts";

Deno.test("the check of a setting follows from its entry", () => {
  const cases: [MadeUp, string | undefined][] = [
    [{}, undefined],
    [{ layers: 1, ratio: 1, name: "b", fast: false, safe: false, most: null, network: {} }, undefined],
    [{ layers: undefined, ratio: 0.5, most: 3 }, undefined],
    [{ layers: 0 }, "layers: expected a whole number from 1 to 8, got 0"],
    [{ layers: 1.5 }, "layers: expected a whole number from 1 to 8, got 1.5"],
    [{ layers: null as never }, "layers: expected a whole number from 1 to 8, got null"],
    [{ layers: "2" as never }, 'layers: expected a whole number from 1 to 8, got "2"'],
    [{ ratio: 0 }, "ratio: expected a number above 0 and at most 1, got 0"],
    [{ ratio: NaN }, "ratio: expected a number above 0 and at most 1, got NaN"],
    [{ most: Infinity }, "most: expected a number of at least 0, got Infinity"],
    [{ name: "d" as "a" }, 'name: expected a, b or c, got "d"'],
    [{ name: "old" as "a" }, 'name: expected b, its successor, got "old"'],
    [{ name: "toString" as "a" }, 'name: expected a, b or c, got "toString"'],
    [{ fast: 1 as never }, "fast: expected true or false, got 1"],
    [{ network: [] as never }, "network: expected an object, got []"],
    [{ row: [1, 0.5] }, undefined],
    [{ row: null }, undefined],
    [{ row: [1, 2] }, "row: expected a list of 1 to 3 numbers above 0 and below 2, got [1, 2]"],
    [{ row: [] }, "row: expected a list of 1 to 3 numbers above 0 and below 2, got []"],
    [{ row: [1, 1, 1, 1] }, "row: expected a list of 1 to 3 numbers above 0 and below 2, got [1, 1, 1, 1]"],
  ];
  for (const [given, message] of cases) {
    const check = () => checkGiven<MadeUp>(MADE_UP, given);
    if (message === undefined) check();
    else {
      assert.throws(check, (error: Error) => {
        assert.equal(error.message, message);
        return error instanceof ConfigError;
      });
    }
  }
});

Deno.test("a table that is not its interface's does not compile", () => {
  interface Options {
    readonly rate?: number;
    readonly fast?: boolean;
  }
  const rate = { kind: "number", min: 0, max: 1, default: 0.5, help: "rate" } as const;
  const fast = { kind: "boolean", default: false, help: "hurry" } as const;
  const tables: SettingTable<Options>[] = [
    { rate, fast },
    // @ts-expect-error: a member without an entry
    { rate },
    // @ts-expect-error: an entry without a member
    { rate, fast, slow: fast },
    // @ts-expect-error: an entry of another type
    { rate, fast: rate },
    // @ts-expect-error: null where the member has none
    { rate: { ...rate, null: "none" }, fast },
    // @ts-expect-error: a default of another type
    { rate: { ...rate, default: "half" }, fast },
  ];
  assert.equal(tables.length, 6, "checked by `deno check`");
});

Deno.test("a default may differ between presets or adapters, and is told in words", () => {
  const common = { fast: false, safe: true, most: null, network: undefined, row: null };
  assert.deepEqual(defaultsOf<MadeUp>(MADE_UP, { preset: "ddpm", adapter: PLAIN_GPU }), {
    ...common,
    name: "a",
    layers: 4,
    ratio: 1,
  });
  assert.deepEqual(defaultsOf<MadeUp>(MADE_UP, { preset: "tiny", adapter: SOFTWARE }), {
    ...common,
    name: "b",
    layers: 2,
    ratio: 0.5,
  });
  const words = Object.entries<Setting>(MADE_UP).map(([name, setting]) => [name, describeDefault(setting)]);
  assert.deepEqual(Object.fromEntries(words), {
    layers: "tiny 2, small 3, small-64 3, small-128 3, ddpm 4",
    ratio: "1; 0.5 on a software adapter",
    name: "the fastest",
    fast: "false",
    safe: "true",
    most: "no limit",
    network: "one of ours",
    row: "all 1",
  });
});

Deno.test("of what is given, a table's settings are picked, those that are null included", () => {
  const given = { layers: undefined, most: null, safe: false, other: 3 };
  assert.deepEqual(pickGiven<MadeUp>(MADE_UP, given), { most: null, safe: false });
});
