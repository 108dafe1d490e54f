/** mozjpeg's encoder. */
export const jpegModule: WebAssembly.Module;
/** libwebp's encoder, with SIMD instructions, which every processor that Deno runs on has. */
export const webpModule: WebAssembly.Module;
