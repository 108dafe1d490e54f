/**
 * State dicts in PyTorch checkpoints: the whole file, or under a key of what a training program saved.
 *
 * @module
 */
import { CheckpointError } from "../errors.ts";
import type { PickleValue } from "../pickle/dialect.ts";
import { TorchTensor } from "./torch_pickle.ts";

/** Keys that training programs use, in order of preference: moving averages sample better. */
const KEYS = ["ema", "ema_state_dict", "model_ema", "ema_model", "state_dict", "model_state_dict", "model"];
/** Levels of nested keys that are searched. */
const MAX_DEPTH = 3;
/** Keys shown in a message. */
const SHOWN_KEYS = 8;

/** Tensors by name. */
export type StateDict = ReadonlyMap<string, TorchTensor>;

/** A state dict in a file. */
export interface SelectedStateDict {
  readonly tensors: StateDict;
  /** Where it was found, if there were keys to choose from. */
  readonly note?: string;
}

/**
 * Finds the state dict of a checkpoint.
 *
 * @param source the file's name, for messages
 * @throws {CheckpointError} if there is none, with the keys that there are
 */
export function selectStateDict(value: PickleValue, source: string): SelectedStateDict {
  const found = [...candidates(value, [])];
  const [first, ...others] = found;
  if (!first) {
    throw new CheckpointError(
      `${source}: expected a state dict (tensors by name), at the top level or under ${
        KEYS.join(", ")
      }; found ${describe(value)}`,
    );
  }
  if (first.path.length === 0) return { tensors: first.tensors };
  const show = ({ path }: Candidate) => JSON.stringify(path.join("."));
  const left = others.length === 0 ? "" : `; not those under ${others.map(show).join(", ")}`;
  return { tensors: first.tensors, note: `${source}: took the weights under ${show(first)}${left}` };
}

interface Candidate {
  readonly path: readonly string[];
  readonly tensors: StateDict;
}

function* candidates(value: PickleValue, path: readonly string[]): Generator<Candidate> {
  if (!(value instanceof Map)) return;
  const tensors = asStateDict(value);
  if (tensors) yield { path, tensors };
  if (tensors || path.length === MAX_DEPTH) return;
  for (const key of KEYS) {
    const nested = value.get(key);
    if (nested !== undefined) yield* candidates(nested, [...path, key]);
  }
}

/** The dictionary itself, if it holds tensors by name and nothing else. */
function asStateDict(value: ReadonlyMap<string | number, PickleValue>): StateDict | undefined {
  const tensors = new Map<string, TorchTensor>();
  for (const [name, tensor] of value) {
    if (typeof name !== "string" || !(tensor instanceof TorchTensor)) return undefined;
    tensors.set(name, tensor);
  }
  return tensors.size > 0 ? tensors : undefined;
}

function describe(value: PickleValue): string {
  if (value instanceof TorchTensor) return "a tensor without a name";
  if (!(value instanceof Map)) return Array.isArray(value) ? "a list" : "a single value";
  const keys = [...value.keys()].slice(0, SHOWN_KEYS).map((key) => JSON.stringify(key));
  if (value.size > SHOWN_KEYS) keys.push("…");
  return keys.length === 0 ? "an empty dictionary" : keys.join(", ");
}
