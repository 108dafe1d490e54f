/**
 * The bearer token that a server asks for.
 *
 * @module
 */
import { ConfigError } from "../lib/errors.ts";
import { printable, shellQuote } from "../lib/shell.ts";

/** Characters of a token that cannot be guessed; fewer are told of. */
const SHORT = 16;
/** Most characters of a token: a longer line is another file, named by mistake. */
const LONGEST = 4096;

/**
 * The first line of a file. It is never part of a message.
 *
 * A file that others than its owner may write is refused, since they would choose the token; one that they may read is
 * told of only, because container platforms mount secrets so.
 *
 * @param onWarning told of what makes the token easy to get by
 * @throws {ConfigError} for a file that cannot be read or that others may write, or a line that cannot be a token (RFC
 * 6750, 2.1)
 */
export async function readToken(path: string, onWarning: (message: string) => void): Promise<string> {
  const { text, mode } = await readStart(path);
  const remedy = `chmod 600 ${shellQuote(path)}`;
  const bits = (mode & 0o777).toString(8).padStart(3, "0");
  if (mode & 0o022) {
    const allowed = `a file that nobody but its owner may write (its mode is ${bits}; ${remedy})`;
    throw new ConfigError("--token-file", path, allowed);
  }
  const token = text.replace(/\n.*/s, "").trim();
  if (token.length > LONGEST) {
    throw new ConfigError(
      "--token-file",
      path,
      `${LONGEST} characters at most in the first line of the file`,
    );
  }
  if (!/^[A-Za-z0-9._~+/-]+=*$/.test(token)) {
    const allowed = "letters, digits and any of . _ ~ + / - in the first line of the file";
    throw new ConfigError("--token-file", path, allowed);
  }
  if (mode & 0o044) {
    onWarning(`others on this machine may read the token in ${printable(path)} (mode ${bits}; ${remedy})`);
  }
  if (token.length < SHORT) {
    const advice = `take ${SHORT} characters or more, as from: openssl rand -hex 32`;
    onWarning(`the token in ${printable(path)} is short enough to be guessed; ${advice}`);
  }
  return token;
}

/** The file's first characters, more than any token has, and its mode; 0 where the system has none. */
async function readStart(path: string): Promise<{ readonly text: string; readonly mode: number }> {
  try {
    using file = await Deno.open(path);
    const { mode } = await file.stat();
    const bytes = new Uint8Array(2 * LONGEST);
    let length = 0;
    while (length < bytes.length) {
      const read = await file.read(bytes.subarray(length));
      if (read === null) break;
      length += read;
    }
    return { text: new TextDecoder().decode(bytes.subarray(0, length)), mode: mode ?? 0 };
  } catch (error) {
    throw new ConfigError("--token-file", path, `a file that can be read (${(error as Error).message})`);
  }
}
