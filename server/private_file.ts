/**
 * Files of secrets: bounded reading, and the check of who may write them.
 *
 * @module
 */
import { ConfigError } from "../lib/errors.ts";
import { shellQuote } from "../lib/shell.ts";

/** Start of a file, and its permissions. */
export interface PrivateText {
  readonly text: string;
  /** True if the file goes on after `text`. */
  readonly longer: boolean;
  /** Mode in octal, such as `644`. */
  readonly bits: string;
  /** Others than the owner may read it. */
  readonly readable: boolean;
  /** Command that makes it private. */
  readonly remedy: string;
}

/**
 * Reads the start of a file that only its owner may write: others could put secrets of their own there.
 *
 * @param option the option that names it, for errors
 * @param most bytes to read
 * @throws {ConfigError} when the file is unreadable, or writable by others
 */
export async function readPrivateFile(option: string, path: string, most: number): Promise<PrivateText> {
  const { bytes, mode } = await readStart(option, path, most + 1);
  const remedy = `chmod 600 ${shellQuote(path)}`;
  const bits = (mode & 0o777).toString(8).padStart(3, "0");
  if (mode & 0o022) {
    const allowed = `a file that only its owner may write (its mode is ${bits}; ${remedy})`;
    throw new ConfigError(option, path, allowed);
  }
  const text = new TextDecoder().decode(bytes.subarray(0, most));
  return { text, longer: bytes.length > most, bits, readable: (mode & 0o044) !== 0, remedy };
}

/** Up to `most` bytes of the file, and its mode (0 if the system has none). */
async function readStart(
  option: string,
  path: string,
  most: number,
): Promise<{ readonly bytes: Uint8Array; readonly mode: number }> {
  try {
    using file = await Deno.open(path);
    const { mode } = await file.stat();
    const bytes = new Uint8Array(most);
    let length = 0;
    while (length < bytes.length) {
      const read = await file.read(bytes.subarray(length));
      if (read === null) break;
      length += read;
    }
    return { bytes: bytes.subarray(0, length), mode: mode ?? 0 };
  } catch (error) {
    throw new ConfigError(option, path, `a file that can be read (${(error as Error).message})`);
  }
}
