/**
 * What the tasks have in common about the precision of activations.
 *
 * @module
 */
import { type Precision, PRECISIONS } from "../../lib/model/precision.ts";
import { oneOf, type Value } from "./cli.ts";

/** What `--precision` takes. */
export const PRECISION_VALUE: Value<Precision> = oneOf(PRECISIONS);
