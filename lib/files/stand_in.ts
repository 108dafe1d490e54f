/**
 * Detection of files that are not what their names say: Git LFS pointers, and error pages saved in place of a download.
 *
 * @module
 */

/** First line of a Git LFS pointer file (https://github.com/git-lfs/git-lfs, docs/spec.md). */
const LFS_POINTER = "version https://git-lfs.github.com/spec/";
const HTML = /^\s*<(!doctype html|html)\b/i;

/** Describes a stand-in file and what to do about it; undefined if it is not recognized as one. */
export function describeStandIn(bytes: Uint8Array): string | undefined {
  const start = new TextDecoder().decode(bytes.subarray(0, 256));
  if (start.startsWith(LFS_POINTER)) return "a Git LFS pointer, not the file: run git lfs pull";
  if (HTML.test(start)) return "an HTML page, not the file: download it again";
  return undefined;
}

/**
 * Decodes text by its byte-order mark, which is removed; UTF-8 if there is none.
 *
 * @throws {TypeError} for bytes that are invalid in that encoding
 */
export function decodeText(bytes: Uint8Array): string {
  const encoding = bytes[0] === 0xff && bytes[1] === 0xfe
    ? "utf-16le"
    : bytes[0] === 0xfe && bytes[1] === 0xff
    ? "utf-16be"
    : "utf-8";
  return new TextDecoder(encoding, { fatal: true }).decode(bytes);
}
