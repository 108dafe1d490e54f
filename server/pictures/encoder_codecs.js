/**
 * Encoders of JPEG (mozjpeg) and WebP (libwebp) as WebAssembly modules, which need no permission to load: read from
 * files, they would need one for wherever packages are kept.
 *
 * In JavaScript, because TypeScript does not know source phase imports yet.
 *
 * @module
 */
// @ts-self-types="./encoder_codecs.d.ts"
import source jpegModule from "@jsquash/jpeg/codec/enc/mozjpeg_enc.wasm";
import source webpModule from "@jsquash/webp/codec/enc/webp_enc_simd.wasm";

export { jpegModule, webpModule };
