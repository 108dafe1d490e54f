/**
 * Files of a model's directory in the cache.
 *
 * @module
 */
import { createHash } from "node:crypto";
import { join } from "node:path";
import { isStateOf } from "./download.ts";

/**
 * SHA-256 of weights in hex: of the file; of several, of the lines that `sha256sum` prints for them.
 *
 * @param names of the files
 */
export async function weightsDigest(directory: string, names: readonly string[]): Promise<string> {
  const digests: string[] = [];
  for (const name of names) {
    const hash = createHash("sha256");
    using file = await Deno.open(join(directory, name));
    for await (const chunk of file.readable) hash.update(chunk);
    digests.push(hash.digest("hex"));
  }
  if (names.length === 1) return digests[0]!;
  const lines = names.map((name, i) => `${digests[i]}  ${name.slice(name.lastIndexOf("/") + 1)}\n`);
  return createHash("sha256").update(lines.join("")).digest("hex");
}

/** Size of all files of a directory, bytes. */
export async function bytesOf(directory: string): Promise<number> {
  let bytes = 0;
  for await (const { name, isDirectory } of Deno.readDir(directory)) {
    const path = join(directory, name);
    bytes += isDirectory ? await bytesOf(path) : (await Deno.stat(path)).size;
  }
  return bytes;
}

/** Removes the files of a directory that are not among `names`, but for what is known of their downloads. */
export async function keepOnly(directory: string, names: ReadonlySet<string>, prefix = ""): Promise<void> {
  for (const { name, isDirectory } of await Array.fromAsync(Deno.readDir(directory))) {
    const [path, own] = [join(directory, name), prefix + name];
    if (isDirectory) await keepOnly(path, names, `${own}/`);
    else if (!names.has(own) && !isStateOf(own, names)) await Deno.remove(path);
  }
}
