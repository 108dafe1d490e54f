/**
 * PNG, JPEG and WebP decoders as WebAssembly modules, imported in the source phase, which needs no read permission for
 * the package cache.
 *
 * In JavaScript, because TypeScript does not support source phase imports yet.
 *
 * @module
 */
// @ts-self-types="./codecs.d.ts"
import source jpegModule from "@jsquash/jpeg/codec/dec/mozjpeg_dec.wasm";
import source pngModule from "@jsquash/png/codec/pkg/squoosh_png_bg.wasm";
import source webpModule from "@jsquash/webp/codec/dec/webp_dec.wasm";

export { jpegModule, pngModule, webpModule };
