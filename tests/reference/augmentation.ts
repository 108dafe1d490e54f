/**
 * Non-leaky augmentation in float64 (Karras et al. 2022, appendix F.2): 3x3 matrices from random numbers, one transformation at a
 * time, and images sampled by cubic convolution.
 */
import { normals, threefry } from "./threefry.ts";

export type Matrix = readonly (readonly number[])[];

export interface AugmentationReferenceInput {
  probability: number;
  height: number;
  width: number;
  step: number;
  stream: number;
  key: [number, number];
}

function times(...matrices: Matrix[]): Matrix {
  return matrices.reduce((a, b) =>
    a.map((row) => b[0].map((_, j) => row.reduce((sum, value, k) => sum + value * b[k][j], 0)))
  );
}

const scaling = (x: number, y: number): Matrix => [[x, 0, 0], [0, y, 0], [0, 0, 1]];
const translation = (x: number, y: number): Matrix => [[1, 0, x], [0, 1, y], [0, 0, 1]];
const rotation = (angle: number): Matrix => [
  [Math.cos(angle), -Math.sin(angle), 0],
  [Math.sin(angle), Math.cos(angle), 0],
  [0, 0, 1],
];

/** Pixels of an augmented image to those of its source, relative to the centre, and the vector that the network gets. */
export function drawAugmentationReference(
  { probability, height, width, step, stream, key }: AugmentationReferenceInput,
  n: number,
  flip: number,
): { map: Matrix; vector: number[] } {
  const [first, second] = [3, 4].map((call) => threefry([n, call, step, stream], key));
  const [scaleNormal, stretchNormal, xNormal, yNormal] = normals([n, 5, step, stream], key);
  const applied = (word: number) => Math.floor(word / 256) / 2 ** 24 < probability;
  const angleOf = (word: number) => 2 * Math.PI * word / 2 ** 32;

  const flipY = applied(first[0]) ? second[1] & 1 : 0;
  const scale = applied(first[1]) ? scaleNormal : 0;
  const angle = applied(first[2]) ? angleOf(second[2]) : 0;
  const stretch = applied(first[3]) ? stretchNormal : 0;
  const axis = applied(first[3]) && (second[1] & 2) > 0 ? angleOf(second[3]) : 0;
  const [x, y] = applied(second[0]) ? [xNormal, yNormal] : [0, 0];
  const map = times(
    scaling(flip ? -1 : 1, flipY ? -1 : 1),
    scaling(2 ** (-0.2 * scale), 2 ** (-0.2 * scale)),
    rotation(angle),
    rotation(-axis),
    scaling(2 ** (-0.2 * stretch), 2 ** (0.2 * stretch)),
    rotation(axis),
    translation(-x * width / 8, -y * height / 8),
  );
  const told = [Math.cos(angle) - 1, Math.sin(angle), stretch * Math.cos(axis), stretch * Math.sin(axis)];
  return { map, vector: [flip, flipY, scale, ...told, x, y] };
}

/** The kernel of cubic convolution with a = -1/2 (Keys 1981, equation 15), at a distance. */
function cubic(distance: number): number {
  const s = Math.abs(distance);
  if (s < 1) return 1.5 * s ** 3 - 2.5 * s ** 2 + 1;
  return s < 2 ? -0.5 * s ** 3 + 2.5 * s ** 2 - 4 * s + 2 : 0;
}

/** Index of an image that is reflected at its first and last pixel, again and again. */
function reflected(i: number, size: number): number {
  if (size === 1) return 0;
  let at = i;
  while (at < 0 || at >= size) at = at < 0 ? -at : 2 * (size - 1) - at;
  return at;
}

/** Bytes [H, W, C] of an image under a map. */
export function augmentedImage(
  bytes: ArrayLike<number>,
  [height, width, channels]: readonly [number, number, number],
  map: Matrix,
): Float64Array {
  const [cx, cy] = [(width - 1) / 2, (height - 1) / 2];
  return Float64Array.from({ length: height * width * channels }, (_, i) => {
    const [c, x, y] = [i % channels, Math.floor(i / channels) % width, Math.floor(i / channels / width)];
    const [u, v] = map.slice(0, 2).map(([a, b, offset], axis) =>
      a * (x - cx) + b * (y - cy) + offset + [cx, cy][axis]
    );
    let sum = 0;
    for (let row = Math.floor(v) - 2; row <= v + 3; row++) {
      for (let column = Math.floor(u) - 2; column <= u + 3; column++) {
        const at = (reflected(row, height) * width + reflected(column, width)) * channels + c;
        sum += cubic(v - row) * cubic(u - column) * bytes[at];
      }
    }
    return sum;
  });
}
