/** Golden cases of InceptionV3, with their weights as the published state dict has them. */
import type { SafeTensor } from "../../lib/files/dtypes.ts";
import type { ParameterTable } from "../../lib/model/parameters.ts";
import { type Digest, goldenParameter, goldenScaled, goldenValues } from "./formula.ts";

/** An `inception_*.json`. */
export interface InceptionCase {
  readonly case: string;
  readonly divisor: number;
  readonly side: number;
  /** NCHW. */
  readonly images: readonly [number, number, number, number];
  readonly float32: Readonly<Record<"pool3" | "logits" | "activations", number>>;
  readonly pool3: Digest;
  readonly logits: Digest;
  /** Results for TensorFlow's resize. */
  readonly tensorflow: { readonly pool3: Digest; readonly logits: Digest };
  readonly activations: Readonly<Record<string, Digest>>;
}

export function loadInceptionCase(name: string): InceptionCase {
  return JSON.parse(Deno.readTextFileSync(new URL(`inception_${name}.json`, import.meta.url)));
}

/** Bytes [N,H,W,3]. */
export function goldenImages({ case: name, images: shape }: InceptionCase): Uint8Array {
  const [batch, channels, height, width] = shape;
  const values = goldenValues(name, "images", batch * channels * height * width);
  const bytes = new Uint8Array(values.length);
  values.forEach((value, i) => {
    const x = i % width;
    const y = Math.floor(i / width) % height;
    const c = Math.floor(i / (width * height)) % channels;
    const n = Math.floor(i / (width * height * channels));
    bytes[((n * height + y) * width + x) * channels + c] = Math.floor((value + 1) * 128);
  });
  return bytes;
}

/** Weights by the names that the published file has. */
export function goldenStateDict(
  caseName: string,
  { parameters }: ParameterTable,
): Map<string, SafeTensor<ArrayBuffer>> {
  const tensors = new Map<string, SafeTensor<ArrayBuffer>>();
  const add = (name: string, shape: readonly number[]) =>
    tensors.set(name, { dtype: "F32", shape: [...shape], data: goldenWeight(caseName, name, shape) });
  for (const { name, shape } of parameters) {
    // The bias of a convolution stands for its batch norm.
    if (!name.endsWith(".conv.bias")) add(name, shape);
    else {
      const norm = name.replace(/\.conv\.bias$/, ".bn");
      for (const part of ["weight", "bias", "running_mean", "running_var"]) add(`${norm}.${part}`, shape);
    }
  }
  return tensors;
}

function goldenWeight(caseName: string, name: string, shape: readonly number[]): Float32Array<ArrayBuffer> {
  if (name.endsWith("running_mean")) return goldenScaled(caseName, name, shape[0]!, 0.2);
  if (name.endsWith("running_var")) return goldenScaled(caseName, name, shape[0]!, 0.15, 0.5);
  return goldenParameter(caseName, name, shape);
}
