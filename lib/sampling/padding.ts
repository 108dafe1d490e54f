/**
 * Conversion between images of any number of channels and the device's layout, in which channels are padded with zeros to a
 * multiple of 4.
 *
 * @module
 */
import { paddedChannels } from "../graph/tensor.ts";

/** Converts bytes, shape [..., channels], to floats in [-1, 1] in the device's layout. */
export function padBytes(bytes: Uint8Array, channels: number): Float32Array<ArrayBuffer> {
  const stride = paddedChannels(channels);
  const padded = new Float32Array(bytes.length / channels * stride);
  for (let i = 0; i < bytes.length; i++) {
    padded[Math.floor(i / channels) * stride + i % channels] = bytes[i]! * (2 / 255) - 1; // inside `bytes`
  }
  return padded;
}

/** Pads floats, shape [..., channels], to the device's layout. */
export function padChannels(plain: Float32Array, channels: number): Float32Array<ArrayBuffer> {
  const stride = paddedChannels(channels);
  const padded = new Float32Array(plain.length / channels * stride);
  for (let i = 0; i < plain.length; i++) {
    padded[Math.floor(i / channels) * stride + i % channels] = plain[i]!; // inside `plain`
  }
  return padded;
}

/** Removes the padding of floats, shape [..., padded channels]. */
export function unpadChannels(padded: Float32Array, channels: number): Float32Array<ArrayBuffer> {
  const stride = paddedChannels(channels);
  const plain = new Float32Array(padded.length / stride * channels);
  for (let i = 0; i < plain.length; i++) {
    plain[i] = padded[Math.floor(i / channels) * stride + i % channels]!; // inside `padded`, since i < plain.length
  }
  return plain;
}
