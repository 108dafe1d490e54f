/** mozjpeg's decoder. */
export const jpegModule: WebAssembly.Module;
/** Decoder of Rust's `png` crate. */
export const pngModule: WebAssembly.Module;
/** libwebp's decoder. */
export const webpModule: WebAssembly.Module;
