/**
 * The `--precision` flag of the tasks.
 *
 * @module
 */
import { type Precision, PRECISION_DEFAULT, PRECISIONS, REMOVED_PRECISIONS } from "../lib/model/precision.ts";
import type { FlagOptions } from "./cli.ts";
import { oneOf } from "./values.ts";

/** Value and default of `--precision`. */
export const PRECISION_OPTIONS: FlagOptions<Precision> = {
  value: oneOf(PRECISIONS, REMOVED_PRECISIONS),
  defaultText: PRECISION_DEFAULT,
};
