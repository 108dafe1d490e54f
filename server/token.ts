/**
 * The bearer token that a server asks for.
 *
 * @module
 */
import { ConfigError } from "../lib/errors.ts";

/**
 * The first line of a file. It is never part of a message.
 *
 * @throws {ConfigError} for a file that cannot be read, or a line that cannot be a token (RFC 6750, 2.1)
 */
export async function readToken(path: string): Promise<string> {
  let text: string;
  try {
    text = await Deno.readTextFile(path);
  } catch (error) {
    throw new ConfigError("--token-file", path, `a file that can be read (${(error as Error).message})`);
  }
  const token = text.split("\n", 1)[0].trim();
  if (/^[A-Za-z0-9._~+/-]+=*$/.test(token)) return token;
  const allowed = "letters, digits and any of . _ ~ + / - in the first line of the file";
  throw new ConfigError("--token-file", path, allowed);
}
