/**
 * Image format detection by content. Extensions are unreliable: scraped JPEGs are often called `.png`.
 *
 * @module
 */
// deno-lint-ignore-file no-control-regex -- signatures are bytes

/** Supported image formats. */
export type ImageFormat = "png" | "jpeg" | "webp" | "gif";

const IMAGE_FORMATS: readonly ImageFormat[] = ["png", "jpeg", "webp", "gif"];

/** Number of bytes at the start of a file that format detection needs. */
export const HEAD_BYTES = 256;

const EXTENSIONS =
  /\.(?:png|apng|jpg|jpeg|jpe|jfif|webp|gif|bmp|tif|tiff|heic|heif|avif|jxl|ico|psd|jp2|tga|ppm|pgm|pbm)$/i;

/** True if the extension is that of an image format, supported or not. */
export function hasImageExtension(name: string): boolean {
  return EXTENSIONS.test(name);
}

/** Signatures in Latin-1; `.` is any byte. The first four formats are supported, the others named in errors. */
const SIGNATURES: readonly (readonly [RegExp, string])[] = [
  [/^\x89PNG\r\n\x1a\n/, "png"],
  [/^\xff\xd8\xff/, "jpeg"],
  [/^RIFF....WEBP/s, "webp"],
  [/^GIF8[79]a/, "gif"],
  [/^BM....\0\0\0\0/s, "a BMP image"],
  [/^(?:II\*\0|MM\0\*)/, "a TIFF image"],
  [/^....ftypavi[fs]/s, "an AVIF image"],
  [/^....ftyp(?:hei[cmsx]|hev[cmsx]|mif1|msf1)/s, "a HEIC image"],
  [/^(?:\xff\x0a|\0\0\0\x0cJXL )/, "a JPEG XL image"],
  [/^8BPS/, "a Photoshop document"],
];

function signatureOf(head: Uint8Array): string | undefined {
  const text = latin1(head.subarray(0, 16));
  return SIGNATURES.find(([pattern]) => pattern.test(text))?.[1];
}

/** Format of a file from its first bytes; undefined if it is not supported. */
export function imageFormat(head: Uint8Array): ImageFormat | undefined {
  const found = signatureOf(head);
  return IMAGE_FORMATS.find((format) => format === found);
}

/** True if the first bytes are those of an image format, supported or not. */
export function hasImageSignature(head: Uint8Array): boolean {
  return signatureOf(head) !== undefined;
}

/** Describes a file that cannot be decoded, for an error message `PATH: DESCRIPTION`. */
export function describeContent(head: Uint8Array): string {
  if (head.length === 0) return "an empty file";
  const image = signatureOf(head);
  if (image !== undefined) return `${image}, which is not supported`;
  const text = latin1(head.subarray(0, HEAD_BYTES)).replace(/^\xef\xbb\xbf/, "").trimStart();
  if (isLfsPointer(head)) return LFS_POINTER;
  if (/^(?:<\?xml[^>]*>\s*)?(?:<!--.*?-->\s*)?<(?:!doctype\s+html|html|head|body)\b/is.test(text)) {
    return "an HTML page";
  }
  if (/^(?:<\?xml|<svg)\b/i.test(text)) return "an XML or SVG document";
  if (/^\s*[{[]/.test(text)) return "a JSON text";
  if (head.every((byte) => byte === 0)) return "nothing but zero bytes";
  return "not an image";
}

/** Description of a file that Git LFS has put in the place of another. */
export const LFS_POINTER = "a Git LFS pointer, not the file itself (fetch it with: git lfs pull)";

/** True if the first bytes are those of a Git LFS pointer. */
export function isLfsPointer(head: Uint8Array): boolean {
  return latin1(head.subarray(0, HEAD_BYTES)).startsWith("version https://git-lfs.github.com/");
}

function latin1(bytes: Uint8Array): string {
  return String.fromCharCode(...bytes);
}
