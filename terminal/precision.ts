/**
 * The `--precision` flag of the tasks.
 *
 * @module
 */
import { type Precision, PRECISIONS } from "../lib/model/precision.ts";
import { oneOf, type Value } from "./cli.ts";

/** Parser of `--precision`. */
export const PRECISION_VALUE: Value<Precision> = oneOf(PRECISIONS);
