/**
 * Weights of InceptionV3 from the state dict of the published PyTorch port, with batch norms folded into the convolutions
 * before them:
 *
 * ```text
 * gamma (w * x - mean) / sqrt(variance + eps) + beta = (s w) * x + (beta - s mean),   s = gamma / sqrt(variance + eps)
 * ```
 *
 * @module
 */
import { CheckpointError } from "../../errors.ts";
import { type SafeTensor, toFloat32 } from "../../files/dtypes.ts";
import { showShape } from "../../graph/tensor.ts";
import type { HostTensor, ParameterTable } from "../../model/parameters.ts";

/** Epsilon of all batch norms, that of the TensorFlow graph. */
const EPS = 0.001;
/** Tensors of the state dict that the results do not depend on; the Inception score leaves out the bias of the last layer. */
const UNUSED = /^AuxLogits\.|^fc\.bias$|\.num_batches_tracked$/;
const EXPECTED = "expected the weights pt_inception-2015-12-05 (see docs/evaluation.md)";

/**
 * Lays out a state dict for the device.
 *
 * @param table parameters of the network
 * @param source the file's name, for messages
 * @returns contents of the flat buffer
 * @throws {CheckpointError} naming the file, and the tensor that is missing, left over, or of the wrong shape
 */
export function inceptionWeights(
  tensors: ReadonlyMap<string, SafeTensor<ArrayBuffer>>,
  table: ParameterTable,
  source: string,
): Float32Array<ArrayBuffer> {
  const file = new Tensors(tensors, source);
  const shapes = new Map(table.parameters.map(({ name, shape }) => [name, shape]));
  const values = new Map<string, HostTensor>();
  const set = (name: string, data: Float32Array) => values.set(name, { shape: shapes.get(name)!, data });
  for (const [name, shape] of shapes) {
    const layer = name.match(/^(.*)\.conv\.weight$/)?.[1];
    if (layer !== undefined) {
      const { weight, bias } = foldedConvolution(file, layer, shape);
      set(name, weight);
      set(`${layer}.conv.bias`, bias);
    }
  }
  const last = shapes.get("fc.weight")!;
  set("fc.weight", file.take("fc.weight", last));
  set("fc.bias", new Float32Array(last[0]!));
  file.expectTaken();
  return table.toMemory(values, source);
}

/** A convolution and its batch norm as a convolution with a bias. */
function foldedConvolution(file: Tensors, layer: string, shape: readonly number[]) {
  const channels = shape[0]!;
  const weight = Float32Array.from(file.take(`${layer}.conv.weight`, shape));
  const norm = (name: string) => file.take(`${layer}.bn.${name}`, [channels]);
  const [gamma, beta] = [norm("weight"), norm("bias")];
  const [mean, variance] = [norm("running_mean"), norm("running_var")];
  const scale = Float64Array.from(gamma, (value, o) => value / Math.sqrt(variance[o]! + EPS));
  const perChannel = weight.length / channels;
  for (let i = 0; i < weight.length; i++) weight[i]! *= scale[Math.floor(i / perChannel)]!;
  return { weight, bias: Float32Array.from(beta, (value, o) => value - scale[o]! * mean[o]!) };
}

/** Tensors of a file, each taken once. */
class Tensors {
  readonly #tensors: ReadonlyMap<string, SafeTensor<ArrayBuffer>>;
  readonly #source: string;
  readonly #taken = new Set<string>();

  constructor(tensors: ReadonlyMap<string, SafeTensor<ArrayBuffer>>, source: string) {
    this.#tensors = tensors;
    this.#source = source;
  }

  take(name: string, shape: readonly number[]): Float32Array {
    const tensor = this.#tensors.get(name);
    if (!tensor) throw new CheckpointError(`${this.#source}: tensor ${name} is missing; ${EXPECTED}`);
    if (showShape(tensor.shape) !== showShape(shape)) {
      throw new CheckpointError(
        `${this.#source}: tensor ${name} has shape ${showShape(tensor.shape)}, the network needs ${
          showShape(shape)
        }; ${EXPECTED}`,
      );
    }
    this.#taken.add(name);
    return toFloat32(tensor, `${this.#source}: tensor ${name}`);
  }

  expectTaken(): void {
    const left = [...this.#tensors.keys()].find((name) => !this.#taken.has(name) && !UNUSED.test(name));
    if (left !== undefined) {
      throw new CheckpointError(
        `${this.#source}: tensor ${left} does not belong to this network; ${EXPECTED}`,
      );
    }
  }
}
