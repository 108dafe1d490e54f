/** Conversion between packed channels and the device layout, with channels zero-padded to a multiple of 4. */

/** [rows, channels] -> [rows, 4*ceil(channels/4)], padded with zeros. */
export function packChannels(data: ArrayLike<number>, channels: number): Float32Array {
  const padded = 4 * Math.ceil(channels / 4);
  const rows = data.length / channels;
  const out = new Float32Array(rows * padded);
  for (let row = 0; row < rows; row++) {
    for (let c = 0; c < channels; c++) out[row * padded + c] = data[row * channels + c];
  }
  return out;
}

/** The inverse of {@linkcode packChannels}; throws if a padding lane is not zero. */
export function unpackChannels(data: ArrayLike<number>, channels: number): Float32Array {
  const padded = 4 * Math.ceil(channels / 4);
  const rows = data.length / padded;
  const out = new Float32Array(rows * channels);
  for (let row = 0; row < rows; row++) {
    for (let c = 0; c < padded; c++) {
      const value = data[row * padded + c];
      if (c < channels) out[row * channels + c] = value;
      else if (value !== 0) throw new Error(`padding lane ${c} of row ${row} holds ${value}, expected 0`);
    }
  }
  return out;
}
