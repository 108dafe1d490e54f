/**
 * Tuning cache on disk: one JSON file of kernel choices per adapter, runtime and package version. A changed driver
 * invalidates it.
 *
 * @module
 */
import { createHash } from "node:crypto";
import { dirname, join } from "node:path";
import configuration from "../../deno.json" with { type: "json" };
import { describeBackend } from "../gpu/backend.ts";
import type { Gpu } from "../gpu/device.ts";
import type { Choices } from "./tune.ts";
import { Tuning, type TuningMeans, type TuningOptions, type TuningStore } from "./tuning.ts";
import { withDirectoryLock } from "../files/directory_lock.ts";
import { fileProblem, removeLeftovers, writeDurable } from "../files/durable.ts";
import { driverVersion } from "./driver.ts";

/** Incremented when kernels change in a way that may change which candidate is fastest. */
const TUNING_VERSION = 3;
/** Version of the file format. */
const FORMAT = 1;

/** Choices, and the device that they were measured on. */
export interface TuningRecord {
  /** Properties that must match; see {@linkcode tuningIdentity}. */
  readonly identity: Readonly<Record<string, string>>;
  /** Driver version; `unknown` matches any. */
  readonly driver: string;
  readonly choices: Choices;
}

/** Cache file of a device. */
export interface TuningFile {
  readonly path: string;
  readonly identity: TuningRecord["identity"];
  readonly driver: string;
}

/**
 * Opens the kernel selection of a device with its cached choices.
 *
 * @param onWarning called if the cache is damaged, or cannot be read or written
 * @throws {ConfigError} for an unknown mode
 */
export async function openTuning(
  gpu: Gpu,
  { tune, tuningDirectory }: TuningOptions,
  onWarning: (message: string) => void,
  means?: TuningMeans,
): Promise<Tuning> {
  const store = tuningDirectory === undefined ? undefined : (gpu: Gpu) => tuningStore(gpu, tuningDirectory);
  return await Tuning.open(gpu, { tune, store }, onWarning, means);
}

function tuningStore(gpu: Gpu, directory: string): TuningStore {
  const file = tuningFile(gpu, directory);
  return {
    path: file.path,
    read: (onWarning) => readTuning(file, onWarning),
    keep: (known, made) => keepTuning(file, known, made),
  };
}

/** Properties that determine which candidate is fastest, except the driver. */
export function tuningIdentity(gpu: Gpu): TuningRecord["identity"] {
  const { name, features, subgroupSize } = gpu.adapter;
  const { vendor, architecture, device, description } = gpu.device.adapterInfo;
  const { maxComputeWorkgroupStorageSize, maxComputeInvocationsPerWorkgroup } = gpu.limits;
  return {
    ...{ adapter: name, vendor, architecture, device, description },
    half: String(features.includes("shader-f16")),
    subgroup: String(subgroupSize),
    workgroup: `${maxComputeInvocationsPerWorkgroup} invocations, ${maxComputeWorkgroupStorageSize} bytes`,
    runtime: describeBackend(gpu.adapter),
    version: `${configuration.version}, ${TUNING_VERSION}`,
  };
}

/** Cache file of a device in a directory. */
export function tuningFile(gpu: Gpu, directory: string): TuningFile {
  const identity = tuningIdentity(gpu);
  const slug = gpu.adapter.name.toLowerCase().replace(/[^a-z\d]+/g, "-").replace(/^-|-$/g, "").slice(0, 60);
  const digest = createHash("sha256").update(JSON.stringify(identity)).digest("hex").slice(0, 8);
  return { path: join(directory, `${slug}-${digest}.json`), identity, driver: driverVersion(gpu.adapter) };
}

/**
 * Reads the cached choices of a device; empty if there is no file, or it is for another driver. A file that cannot be read
 * counts as absent, with a warning.
 */
export async function readTuning(file: TuningFile, onWarning: (message: string) => void): Promise<Choices> {
  const record = await readRecord(file.path, onWarning);
  return record && isFor(record, file) ? record.choices : new Map();
}

/**
 * Merges choices into the file. Choices written by another process meanwhile win, so that its results stay reproducible.
 *
 * @param known choices read before; those in the file that still equal them are replaced
 * @returns all choices in the file
 * @throws {CheckpointError} if the file cannot be written
 */
export async function keepTuning(file: TuningFile, known: Choices, made: Choices): Promise<Choices> {
  return await withDirectoryLock(dirname(file.path), () => merge(file, known, made));
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
  // Leftovers are harmless, and the next write tries again.
  await removeLeftovers(dirname(file.path)).catch(() => {});
  return choices;
}

/** Reads a file of choices; undefined if it is absent or, with a warning, unreadable or damaged. */
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
      `${path}: kernel choices cannot be read (${fileProblem(error)}); using defaults, or tuning again`,
    );
    return undefined;
  }
  const record = parse(text);
  if (!record) onWarning(`${path} is damaged; using default kernels, or tuning again`);
  return record;
}

/**
 * Writes a file of choices atomically.
 * @throws {CheckpointError} if it cannot be written
 */
export async function writeRecord(path: string, { identity, driver, choices }: TuningRecord): Promise<void> {
  const sorted = [...choices].sort(([a], [b]) => a < b ? -1 : 1);
  const json = { format: FORMAT, identity, driver, choices: Object.fromEntries(sorted) };
  // Not left to writeDurable, which needs permission to read the parent directories.
  await Deno.mkdir(dirname(path), { recursive: true }).catch(() => {});
  await writeDurable(path, new TextEncoder().encode(JSON.stringify(json, null, 2) + "\n"));
}

/** True if choices are valid on a device. */
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
