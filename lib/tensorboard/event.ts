/**
 * TensorBoard's events (`tensorboard/compat/proto/event.proto` and `summary.proto`).
 *
 * @module
 */
import {
  bytesField,
  doubleField,
  type Field,
  floatField,
  floatsField,
  message,
  stringField,
  varintField,
} from "./protobuf.ts";

/** Content of the first event of a file. */
const FILE_VERSION = "brain.Event:2";

/** Types of tensors. */
const DT_FLOAT = 1;
const DT_STRING = 7;

/** Time and step of an event. */
export interface EventTime {
  /** Seconds since 1970. */
  readonly wallTime: number;
  /** Optimizer steps done. */
  readonly step: number;
}

/** A value of a summary, encoded. */
export type SummaryValue = Uint8Array;

/** First event of a file. */
export function versionEvent(wallTime: number): Uint8Array {
  return event({ wallTime, step: 0 }, stringField(3, FILE_VERSION));
}

/** Start of a session that continues another: readers drop earlier events from this step on. */
export function restartEvent(time: EventTime): Uint8Array {
  const START = 1;
  return event(time, bytesField(7, message(varintField(1, START))));
}

/** Event with values. */
export function summaryEvent(time: EventTime, values: readonly SummaryValue[]): Uint8Array {
  return event(time, bytesField(5, message(...values.map((value) => bytesField(1, value)))));
}

function event({ wallTime, step }: EventTime, content: Field): Uint8Array {
  return message(doubleField(1, wallTime), step === 0 ? undefined : varintField(2, step), content);
}

/** A number. */
export function scalarValue(tag: string, value: number): SummaryValue {
  return message(stringField(1, tag), floatField(2, value));
}

/** A picture: the bytes of a PNG file. */
export function imageValue(tag: string, png: Uint8Array, width: number, height: number): SummaryValue {
  const RGB = 3;
  const image = message(
    varintField(1, height),
    varintField(2, width),
    varintField(3, RGB),
    bytesField(4, png),
  );
  return message(stringField(1, tag), bytesField(4, image));
}

/** Text in Markdown. */
export function textValue(tag: string, text: string): SummaryValue {
  const tensor = message(varintField(1, DT_STRING), bytesField(2, shape(1)), stringField(8, text));
  return message(stringField(1, tag), bytesField(8, tensor), bytesField(9, pluginMetadata("text")));
}

/** A value of a plugin whose content is in its metadata; the tensor is one that the plugin ignores. */
export function pluginValue(tag: string, plugin: string, content: Uint8Array): SummaryValue {
  const tensor = message(varintField(1, DT_FLOAT), bytesField(2, shape(1)), floatsField(5, [0]));
  return message(stringField(1, tag), bytesField(8, tensor), bytesField(9, pluginMetadata(plugin, content)));
}

function shape(length: number): Uint8Array {
  return message(bytesField(2, message(varintField(1, length))));
}

function pluginMetadata(name: string, content?: Uint8Array): Uint8Array {
  return message(bytesField(1, message(stringField(1, name), content && bytesField(2, content))));
}
