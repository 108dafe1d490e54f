/**
 * Messages between the main thread and the GPU worker. Models and errors are converted to plain records, because
 * structured cloning loses classes.
 *
 * @module
 */
import { processFromDiffusers, processToDiffusers } from "../../lib/diffusion/trained_process.ts";
import {
  CheckpointError,
  ConfigError,
  DataError,
  DenoiseError,
  DeviceError,
  ShapeError,
  showValue,
  TrainingError,
} from "../../lib/errors.ts";
import type { BackendOptions } from "../../lib/gpu/backend.ts";
import { OutOfMemory } from "../../lib/gpu/budget.ts";
import type { Precision } from "../../lib/model/precision.ts";
import type { DrawDefaults } from "../../lib/sampling/request.ts";
import type { TuneMode, TuningProgress } from "../../lib/tuning/tuning.ts";
import type { ModelSettings } from "../settings.ts";
import type { EngineTurn, ImageJob, Pixels, ServedModel } from "./engine.ts";

/** Messages to the worker. */
export type Command =
  /** First message, sent once; answered by `ready` or `fatal`. */
  | {
    readonly type: "start";
    /** The first model to load. */
    readonly model: ModelSettings;
    readonly variant?: string;
    readonly rows: number;
    /** Bytes; undefined: as the adapter suggests. */
    readonly memory?: number;
    readonly defaults: DrawDefaults;
    readonly backend: BackendOptions;
    readonly precision?: Precision;
    readonly tune: TuneMode;
  }
  | { readonly type: "add"; readonly model: string; readonly image: ImageJob }
  | { readonly type: "remove" | "park" | "resume"; readonly id: number }
  /** The main thread has handled a turn and sent all resulting commands; the next may begin. */
  | { readonly type: "proceed" }
  /** Answered by `loaded` or `loadFailed` with the same number. */
  | { readonly type: "load"; readonly request: number; readonly model: ModelSettings }
  /** Images added to the model of this name from now on are drawn by the one loaded under this number. */
  | { readonly type: "swap"; readonly request: number; readonly model: string }
  /** Reads a model without loading it; answered by `described` or `loadFailed`. */
  | { readonly type: "describe"; readonly request: number; readonly model: ModelSettings }
  /** The model has no images, and leaves the device. */
  | { readonly type: "unload"; readonly model: string }
  /** Share of time of a model. */
  | { readonly type: "share"; readonly model: string; readonly weight: number };

/** A frame or image in a message; its buffer is transferred, not copied. */
export interface SentPicture {
  readonly id: number;
  readonly step: number;
  readonly pixels: Pixels;
}

/** Messages from the worker. */
export type Report =
  | { readonly type: "ready"; readonly model: ModelRecord; readonly bytes: number; readonly memory: number }
  /** A turn and its results; `images` and `failed` have left the batch. Answered by `proceed`. */
  | {
    readonly type: "turn";
    /** Name of the model. */
    readonly model: string;
    readonly turn: EngineTurn;
    readonly frames: readonly SentPicture[];
    readonly images: readonly SentPicture[];
    readonly failed: readonly { readonly id: number; readonly error: ErrorRecord }[];
  }
  /** An image could not join. */
  | { readonly type: "failed"; readonly id: number; readonly error: ErrorRecord }
  | {
    readonly type: "loaded";
    readonly request: number;
    readonly model: ModelRecord;
    /** Device memory that it takes. */
    readonly bytes: number;
  }
  | { readonly type: "described"; readonly request: number; readonly model: ModelRecord }
  | { readonly type: "loadFailed"; readonly request: number; readonly error: ErrorRecord }
  | { readonly type: "warning"; readonly message: string }
  /** Progress of autotuning, before a model is ready. */
  | { readonly type: "tuning"; readonly progress: TuningProgress }
  /** Last message of this worker. */
  | { readonly type: "fatal"; readonly error: ErrorRecord };

/** Serialized served model. */
export interface ModelRecord extends Omit<ServedModel, "schedule"> {
  /** Content of a `scheduler_config.json`. */
  readonly schedule: Record<string, unknown>;
}

/** Serializes a model. */
export function modelRecord(model: ServedModel): ModelRecord {
  return { ...model, schedule: processToDiffusers(model.schedule) };
}

/** Deserializes a model. */
export function modelFrom(record: ModelRecord): ServedModel {
  return { ...record, schedule: processFromDiffusers(record.schedule) };
}

/** Serialized error. */
export interface ErrorRecord {
  readonly name: string;
  readonly message: string;
  readonly stack?: string;
  /** Of a {@linkcode ConfigError}. */
  readonly field?: string;
  readonly value?: unknown;
  readonly allowed?: string;
}

const classes: Readonly<Record<string, new (message: string) => DenoiseError>> = {
  CheckpointError,
  DataError,
  DenoiseError,
  DeviceError,
  OutOfMemory,
  ShapeError,
  TrainingError,
};

/** Serializes anything thrown. */
export function errorRecord(error: unknown): ErrorRecord {
  if (!(error instanceof Error)) return { name: "Error", message: String(error) };
  const { message, stack } = error;
  const name = error instanceof OutOfMemory ? "OutOfMemory" : error.name;
  if (!(error instanceof ConfigError)) return { name, message, stack };
  const { field, value, allowed } = error;
  // Not every value can be cloned.
  return { name, message, stack, field, value: Object(value) === value ? showValue(value) : value, allowed };
}

/** Deserializes an error: message, stack and, for errors of this package, class. */
export function errorFrom({ name, message, stack, field, value, allowed = "" }: ErrorRecord): Error {
  const ErrorClass = Object.hasOwn(classes, name) ? classes[name] ?? Error : Error;
  const error = field !== undefined ? new ConfigError(field, value, allowed) : new ErrorClass(message);
  return Object.assign(error, { name: error instanceof OutOfMemory ? error.name : name, message, stack });
}
