/**
 * Errors of Dawn, with advice.
 *
 * @module
 */
import { DeviceError } from "../../errors.ts";
import { DAWN_PACKAGE } from "./package.ts";

/** The package's folder in a path, URL or message of the runtime; it may have been damaged. */
const FOLDER = /(?:file:\/\/)?((?:[A-Za-z]:)?[^'":]*[\\/]webgpu[\\/][\d.]+)(?![^\\/])/;

/** An error of Dawn, with advice at the end of its message. */
export class DawnError extends DeviceError {
  /** The message without the advice to use another backend. */
  readonly reason: string;

  /**
   * @param fault what is wrong
   * @param damaged path or message with the package's folder, if damage to the package may be the cause
   */
  constructor(fault: string, damaged = "") {
    const folder = FOLDER.exec(damaged)?.[1];
    const reason = folder === undefined
      ? fault
      : `${fault}; if the package is damaged, delete ${folder}, and it is downloaded again`;
    super(`${reason}; without it, use the backend deno`);
    this.reason = reason;
  }
}

/** Error for a package that the runtime cannot import. */
export function loadError(error: Error): DawnError {
  const failed = "the backend dawn cannot be loaded";
  if (!(error instanceof Deno.errors.NotCapable)) {
    return new DawnError(
      `${failed}: ${DAWN_PACKAGE}: ${error.message.split("\n")[0]!.replace(/\.$/, "")}`,
      error.message,
    );
  }
  const binary = /"([^"]+)"/.exec(error.message)?.[1];
  // The flag's value cannot have a path with a comma.
  const value = binary === undefined || binary.includes(",") ? "" : `=${binary}`;
  return new DawnError(`${failed}: it is native code, which Deno loads only with --allow-ffi${value}`);
}
