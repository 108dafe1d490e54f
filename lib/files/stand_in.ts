/**
 * Files that stand where others should: pointers that Git leaves without its Large File Storage, and error pages saved
 * in place of a download.
 *
 * @module
 */

/** The first line of every Git LFS pointer file (https://github.com/git-lfs/git-lfs, docs/spec.md). */
const LFS_POINTER = "version https://git-lfs.github.com/spec/";
const HTML = /^\s*<(!doctype html|html)\b/i;

/** Says what a file is that cannot be what its name says; undefined where nothing tells. */
export function describeStandIn(bytes: Uint8Array): string | undefined {
  const start = new TextDecoder().decode(bytes.subarray(0, 256));
  if (start.startsWith(LFS_POINTER)) return "a Git LFS pointer, not the file: run git lfs pull";
  if (HTML.test(start)) return "an HTML page, not the file: download it again";
  return undefined;
}

/**
 * Text in the encoding that its byte-order mark says, which is left out; UTF-8 without one.
 *
 * @throws {TypeError} for bytes that are not text of that encoding
 */
export function decodeText(bytes: Uint8Array): string {
  const encoding = bytes[0] === 0xff && bytes[1] === 0xfe
    ? "utf-16le"
    : bytes[0] === 0xfe && bytes[1] === 0xff
    ? "utf-16be"
    : "utf-8";
  return new TextDecoder(encoding, { fatal: true }).decode(bytes);
}
