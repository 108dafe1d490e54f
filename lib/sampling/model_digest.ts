/**
 * Digest of a model's weights, by which pictures name the model that drew them whatever its directory is called.
 *
 * @module
 */

/** The part of a tensor that the digest covers. */
interface Weights {
  readonly shape: readonly number[];
  /** Values in row-major order. */
  readonly data: Float32Array<ArrayBuffer>;
}

/**
 * SHA-256 over names, shapes and float32 values of all tensors, whatever their order and the format of the file. Web Cryptography
 * computes it, as browsers draw, too.
 *
 * @returns 64 hexadecimal digits
 */
export async function modelDigest(tensors: ReadonlyMap<string, Weights>): Promise<string> {
  const lines = await Promise.all([...tensors].map(async ([name, { shape, data }]) => {
    return `${name} ${shape.join("x")} ${await sha256(data)}\n`;
  }));
  return await sha256(new TextEncoder().encode(lines.sort().join("")));
}

async function sha256(data: ArrayBufferView<ArrayBuffer>): Promise<string> {
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", data));
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
