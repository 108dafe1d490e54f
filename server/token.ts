/**
 * Bearer token file.
 *
 * @module
 */
import { ConfigError } from "../lib/errors.ts";
import { printable } from "../lib/shell.ts";
import { readPrivateFile } from "./private_file.ts";

/** Tokens with fewer characters cause a warning. */
const SHORT = 16;
/** Maximum length of a token in characters: a longer line means that the wrong file was given. */
const LONGEST = 4096;

/**
 * Reads the token from the first line of a file. Messages never contain it.
 *
 * A file that others may write is an error, since they could choose the token; one that others may read is only a
 * warning, because container platforms mount secrets that way.
 *
 * @param onWarning called for tokens that are short or readable by others
 * @throws {ConfigError} when the file is unreadable or writable by others, or its first line is not a token (RFC 6750,
 *   2.1)
 */
export async function readToken(path: string, onWarning: (message: string) => void): Promise<string> {
  const { text, bits, readable, remedy } = await readPrivateFile("--token-file", path, 2 * LONGEST);
  const token = text.replace(/\n.*/s, "").trim();
  if (token.length > LONGEST) {
    throw new ConfigError(
      "--token-file",
      path,
      `at most ${LONGEST} characters in the first line of the file`,
    );
  }
  if (!/^[A-Za-z0-9._~+/-]+=*$/.test(token)) {
    const allowed = "letters, digits and any of . _ ~ + / - in the first line of the file";
    throw new ConfigError("--token-file", path, allowed);
  }
  if (readable) {
    onWarning(`the token in ${printable(path)} is readable by other users (mode ${bits}; ${remedy})`);
  }
  if (token.length < SHORT) {
    const advice = `use at least ${SHORT} characters, for example from: openssl rand -hex 32`;
    onWarning(`the token in ${printable(path)} is short enough to be guessed; ${advice}`);
  }
  return token;
}
