/**
 * The npm package of Dawn, Chromium's WebGPU implementation as a native add-on.
 *
 * @module
 */

/** Exact version, since matrix operations in WGSL are experimental and change between versions. */
export const DAWN_VERSION = "0.6.2";

/**
 * Specifier, imported by computed names only and absent from `deno.json`: for a literal import Deno would download 130 MB to
 * start any program, and for an entry in `deno.json` to start any task.
 */
export const DAWN_PACKAGE: string = `npm:webgpu@${DAWN_VERSION}`;
