/**
 * Sums over samples, deferred to the end of a graph: the gradient of a norm's or a convolution's bias is a sum of one
 * contribution per sample. Dispatches of the backward pass store the contributions, and a single dispatch after the last node
 * adds them up for all layers, because one per layer would wait for memory with most of a GPU idle.
 *
 * A lowering takes part by {@linkcode SampleSums.request}, and leaves the gradients it names to the last dispatch. The choice
 * is made there, not in the graph, because only some algorithms have such contributions at hand.
 *
 * @module
 */
import { SumBlockLayout } from "../../kernels/records/layouts.ts";
import { encodeSampleSums, type SampleSum, sampleSums } from "../../kernels/sample_sums.ts";
import type { Launch } from "../../kernels/source.ts";
import type { Gpu } from "../gpu/device.ts";
import { alignUp, BINDING_ALIGNMENT, type BufferView, hull, type ResourceScope } from "../gpu/memory.ts";
import { replaceTensors } from "./accesses.ts";
import type { Graph } from "./graph.ts";
import type { Tensor } from "./tensor.ts";

/** Requested sum: columns of `values` whose sums over its rows are a gradient. */
interface Requested {
  readonly values: Tensor;
  readonly rows: number;
  /** Floats per row of `values`. */
  readonly stride: number;
  /** First column, floats. */
  readonly column: number;
  readonly gradient: Tensor;
}

/** Sums of one dispatch, with the ranges that it binds. */
interface Group {
  readonly values: BufferView;
  readonly gradients: BufferView;
  readonly sums: readonly Requested[];
}

/** Bytes per vec4 of float32. */
const VEC4_BYTES = 16;

/** Sums over samples that the nodes of a graph request while they are lowered. */
export class SampleSums {
  readonly #g: Graph;
  readonly #requested: Requested[] = [];
  /** Offset in bytes of each tensor of values. */
  readonly #offsets = new Map<Tensor, number>();
  #bytes = 0;
  #all: Tensor | undefined;

  /** Starts without sums. */
  constructor(g: Graph) {
    this.#g = g;
  }

  /**
   * Defers gradients to the end of the graph: `gradient[c] = sum over rows of values[row, c]`, in float32 and in an order that
   * depends on the number of rows alone.
   *
   * @param name name of the values in messages
   * @param rows number of contributions: samples, or a fixed number of parts per sample
   * @param gradients gradients of vectors, [1,1,1,C]; nothing else may write them
   * @returns the values, which the node's dispatches must write completely: float32, row-major, a row being the
   *   contributions to each gradient in order, padding lanes (zero) included
   */
  request(name: string, rows: number, gradients: readonly Tensor[]): Tensor {
    const stride = gradients.reduce((sum, { elements }) => sum + elements, 0);
    const values = this.#g.tensor(name, [1, 1, rows, stride], "contribution", false);
    this.#offsets.set(values, this.#bytes);
    this.#bytes += alignUp(values.bytes, BINDING_ALIGNMENT);
    let column = 0;
    for (const gradient of gradients) {
      this.#requested.push({ values, rows, stride, column, gradient });
      column += gradient.elements;
    }
    return values;
  }

  /**
   * The activation that contains all values, which must be kept until {@linkcode launches} have run; undefined if there are
   * none. The last node must have been lowered.
   */
  get all(): Tensor | undefined {
    if (this.#bytes === 0) return undefined;
    const shape = [1, 1, 1, this.#bytes / 4] as const;
    return this.#all ??= this.#g.tensor("contributions of samples", shape, "activation", false, "float32");
  }

  /** Launches as the memory planner sees them: values are those of {@linkcode all}. */
  planned(launches: readonly Launch<Tensor>[]): Launch<Tensor>[] {
    return replaceTensors(launches, (tensor) => this.#offsets.has(tensor) ? this.all! : tensor);
  }

  /** Views of all tensors of values, given that of {@linkcode all}. */
  views({ buffer, offset: first }: BufferView): Map<Tensor, BufferView> {
    return new Map(
      [...this.#offsets].map(([tensor, offset]) => [
        tensor,
        { buffer, offset: first + offset, size: tensor.bytes },
      ]),
    );
  }

  /**
   * Dispatches that add up the values: one, unless the gradients lie in several buffers or exceed the limit of a binding.
   *
   * @param scope owner of the buffers that describe the sums
   * @param view views of the values and the gradients
   * @param limit largest binding, bytes; default the device's
   */
  launches(
    gpu: Gpu,
    scope: ResourceScope,
    view: (tensor: Tensor) => BufferView,
    limit: number = gpu.limits.maxStorageBufferBindingSize,
  ): Launch<BufferView>[] {
    return this.#groups(view, limit).flatMap(
      ({ values, gradients, sums }) => {
        const position = (tensor: Tensor, base: BufferView) =>
          (view(tensor).offset - base.offset) / VEC4_BYTES;
        const records = encodeSampleSums(sums.map((sum): SampleSum => ({
          first: position(sum.values, values) + sum.column / 4,
          stride: sum.stride / 4,
          rows: sum.rows,
          columns: sum.gradient.elements / 4,
          result: position(sum.gradient, gradients),
        })));
        const blocks = scope.buffer(records.byteLength, "sums over samples");
        gpu.device.queue.writeBuffer(blocks.buffer, 0, records);
        return sampleSums(records.byteLength / SumBlockLayout.bytes, { blocks, values, sums: gradients });
      },
    );
  }

  #groups(view: (tensor: Tensor) => BufferView, limit: number): Group[] {
    const groups: Group[] = [];
    for (const sum of this.#requested) {
      const last = groups.at(-1);
      const values = hull(view(sum.values), last?.values, limit);
      const gradients = hull(view(sum.gradient), last?.gradients, limit);
      if (last && values && gradients) {
        groups[groups.length - 1] = { values, gradients, sums: [...last.sums, sum] };
      } else {
        groups.push({ values: view(sum.values), gradients: view(sum.gradient), sums: [sum] });
      }
    }
    return groups;
  }
}
