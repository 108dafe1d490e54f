/**
 * The kernels that were chosen for an adapter, on the disk: one JSON file for each adapter, runtime and version of this
 * package. A driver that has changed makes what is in it worthless.
 *
 * @module
 */
import { createHash } from "node:crypto";
import { dirname, join } from "node:path";
import configuration from "../../deno.json" with { type: "json" };
import type { Gpu } from "../gpu/device.ts";
import type { Choices } from "./tune.ts";
import { whileAlone } from "../files/directory_lock.ts";
import { fileProblem, removeLeftovers, writeDurable } from "../files/durable.ts";
import { driverVersion } from "./driver.ts";

/** Raised whenever kernels change so that another candidate may be the fastest. */
const TUNING_VERSION = 1;
const FORMAT = 1;

/** Choices, and what they were found on. */
export interface TuningRecord {
  /** What they are for. */
  readonly identity: Readonly<Record<string, string>>;
  /** As far as known; `unknown` goes with any. */
  readonly driver: string;
  readonly choices: Choices;
}

/** A place for a device's choices. */
export interface TuningFile {
  readonly path: string;
  readonly identity: TuningRecord["identity"];
  readonly driver: string;
}

/** All that decides which candidate is the fastest, but the driver. */
export function tuningIdentity(gpu: Gpu): TuningRecord["identity"] {
  const { name, features, subgroupSize } = gpu.adapter;
  const { vendor, architecture, device, description } = gpu.device.adapterInfo;
  const { maxComputeWorkgroupStorageSize, maxComputeInvocationsPerWorkgroup } = gpu.limits;
  return {
    ...{ adapter: name, vendor, architecture, device, description },
    half: String(features.includes("shader-f16")),
    subgroup: String(subgroupSize),
    workgroup: `${maxComputeInvocationsPerWorkgroup} invocations, ${maxComputeWorkgroupStorageSize} bytes`,
    runtime: navigator.userAgent,
    version: `${configuration.version}, ${TUNING_VERSION}`,
  };
}

/** Where a device's choices are kept in a directory. */
export function tuningFile(gpu: Gpu, directory: string): TuningFile {
  const identity = tuningIdentity(gpu);
  const slug = identity.adapter.toLowerCase().replace(/[^a-z\d]+/g, "-").replace(/^-|-$/g, "").slice(0, 60);
  const digest = createHash("sha256").update(JSON.stringify(identity)).digest("hex").slice(0, 8);
  return { path: join(directory, `${slug}-${digest}.json`), identity, driver: driverVersion(gpu.adapter) };
}

/**
 * Reads the choices that are kept for a device; none where there are none, or they are for another driver. A file that
 * cannot be read is as good as none, and a warning.
 */
export async function readTuning(file: TuningFile, onWarning: (message: string) => void): Promise<Choices> {
  const record = await readRecord(file.path, onWarning);
  return record && isFor(record, file) ? record.choices : new Map();
}

/**
 * Keeps choices beside those that are there. What another process has kept meanwhile stays, so that what was computed
 * with it can be computed again.
 *
 * @param known what was read before; of these, choices that are made anew replace what is there
 * @returns all that is kept now
 * @throws {CheckpointError} when it cannot be written
 */
export async function keepTuning(file: TuningFile, known: Choices, made: Choices): Promise<Choices> {
  return await whileAlone(dirname(file.path), () => merge(file, known, made));
}

async function merge(file: TuningFile, known: Choices, made: Choices): Promise<Choices> {
  const record = await readRecord(file.path, () => {});
  const present = record && isFor(record, file) ? record : undefined;
  const choices = new Map(present?.choices);
  for (const [key, choice] of made) {
    if (!choices.has(key) || choices.get(key) === known.get(key)) choices.set(key, choice);
  }
  const driver = file.driver === "unknown" ? present?.driver ?? file.driver : file.driver;
  await writeRecord(file.path, { identity: file.identity, driver, choices });
  // What is left is in nobody's way, and the next time is another chance.
  await removeLeftovers(dirname(file.path)).catch(() => {});
  return choices;
}

/** Reads a file of choices; undefined where there is none, or it is damaged, which is a warning. */
export async function readRecord(
  path: string,
  onWarning: (message: string) => void,
): Promise<TuningRecord | undefined> {
  let text: string;
  try {
    text = await Deno.readTextFile(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    onWarning(
      `${path}: the kernels chosen before cannot be read (${
        fileProblem(error)
      }); rules choose, or they are tried anew`,
    );
    return undefined;
  }
  const record = parse(text);
  if (!record) onWarning(`${path} is damaged: rules choose the kernels, or they are tried anew`);
  return record;
}

/**
 * Writes a file of choices so that a reader finds the old ones or all of the new ones.
 * @throws {CheckpointError} when it cannot be written
 */
export async function writeRecord(path: string, { identity, driver, choices }: TuningRecord): Promise<void> {
  const sorted = [...choices].sort(([a], [b]) => a < b ? -1 : 1);
  const json = { format: FORMAT, identity, driver, choices: Object.fromEntries(sorted) };
  // Here, since a process that may see only this directory could not look for those above it.
  await Deno.mkdir(dirname(path), { recursive: true }).catch(() => {});
  await writeDurable(path, new TextEncoder().encode(JSON.stringify(json, null, 2) + "\n"));
}

/** Whether choices hold on a device. */
export function isFor(
  record: Pick<TuningRecord, "identity" | "driver">,
  { identity, driver }: Pick<TuningRecord, "identity" | "driver">,
): boolean {
  const names = new Set([...Object.keys(identity), ...Object.keys(record.identity)]);
  const same = [...names].every((name) => identity[name] === record.identity[name]);
  return same && (driver === record.driver || driver === "unknown" || record.driver === "unknown");
}

function parse(text: string): TuningRecord | undefined {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (typeof json !== "object" || json === null) return undefined;
  const { format, identity, driver, choices } = json as Record<string, unknown>;
  if (format !== FORMAT || typeof driver !== "string") return undefined;
  if (!isTextRecord(identity) || !isTextRecord(choices)) return undefined;
  return { identity, driver, choices: new Map(Object.entries(choices)) };
}

function isTextRecord(value: unknown): value is Record<string, string> {
  return typeof value === "object" && value !== null && !Array.isArray(value) &&
    Object.values(value).every((one) => typeof one === "string");
}
