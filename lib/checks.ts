/**
 * Shared option checks.
 *
 * @module
 */
import { ConfigError } from "./errors.ts";

/**
 * Checks that an option is a whole number in a range.
 *
 * @param field name of the option
 * @param value value of the option
 * @param min smallest allowed value
 * @param max largest allowed value; `Number.MAX_SAFE_INTEGER` for no bound
 * @throws {ConfigError} if the value is not a whole number, or out of range
 */
export function checkWhole(field: string, value: number, min: number, max: number): void {
  if (!Number.isSafeInteger(value) || value < min || value > max) {
    const range = max === Number.MAX_SAFE_INTEGER ? `of ${min} or more` : `from ${min} to ${max}`;
    throw new ConfigError(field, value, `a whole number ${range}`);
  }
}
