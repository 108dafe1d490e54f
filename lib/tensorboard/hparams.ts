/**
 * Hyperparameters of a run for TensorBoard's plugin (`tensorboard/plugins/hparams/plugin_data.proto`).
 *
 * @module
 */
import { pluginValue, type SummaryValue } from "./event.ts";
import { bytesField, doubleField, message, stringField, varintField } from "./protobuf.ts";

const PLUGIN = "hparams";

/** State of a run at its end. */
export type SessionStatus = "success" | "failure";

const STATUS: Readonly<Record<SessionStatus, number>> = { success: 1, failure: 2 };

/** Value of a hyperparameter. */
export type HyperParameter = number | string | boolean;

/** Hyperparameters at the start of a run. */
export function sessionStart(
  parameters: Readonly<Record<string, HyperParameter>>,
  startTime: number,
): SummaryValue {
  const entries = Object.entries(parameters)
    .map(([name, value]) => bytesField(1, message(stringField(1, name), bytesField(2, encodeValue(value)))));
  const info = message(...entries, doubleField(5, startTime));
  return pluginValue("_hparams_/session_start_info", PLUGIN, message(bytesField(3, info)));
}

/** End of a run. */
export function sessionEnd(status: SessionStatus, endTime: number): SummaryValue {
  const info = message(varintField(1, STATUS[status]), doubleField(2, endTime));
  return pluginValue("_hparams_/session_end_info", PLUGIN, message(bytesField(4, info)));
}

/** `google.protobuf.Value`. */
function encodeValue(value: HyperParameter): Uint8Array {
  if (typeof value === "number") return message(doubleField(2, value));
  if (typeof value === "string") return message(stringField(3, value));
  return message(varintField(4, value ? 1 : 0));
}
