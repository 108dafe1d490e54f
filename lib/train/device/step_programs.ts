/**
 * Programs of a training step (Ho et al. 2020, algorithm 1, lines 2 to 5) and of a validation batch, compiled from their
 * graphs.
 *
 * @module
 */
import { accumulate } from "../../../kernels/accumulate.ts";
import type { Launch } from "../../../kernels/source.ts";
import type { KernelTarget } from "../../../kernels/target.ts";
import type { Gpu } from "../../gpu/device.ts";
import type { BufferView, ResourceScope } from "../../gpu/memory.ts";
import { precompile } from "../../gpu/precompile.ts";
import { buildProgram, type Program } from "../../gpu/program.ts";
import { type Compiled, compileGraph } from "../../graph/compile.ts";
import { Graph } from "../../graph/graph.ts";
import { castWeights, flatView, flatWindows } from "../../model/flat.ts";
import { bindGradients, bindParameters } from "../../model/network.ts";
import { ParameterTable } from "../../model/parameters.ts";
import { storageType } from "../../model/precision.ts";
import { digestOf } from "./computation.ts";
import { type Addition, type MicroRange, planAdditions, slotCount } from "./summation_tree.ts";
import { optimizerLaunches, type OptimizerOptions } from "./optimizer.ts";
import type { DeviceImages } from "./device_images.ts";
import { createStepBuffers, type StepBuffers, type TrainingLevels } from "./step_buffers.ts";
import {
  type BatchOptions,
  bindInputs,
  type DataSizes,
  recordFirstPass,
  recordTrainingStep,
  recordValidation,
} from "./step_graph.ts";

/** Constants of a training step. */
export interface StepOptions extends BatchOptions, OptimizerOptions {
  /** Averages of the weights with power-function profiles. Default 0. */
  readonly profiles?: number;
  /** Micro-batches of each optimizer step that are computed here; default all. */
  readonly microRange?: MicroRange;
  /** Kernel variants to use; default those for the device. */
  readonly target?: KernelTarget;
}

/** Programs of a step. */
export interface StepPrograms {
  /** Gradients of one micro-batch. */
  readonly micro: Program;
  /** Additions to the gradients of others after each micro-batch of the range; none where a step has a single one. */
  readonly additions: readonly (readonly Program[])[];
  /** Optimizer. */
  readonly update: Program;
  /** Loss of one validation batch. */
  readonly validation: Program;
}

/** A step on the device. */
export interface BuiltStep {
  readonly programs: StepPrograms;
  readonly buffers: StepBuffers;
  readonly table: ParameterTable;
  /** Digest of the kernels that change the weights. */
  readonly kernels: string;
}

/**
 * Builds a step.
 *
 * @param scope owner of everything that it creates
 * @param what use of the device, in errors about memory
 * @throws {DeviceError} if there is too little device memory
 */
