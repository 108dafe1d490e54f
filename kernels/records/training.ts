/**
 * Records that the kernels of a training step share, as the CPU writes and reads them; twin of training.wgsl.
 *
 * @module
 */

/** Bytes of one `Draw`: what was chosen for one sample of the batch. */
export const DRAW_BYTES = 12;

/** Bytes of the `Health` record, which must start as zeros. */
export const HEALTH_BYTES = 16;

/** Bytes of one `LogRecord`. */
export const LOG_RECORD_BYTES = 20;

/** Per-timestep tables, each of the same length `T`; `lib/diffusion/objective.ts` makes them. */
export interface ScheduleTables {
  /** `sqrt(alphasCumprod)`, the weight of `x_0` in `x_t`. */
  readonly signal: ArrayLike<number>;
  /** `sqrt(1 - alphasCumprod)`, the weight of the noise in `x_t`. */
  readonly noise: ArrayLike<number>;
  /** Weight of `x_0` in what the network is to predict. */
  readonly targetFromX0: ArrayLike<number>;
  /** Weight of the noise in what the network is to predict. */
  readonly targetFromNoise: ArrayLike<number>;
  /** Weight of the timestep in the loss. */
  readonly weight: ArrayLike<number>;
}

/** The schedule buffer: one row of five floats per timestep. */
export function encodeScheduleTables(tables: ScheduleTables): Float32Array<ArrayBuffer> {
  const columns = [
    tables.signal,
    tables.noise,
    tables.targetFromX0,
    tables.targetFromNoise,
    tables.weight,
  ];
  const rows = new Float32Array(columns.length * tables.signal.length);
  columns.forEach((column, c) => {
    for (let t = 0; t < tables.signal.length; t++) rows[t * columns.length + c] = column[t];
  });
  return rows;
}

/** What one optimizer step, or one validation batch, left in the log buffer. */
export interface LogRecord {
  /** Sum of the weighted per-sample losses; divide by `count`, also over many records, for the mean. */
  readonly lossSum: number;
  /** How many samples that was. */
  readonly count: number;
  /** L2 norm of all gradients before clipping; 0 where no optimizer ran. */
  readonly gradientNorm: number;
  /** Loss or gradients were not finite, and nothing was updated. */
  readonly nonFinite: boolean;
  /** In float16: nothing will be updated any more, since many steps in a row were not finite whatever the loss scale. */
  readonly hopeless: boolean;
  /** The loss scale that the gradients were computed with; 0 in float32, which needs none. */
  readonly lossScale: number;
}

/** The records of a log buffer, slot 0 first. */
export function decodeLog(bytes: ArrayBuffer): LogRecord[] {
  const floats = new Float32Array(bytes);
  const words = new Uint32Array(bytes);
  const records: LogRecord[] = [];
  for (let i = 0; i + 4 < words.length; i += 5) {
    records.push({
      lossSum: floats[i],
      count: words[i + 1],
      gradientNorm: floats[i + 2],
      nonFinite: words[i + 3] !== 0,
      hopeless: words[i + 3] === 2,
      lossScale: floats[i + 4],
    });
  }
  return records;
}

/** What the optimizer was told of the gradient as a whole. */
export interface Health {
  /** L2 norm of all gradients before clipping. */
  readonly gradientNorm: number;
  /** What the gradients were multiplied by. */
  readonly clipScale: number;
  /** The optimizer wrote nothing. */
  readonly nonFinite: boolean;
  /** `StepState.step` of the step that raised the flag; undefined while it is down. */
  readonly firstBadStep: number | undefined;
}

/** Reads the health buffer. */
export function decodeHealth(bytes: ArrayBuffer): Health {
  const [gradientNorm, clipScale] = new Float32Array(bytes);
  const [, , flag, step] = new Uint32Array(bytes);
  return { gradientNorm, clipScale, nonFinite: flag === 1, firstBadStep: flag === 1 ? step : undefined };
}
