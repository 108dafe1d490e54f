/**
 * Settings of runs: which differ from their preset's defaults, or between runs.
 *
 * @module
 */
import { type Html, html } from "../html.ts";
import { defaultsOf, describeDefault, type Setting } from "../train/setting.ts";
import { GRID_SETTINGS } from "../train/options.ts";
import { NETWORK_SETTINGS, TRAINING_SETTINGS } from "../train/settings_table.ts";
import { PRESETS } from "../model/presets.ts";
import { type UNetConfig, unetConfigToJson } from "../model/config.ts";
import { folded, type Row, rowTable, section } from "./markup.ts";
import type { RunRecord } from "./run_record.ts";
import type { RunMachine } from "../train/run_start.ts";
import { runLabel } from "./summary_section.ts";

/** A setting of a run, in words. */
export interface ShownSetting {
  readonly name: string;
  /** The value itself. */
  readonly given: unknown;
  readonly value: string;
  /** Default of the run's preset on its adapter. */
  readonly usual: string;
  readonly help: string;
}

/** Settings of a run in the order of their tables; none if it did not record them. */
export function shownSettings(
  { settings, grids, machine }: Pick<RunRecord, "settings" | "grids" | "machine">,
): ShownSetting[] {
  if (!settings) return [];
  const { software = false, features = [], matrices }: Partial<RunMachine["adapter"]> = machine?.adapter ??
    {};
  // A custom network has the other defaults of the preset that its adapter gets.
  const preset = PRESETS.find((name) => name === settings.preset) ?? (software ? "tiny" : "small");
  const context = { preset, adapter: { software, features, matrices } };
  const { conditional, dropout } = NETWORK_SETTINGS;
  return [
    shown("preset", NETWORK_SETTINGS.preset, settings.preset, settings.preset),
    shown("conditional", conditional, settings.model.numClassEmbeds !== null, true),
    shown("dropout", dropout, settings.model.dropout, defaultsOf(NETWORK_SETTINGS, context).dropout),
    ...shownTable(TRAINING_SETTINGS, settings, defaultsOf(TRAINING_SETTINGS, context)),
    ...grids ? shownTable(GRID_SETTINGS, grids, defaultsOf(GRID_SETTINGS, context)) : [],
  ];
}

/** True if a setting differs from its preset's default. */
export function isChanged({ value, usual }: ShownSetting): boolean {
  return value !== usual;
}

function shownTable(table: object, values: object, usual: object): ShownSetting[] {
  const valueOf = (from: object, name: string) => (from as Readonly<Record<string, unknown>>)[name];
  return Object.entries<Setting>(table as Readonly<Record<string, Setting>>)
    .filter(([name]) => valueOf(values, name) !== undefined)
    .map(([name, setting]) => shown(name, setting, valueOf(values, name), valueOf(usual, name)));
}

function shown(name: string, setting: Setting, value: unknown, usual: unknown): ShownSetting {
  return {
    name,
    given: value,
    value: inWords(setting, value),
    usual: inWords(setting, usual),
    help: setting.help,
  };
}

function inWords(setting: Setting, value: unknown): string {
  if (value === null) return "null" in setting ? String(setting.null) : describeDefault(setting);
  if (typeof value === "boolean") return value ? "yes" : "no";
  if (Array.isArray(value)) {
    return value.length > 8
      ? `${value.length} numbers from ${value[0]} to ${value.at(-1)}`
      : value.join(", ");
  }
  return String(value);
}

/** Settings of one run: those that differ from the preset first, the others folded away. */
export function settingsSection(run: RunRecord): Html | undefined {
  const settings = shownSettings(run);
  const network = run.model && folded(
    "The network's configuration",
    html`<pre><code>${JSON.stringify(unetConfigToJson(run.model), null, 2)}</code></pre>`,
  );
  if (settings.length === 0) return section("settings", "Settings", [network]);
  const changed = settings.filter(isChanged);
  const preset = run.settings!.preset === "custom" ? "a custom network" : `preset ${run.settings!.preset}`;
  return section("settings", "Settings", [
    changed.length === 0
      ? html`<p>All are the defaults of ${preset}.</p>`
      : rowTable(`Settings that differ from the defaults of ${preset}`, [
        "Setting",
        "Value",
        "Default",
        "Meaning",
      ], changed.map(changedRow)),
    folded(
      `All ${settings.length} settings`,
      rowTable(
        "All settings",
        ["Setting", "Value", "Meaning"],
        settings.map((setting) => ({
          heading: html`${setting.name}${
            isChanged(setting) && html`
              <span class="tag">changed</span>
            `
          }`,
          cells: [setting.value, setting.help],
          marked: isChanged(setting),
        })),
      ),
    ),
    network,
  ]);
}

function changedRow({ name, value, usual, help }: ShownSetting): Row {
  return { heading: name, cells: [value, usual, help] };
}

/** Settings in which several runs differ, a column for each run. */
export function differencesSection(runs: readonly RunRecord[]): Html | undefined {
  const rows = differencesOf(runs);
  const columns = ["Setting", ...runs.map(runLabel)];
  return section("settings", "Settings that differ", [
    rows.length === 0
      ? html`<p>The runs have the same settings and data, as far as they recorded them.</p>`
      : rowTable("Settings in which the runs differ", columns, rows),
  ]);
}

function differencesOf(runs: readonly RunRecord[]): Row[] {
  const ofRuns = runs.map((run) =>
    new Map([
      ...shownSettings(run).map(({ name, value }) => [name, value] as const),
      ["network", run.model && networkInWords(run.model)],
      ["data", run.dataset && `${run.dataset.name}, digest ${run.dataset.digest.slice(0, 12)}`],
      ["adapter", run.machine?.adapter.name],
      ["denoise", run.machine?.denoise],
    ])
  );
  const names = [...new Set(ofRuns.flatMap((settings) => [...settings.keys()]))];
  return names.filter((name) => differs(ofRuns.map((settings) => settings.get(name))))
    .map((name) => ({
      heading: name,
      cells: ofRuns.map((settings) => settings.get(name) ?? "not recorded"),
    }));
}

/** True if those values that are known are not all the same. */
function differs(values: readonly (string | undefined)[]): boolean {
  return new Set(values.filter((value) => value !== undefined)).size > 1;
}

/** A network in a few words, to tell it from another. */
function networkInWords({ blockOutChannels, layersPerBlock, sampleSize }: UNetConfig): string {
  return `${blockOutChannels.join(", ")} channels, ${layersPerBlock} layers per block, ${
    [sampleSize].flat().join(" x ")
  } pixels`;
}
