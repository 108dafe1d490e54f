/** A settings table with one setting of each kind, for tests of everything derived from such tables. */
import type { SettingTable } from "../../../lib/train/setting.ts";

export interface MadeUp {
  readonly layers?: number;
  readonly ratio?: number;
  readonly name?: "a" | "b" | "c";
  readonly fast?: boolean;
  readonly safe?: boolean;
  readonly most?: number | null;
  readonly network?: object;
  readonly row?: readonly number[] | null;
}

export const MADE_UP: SettingTable<MadeUp> = {
  layers: {
    kind: "whole",
    min: 1,
    max: 8,
    default: { tiny: 2, small: 3, "small-64": 3, "small-128": 3, ddpm: 4 },
    unit: "layers",
    clears: "most",
    conflicts: ["most"],
    resumable: true,
    help: "depth of it",
  },
  ratio: {
    kind: "number",
    min: 0,
    max: 1,
    aboveMin: true,
    default: { gpu: 1, software: 0.5 },
    valueName: "R",
    help: "share that is kept",
  },
  name: {
    kind: "choice",
    choices: ["a", "b", "c"],
    removed: { old: "b, its successor" },
    default: ({ software }) => software ? "b" : "a",
    defaultText: "the fastest",
    valueName: "NAME",
    help: "which of them",
  },
  fast: { kind: "boolean", default: false, resumable: true, help: "hurry" },
  safe: { kind: "boolean", default: true, help: "take care", off: "take no care" },
  most: { kind: "number", min: 0, max: Infinity, default: null, null: "no limit", help: "end of it" },
  network: {
    kind: "object",
    default: undefined,
    defaultText: "one of ours",
    flag: "--net",
    valueName: "FILE",
    conflicts: ["name"],
    help: "a network",
  },
  row: {
    kind: "numbers",
    above: 0,
    below: 2,
    minLength: 1,
    maxLength: 3,
    default: null,
    null: "all 1",
    valueName: "FILE",
    help: "numbers of a row",
  },
};
