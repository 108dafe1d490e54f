/**
 * The errors this package throws. Each says what is wrong, where, and what is allowed, so that a caller can show
 * `error.message` as it is. `instanceof DenoiseError` tells a fault of input or environment from a bug.
 *
 * @module
 */

/** Base of every error that this package throws on purpose. */
export class DenoiseError extends Error {
  /** `DenoiseError`. */
  override name = "DenoiseError";
}

/** A wrong option or configuration value: names the field, the value given and what is allowed. */
export class ConfigError extends DenoiseError {
  /** `ConfigError`. */
  override name = "ConfigError";
  /** Name of the option or field, e.g. `epochs`. */
  readonly field: string;
  /** The value that was given. */
  readonly value: unknown;
  /** What is allowed, as it reads after "expected". */
  readonly allowed: string;

  /**
   * What is wrong with one option.
   *
   * @param field name of the option or field
   * @param value what was given
   * @param allowed what is allowed, as it reads after "expected"
   */
  constructor(field: string, value: unknown, allowed: string) {
    super(`${field}: expected ${allowed}, got ${showValue(value)}`);
    this.field = field;
    this.value = value;
    this.allowed = allowed;
  }
}

/** Operands of an operation do not fit together; a fault in the network's definition or its inputs. */
export class ShapeError extends DenoiseError {
  /** `ShapeError`. */
  override name = "ShapeError";
}

/** Training or test data that is missing, damaged or not what it says; names file and position. */
export class DataError extends DenoiseError {
  /** `DataError`. */
  override name = "DataError";
}

/** A checkpoint that cannot be read or written; names the file and, where there is one, the tensor. */
export class CheckpointError extends DenoiseError {
  /** `CheckpointError`. */
  override name = "CheckpointError";
}

/** No usable adapter, a limit too small, memory over budget, a kernel that does not compile, or a lost device. */
export class DeviceError extends DenoiseError {
  /** `DeviceError`. */
  override name = "DeviceError";
}

/** Training that cannot go on: a loss or gradient that is not finite, a directory in use, a save that failed. */
export class TrainingError extends DenoiseError {
  /** `TrainingError`. */
  override name = "TrainingError";
}

/** Entries of a list, and lists within lists, that a message shows. */
const SHOWN_ENTRIES = 8;
const SHOWN_DEPTH = 2;

/** A value of any kind, short enough for a message: a file may hold lists nested deeper than a stack. */
export function showValue(value: unknown, depth: number = SHOWN_DEPTH): string {
  if (typeof value === "string") return JSON.stringify(value);
  if (!Array.isArray(value)) return String(value);
  if (depth === 0) return "[…]";
  const shown = value.slice(0, SHOWN_ENTRIES).map((item) => showValue(item, depth - 1));
  return `[${[...shown, ...(value.length > SHOWN_ENTRIES ? ["…"] : [])].join(", ")}]`;
}