export async function buildStep(
  gpu: Gpu,
  scope: ResourceScope,
  what: string,
  options: StepOptions,
  levels: TrainingLevels,
  data: DeviceImages,
): Promise<BuiltStep> {
  const { precision, profiles = 0 } = options;
  const sizes = { chunks: data.chunks.map(({ count }) => count), levels: levels.signal.length };
  const g = new Graph(storageType(precision));
  const training = recordTrainingStep(g, options, sizes);
  const table = new ParameterTable(g.parameters);
  const { elements } = table;
  const windows = flatWindows(elements, gpu.limits.maxStorageBufferBindingSize, table.firstTrained);
  // Before the activations, which take memory for speed where there is some left.
  const { microBatches, microRange = { first: 0, end: microBatches } } = options;
  const planned = microBatches > 1 ? planAdditions(microRange, microBatches) : [];
  const buffers = createStepBuffers(scope, options, levels, data, {
    ...{ elements, windows, profiles, sums: planned.length > 0 ? slotCount(planned) : 0 },
    estimateBytes: training.inputs.estimate?.bytes,
  });
  const { inputs, gradients, sums, copy, optimizer } = buffers;
  const { parameters, ema } = optimizer.weights;
  const castFrom = ({ buffer }: BufferView): Launch<BufferView>[] =>
    copy ? castWeights(gpu, elements, buffer, copy) : [];

  // Algorithm 1, lines 2 to 5: the gradient of a micro-batch
  const compiled = scope.own(compileGraph(gpu, g, {
    bound: new Map([
      ...bindInputs(training.inputs, inputs),
      ...bindParameters(g, parameters.buffer, copy),
      ...[...bindGradients(g, gradients.buffer)].map(([of, view]) =>
        [training.ofParameter.get(of)!, view] as const
      ),
    ]),
    what,
    target: options.target,
  }));
  const shared = { gpu, scope, options, sizes, buffers, reuse: compiled.reusable };
  const first = options.config.selfConditioning ? compileFirstPass(shared) : undefined;
  const casts = castFrom(parameters);
  const micro = [...casts, ...first ? first.launches.flat() : [], ...compiled.launches.flat()];
  // Algorithm 1, line 5: the gradient of the step's loss, the mean over its micro-batches
  const launchesOf = ({ kind, slot }: Addition) =>
    windows.flatMap((window) =>
      accumulate(window.elements, kind !== "store", {
        addend: flatView(kind === "merge" ? sums[slot + 1]! : gradients, window), // as planned
        sum: flatView(sums[slot]!, window),
      })
    );
  const kinds = microBatches > 1 ? ["store", "add"] as const : [];
  const additions = kinds.flatMap((kind) => launchesOf({ kind, slot: 0 }));

  // Algorithm 1, line 5: the gradient descent step
  const update = optimizerLaunches(options, windows, optimizer);

  const validation = [...castFrom(ema), ...compileValidation(shared).launches.flat()];
  await precompile(gpu, [...micro, ...additions, ...update, ...validation]);
  return {
    programs: {
      micro: scope.own(await buildProgram(gpu, micro)),
      additions: await buildAdditions(gpu, scope, planned, launchesOf),
      update: scope.own(await buildProgram(gpu, update)),
      validation: scope.own(await buildProgram(gpu, validation)),
    },
    buffers,
    table,
    kernels: await digestOf([
      ...casts,
      ...first ? first.separate : [],
      ...compiled.separate,
      ...additions, // whichever micro-batches are computed here
      ...update,
    ]),
  };
}

/** Builds the program of each addition once. */
async function buildAdditions(
  gpu: Gpu,
  scope: ResourceScope,
  planned: readonly (readonly Addition[])[],
  launchesOf: (addition: Addition) => readonly Launch<BufferView>[],
): Promise<Program[][]> {
  const built = new Map<string, Program>();
  const programs: Program[][] = [];
  for (const after of planned) {
    const ofMicro: Program[] = [];
    for (const addition of after) {
      const key = `${addition.kind} ${addition.slot}`;
      const program = built.get(key) ?? scope.own(await buildProgram(gpu, launchesOf(addition)));
      built.set(key, program);
      ofMicro.push(program);
    }
    programs.push(ofMicro);
  }
  return programs;
}

/** Context of the graphs that follow the gradients' graph. */
interface SharedParts {
  readonly gpu: Gpu;
  readonly scope: ResourceScope;
  readonly options: StepOptions;
  readonly sizes: DataSizes;
  readonly buffers: StepBuffers;
  /** Memory of the gradients' activations. */
  readonly reuse: readonly GPUBuffer[];
}

/** No gradient goes through the first pass of self-conditioning, which has a graph of its own. */
function compileFirstPass({ gpu, scope, options, sizes, buffers, reuse }: SharedParts): Compiled {
  const { batch, precision, target } = options;
  const { inputs, withoutEstimates, copy, optimizer: { weights } } = buffers;
  const g = new Graph(storageType(precision));
  const recorded = recordFirstPass(g, options, sizes);
  return scope.own(compileGraph(gpu, g, {
    bound: new Map([
      ...bindInputs(recorded.inputs, withoutEstimates),
      ...bindParameters(g, weights.parameters.buffer, copy),
      [recorded.result, inputs.estimate!] as const, // as the network has self-conditioning
    ]),
    reuse,
    what: `self-conditioning at batch ${batch}`,
    target,
  }));
}

/** Validation uses the EMA weights. */
function compileValidation({ gpu, scope, options, sizes, buffers, reuse }: SharedParts): Compiled {
  const { batch, precision, target } = options;
  const { withoutEstimates, copy, optimizer: { weights } } = buffers;
  const g = new Graph(storageType(precision));
  const inputs = recordValidation(g, options, sizes);
  return scope.own(compileGraph(gpu, g, {
    bound: new Map([
      ...bindInputs(inputs, withoutEstimates),
      ...bindParameters(g, weights.ema.buffer, copy),
    ]),
    reuse,
    what: `validation at batch ${batch}`,
    target,
  }));
}
