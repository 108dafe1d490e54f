/**
 * Decoders of PNG, JPEG and WebP as WebAssembly modules, which need no permission to load: read from files, they would
 * need one for wherever packages are kept.
 *
 * In JavaScript, because TypeScript does not know source phase imports yet.
 *
 * @module
 */
// @ts-self-types="./codecs.d.ts"
import source jpegModule from "@jsquash/jpeg/codec/dec/mozjpeg_dec.wasm";
import source pngModule from "@jsquash/png/codec/pkg/squoosh_png_bg.wasm";
import source webpModule from "@jsquash/webp/codec/dec/webp_dec.wasm";

export { jpegModule, pngModule, webpModule };
