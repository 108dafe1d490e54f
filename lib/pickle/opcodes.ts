/**
 * Opcodes of pickle protocol 2 that not every dialect has.
 *
 * @module
 */

/** Opcodes that some dialects allow. */
export type PickleOpcode = "EMPTY_TUPLE" | "BINFLOAT" | "BINPERSID" | "BINUNICODE" | "LONG1";

/** Opcodes that some dialects allow, by their byte. */
export const OPTIONAL_OPCODES: Readonly<Record<number, PickleOpcode>> = {
  0x29: "EMPTY_TUPLE",
  0x47: "BINFLOAT",
  0x51: "BINPERSID",
  0x58: "BINUNICODE",
  0x8a: "LONG1",
};

/** The protocol's other opcodes, for error messages. */
export const REFUSED_OPCODES: Readonly<Record<number, string>> = {
  0x30: "POP",
  0x31: "POP_MARK",
  0x32: "DUP",
  0x46: "FLOAT",
  0x49: "INT",
  0x4c: "LONG",
  0x50: "PERSID",
  0x53: "STRING",
  0x56: "UNICODE",
  0x64: "DICT",
  0x67: "GET",
  0x69: "INST",
  0x6c: "LIST",
  0x6f: "OBJ",
  0x70: "PUT",
  0x81: "NEWOBJ",
  0x82: "EXT1",
  0x83: "EXT2",
  0x84: "EXT4",
  0x8b: "LONG4",
};
