/**
 * Errors of this package. Each message says what is wrong, where, and what is allowed, so that a caller can show it as it
 * is. `instanceof DenoiseError` distinguishes errors of input or environment from bugs.
 *
 * @module
 */

/** Base class of the errors that this package throws for wrong input or a fault of the environment. */
export class DenoiseError extends Error {
  /** `DenoiseError`. */
  override name = "DenoiseError";
}

/** Invalid option or configuration value; the message names the field, the value and what is allowed. */
export class ConfigError extends DenoiseError {
  /** `ConfigError`. */
  override name = "ConfigError";
  /** Name of the option or field, e.g. `epochs`. */
  readonly field: string;
  /** The value that was given. */
  readonly value: unknown;
  /** The allowed values, as in "expected …". */
  readonly allowed: string;

  /**
   * Creates an error with the message `FIELD: expected ALLOWED, got VALUE`.
   *
   * @param field name of the option or field, e.g. `epochs`
   * @param value the value that was given
   * @param allowed the allowed values, e.g. `an integer from 1 to 1000`
   */
  constructor(field: string, value: unknown, allowed: string) {
    super(`${field}: expected ${allowed}, got ${showValue(value)}`);
    this.field = field;
    this.value = value;
    this.allowed = allowed;
  }
}

/** Mismatched tensor shapes, in the definition of a network or in its inputs. */
export class ShapeError extends DenoiseError {
  /** `ShapeError`. */
  override name = "ShapeError";
}

/** Missing, damaged or unexpected training or test data; the message names the file and the position in it. */
export class DataError extends DenoiseError {
  /** `DataError`. */
  override name = "DataError";
}

/** A checkpoint that cannot be read or written; the message names the file and, if one is affected, the tensor. */
export class CheckpointError extends DenoiseError {
  /** `CheckpointError`. */
  override name = "CheckpointError";
}

/** No usable adapter, a device limit that is too small, memory over budget, a kernel that fails to compile, or device loss. */
export class DeviceError extends DenoiseError {
  /** `DeviceError`. */
  override name = "DeviceError";
}

/** Training that cannot continue: a loss or gradient that is not finite, a run directory in use, a failed save. */
export class TrainingError extends DenoiseError {
  /** `TrainingError`. */
  override name = "TrainingError";
}

/** List entries shown in a message. */
const SHOWN_ENTRIES = 8;
/** Levels of nested lists shown in a message. */
const SHOWN_DEPTH = 2;

/** Formats any value for a message, with bounded length and depth: lists in a file may be nested too deep to recurse. */
export function showValue(value: unknown, depth: number = SHOWN_DEPTH): string {
  if (typeof value === "string") return JSON.stringify(value);
  if (!Array.isArray(value)) return String(value);
  if (depth === 0) return "[…]";
  const shown = value.slice(0, SHOWN_ENTRIES).map((item) => showValue(item, depth - 1));
  return `[${[...shown, ...(value.length > SHOWN_ENTRIES ? ["…"] : [])].join(", ")}]`;
}
