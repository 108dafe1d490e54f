/**
 * Checks of options that several parts of the library have.
 *
 * @module
 */
import { ConfigError } from "./errors.ts";

/**
 * Checks a whole number.
 *
 * @param field name of the option
 * @param min smallest that is allowed
 * @param max largest that is allowed; `Number.MAX_SAFE_INTEGER` for no bound
 * @throws {ConfigError} if it is none, or out of range
 */
export function checkWhole(field: string, value: number, min: number, max: number): void {
  if (!Number.isSafeInteger(value) || value < min || value > max) {
    const range = max === Number.MAX_SAFE_INTEGER ? `of ${min} or more` : `from ${min} to ${max}`;
    throw new ConfigError(field, value, `a whole number ${range}`);
  }
}
