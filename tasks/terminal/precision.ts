/**
 * What the tasks have in common about the precision of activations.
 *
 * @module
 */
import { type Precision, PRECISIONS } from "../../lib/model/precision.ts";
import { oneOf, type Value } from "./cli.ts";

/** What `--precision` is for. */
export const PRECISION_FLAG =
  "how activations lie in memory; float16 halves that memory, rounds more, and needs an adapter with shader-f16";

/** What `--precision` takes. */
export const PRECISION_VALUE: Value<Precision> = oneOf(PRECISIONS);
