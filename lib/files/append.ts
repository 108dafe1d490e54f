/**
 * Appending to logs.
 *
 * @module
 */

/**
 * Appends all of some bytes, or nothing; creates the file if missing.
 *
 * @throws {Deno.errors} the system's error
 */
export async function appendAtomically(path: string, bytes: Uint8Array): Promise<void> {
  using file = await Deno.open(path, { append: true, create: true });
  const { size } = await file.stat();
  try {
    for (let written = 0; written < bytes.length;) written += await file.write(bytes.subarray(written));
  } catch (error) {
    await file.truncate(size);
    throw error;
  }
}
