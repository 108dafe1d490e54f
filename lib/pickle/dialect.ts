/**
 * Dialects of pickles: the globals, opcodes and states that a kind of file may contain.
 *
 * @module
 */

import type { PickleOpcode } from "./opcodes.ts";

/** An unpickled value. Python 2 strings are bytes; lists and tuples are arrays; keys must be strings or numbers. */
export type PickleValue =
  | null
  | boolean
  | number
  | string
  | Uint8Array
  | PickleValue[]
  | PickleMap
  | PickleObject;

/** An unpickled dictionary. */
export type PickleMap = Map<string | number, PickleValue>;

/** Base class of the objects that a dialect creates. */
export abstract class PickleObject {}

/** A global that a dialect knows by name: a function that a pickle may call, or a class that it may refer to. */
export class PickleGlobal extends PickleObject {
  /**
   * Creates a global.
   *
   * @param call result of a call, computed here from the arguments; absent: a call is refused
   */
  constructor(readonly call?: (args: readonly PickleValue[]) => PickleValue) {
    super();
  }
}

/** Thrown by a dialect to refuse something; the reader adds file and byte. */
export class PickleRefusal extends Error {}

/** What a kind of file may contain. */
export interface PickleDialect {
  /** The kind of file, for errors, e.g. `CIFAR-10's files`. */
  readonly files: string;
  /** Opcodes besides the common ones. */
  readonly opcodes: readonly PickleOpcode[];
  /** Globals by module and name, separated by a space. */
  readonly globals: Readonly<Record<string, PickleGlobal>>;
  /**
   * Applies a state to a value (BUILD).
   * @throws {PickleRefusal} for values that take none
   */
  build(target: PickleValue, state: PickleValue): void;
  /**
   * The object of a persistent id (BINPERSID), which lies outside of the pickle.
   * @throws {PickleRefusal} for a malformed id
   */
  persistent?(id: PickleValue): PickleObject;
  /** Creates the error for a message that names file and byte. */
  error(message: string): Error;
}
