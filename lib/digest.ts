/**
 * SHA-256 by the Web Cryptography API, in Deno and in browsers (there in pages from https or localhost only).
 *
 * @module
 */

/**
 * SHA-256 in hex.
 *
 * @param parts text (UTF-8) and bytes, one after the other
 */
export async function sha256Of(...parts: readonly (string | Uint8Array)[]): Promise<string> {
  const encoder = new TextEncoder();
  const pieces = parts.map((part) => typeof part === "string" ? encoder.encode(part) : part);
  const whole = new Uint8Array(pieces.reduce((sum, { length }) => sum + length, 0));
  let position = 0;
  for (const piece of pieces) {
    whole.set(piece, position);
    position += piece.length;
  }
  return new Uint8Array(await crypto.subtle.digest("SHA-256", whole)).toHex();
}
