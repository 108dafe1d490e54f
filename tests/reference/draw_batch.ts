/** Reference of draw_batch.wgsl, one sample at a time. */
import { threefry } from "./threefry.ts";

export interface DrawReferenceInput {
  batch: number;
  count: number;
  position: number;
  step: number;
  stream: number;
  key: [number, number];
  order: ArrayLike<number>;
  labels: ArrayLike<number>;
  /** The network's time input at each level. */
  timesteps: ArrayLike<number>;
  classes: number;
  labelDropout: number;
  flip: boolean;
  stratified?: boolean;
}

export interface DrawReference {
  image: number;
  level: number;
  timestep: number;
  flip: number;
  label: number;
}

export function drawReference(input: DrawReferenceInput): DrawReference[] {
  return Array.from({ length: input.batch }, (_, n) => {
    const [time, side, drop] = threefry([n, 0, input.step, input.stream], input.key);
    const image = input.order[input.position + (n < input.count ? n : 0)];
    const [stratum, strata] = input.stratified ? [BigInt(n), BigInt(input.batch)] : [0n, 1n];
    const position = ((stratum << 32n) + BigInt(time)) * BigInt(input.timesteps.length);
    const level = Number((position >> 32n) / strata);
    return {
      image,
      level,
      timestep: input.timesteps[level],
      flip: input.flip ? side % 2 : 0,
      label: Math.floor(drop / 256) / 2 ** 24 < input.labelDropout ? input.classes : input.labels[image],
    };
  });
}
