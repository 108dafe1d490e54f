/** A run that nothing interrupts, to compare resumed runs with. */
import type { TrainOptions } from "../../../lib/train/trainer.ts";
import { inTemporaryDirectory } from "./directories.ts";
import { microNetwork, run, stateOf } from "./micro.ts";

/** Four steps an epoch, twelve in all; dropout, label dropout and flips draw their random numbers, too. */
export const RUN_SETTINGS: Partial<TrainOptions> = {
  model: microNetwork({ dropout: 0.1 }),
  epochs: 3,
  logEvery: 1,
};

let whole: Promise<unknown> | undefined;

/** The state after a run of {@linkcode RUN_SETTINGS} that nothing interrupted. */
export function uninterrupted(): Promise<unknown> {
  return whole ??= (async () => {
    let state: unknown;
    await inTemporaryDirectory(async (out) => {
      await run({ ...RUN_SETTINGS, out });
      state = await stateOf(out);
    });
    return state;
  })();
}
