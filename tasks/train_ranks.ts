/**
 * `mpirun -n 4 deno task train …`: one run on several ranks. Rank 0 does what a run does alone, and speaks for all; the others
 * follow it.
 *
 * @module
 */
import { type MpiCommunicator, train } from "../mod.ts";
import { type Communicator, gatherJson } from "../lib/mpi/communicator.ts";
import { checkResumedSettings } from "../lib/train/run_directory.ts";
import { readInitialModel } from "../lib/train/read_initial_model.ts";
import { openTaskGpu } from "../terminal/gpu.ts";
import { Interruption } from "../terminal/interruption.ts";
import { complain } from "../terminal/output.ts";
import { createReporter } from "../terminal/progress.ts";
import { chooseData, frameOf, readData } from "./run_data.ts";
import { secondModel } from "./runs.ts";
import { type Flags, otherSettingsOf, settingsOf } from "./train_flags.ts";

/** What rank 0 says to the others before it reads the data. */
interface Word {
  /** Directory of the run to resume; null for a new run. */
  readonly resumed: string | null;
}

/** Ends all ranks, with the reason, when one has given no sign of life for too long. */
export async function watchRanks(communicator: MpiCommunicator, timeout: number): Promise<void> {
  const processes = await communicator.processes();
  communicator.watch(timeout, (rank) => {
    complain(
      `error: rank ${rank} (${
        processes[rank]
      }) has given no sign of life for ${timeout} seconds (--rank-timeout); ` +
        "all ranks end, and --resume goes on from the last checkpoint",
    );
    communicator.abort();
  });
}

/** Tells the other ranks which run it is. */
export async function tellRanks(communicator: Communicator | undefined, word: Word): Promise<void> {
  if (communicator) await gatherJson<Word | null>(communicator, word);
}

/** Lets the other ranks read the data, which one rank has fetched, decoded and cached. */
export async function letRanksRead(communicator: Communicator | undefined): Promise<void> {
  await communicator?.gatherBytes(new Uint8Array());
}

/** Takes part in a run that rank 0 leads. */
export async function followFirst(communicator: Communicator, flags: Flags): Promise<number> {
  const [word] = await gatherJson<Word | null>(communicator, null);
  const resumed = word!.resumed ?? undefined;
  const report = createReporter({ mode: "quiet" });
  const interruption = new Interruption(report);
  const settings = await settingsOf(flags);
  const init = await secondModel("--init", flags.init);
  const gpu = await openTaskGpu();
  try {
    const recorded = resumed === undefined
      ? undefined
      : (await checkResumedSettings(resumed, settings, gpu.adapter)).data;
    const network = init === undefined ? settings.model : (await readInitialModel(init, () => {})).config;
    const { path, ...options } = await chooseData(flags, recorded);
    await letRanksRead(communicator);
    const frame = recorded || !network ? {} : frameOf(network);
    const data = await readData({ ...path === undefined ? {} : frame, ...options, path }, () => {});
    const { signal } = interruption;
    const run = {
      ...{ data, gpu, signal, init, communicator, ...otherSettingsOf(flags) },
      ...resumed === undefined ? {} : { out: resumed, resume: true },
    };
    await interruption.during(async () => {
      for await (const _ of train({ ...settings, ...run })) {
        // rank 0 tells of it
      }
    });
    return interruption.exitCode;
  } finally {
    gpu.close();
  }
}
