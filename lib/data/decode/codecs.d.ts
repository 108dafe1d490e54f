/** mozjpeg's decoder. */
export const jpegModule: WebAssembly.Module;
/** The decoder of Rust's `png` crate. */
export const pngModule: WebAssembly.Module;
/** libwebp's decoder. */
export const webpModule: WebAssembly.Module;
