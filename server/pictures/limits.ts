/**
 * Limits on uploaded pictures, for the main thread and the decoder's worker.
 *
 * @module
 */

/** Limit on the pixels of an uploaded picture, 64 MiB as RGBA; a photograph of a phone has 12 million. */
export const MAX_UPLOAD_PIXELS = 2 ** 24;
