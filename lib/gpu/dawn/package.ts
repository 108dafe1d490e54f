/**
 * The npm package of Dawn, Chromium's WebGPU implementation as a native add-on.
 *
 * @module
 */

/** Exact version, since matrix operations in WGSL are experimental and change between versions. */
export const DAWN_VERSION = "0.6.2";

/** Specifier, imported by computed names only: for a literal one, Deno would download the binaries of all platforms to start any program. */
export const DAWN_PACKAGE: string = `npm:webgpu@${DAWN_VERSION}`;
