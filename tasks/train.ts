/**
 * `deno task train`: trains a model on CIFAR-10 or on your own images.
 *
 * @module
 */
import { join } from "node:path";
import {
  type DataProgressListener,
  DDPM,
  type EpochRecord,
  type Gpu,
  type ImageDataset,
  type ImageFileOptions,
  joinRanks,
  type MpiCommunicator,
  type Precision,
  settingsSchema,
  train,
} from "../mod.ts";
import { findBatches } from "../lib/data/load_images.ts";
import { framingOf } from "../lib/data/image_options.ts";
import { UNET_WEIGHTS } from "../lib/files/pipeline_files.ts";
import { exists } from "../lib/files/durable.ts";
import { lockDirectory } from "../lib/files/directory_lock.ts";
import { imageSize } from "../lib/model/config.ts";
import { checkPrecision, prepareMatrices } from "../lib/model/precision.ts";
import { commandLine } from "../lib/program.ts";
import { initialSettings } from "../lib/train/initial_model.ts";
import { readInitialModel } from "../lib/train/read_initial_model.ts";
import {
  checkResumedSettings,
  checkRunDirectory,
  DATA_SHEET,
  type RunData,
} from "../lib/train/run_directory.ts";
import type { GridSettings } from "../lib/train/options.ts";
import { checkRanks, settingsOnRanks } from "../lib/train/rank_settings.ts";
import {
  AUTO_SOFTWARE_LIMIT,
  type DataShape,
  resolveSettings,
  type SettingsOptions,
  type TrainSettings,
} from "../lib/train/settings.ts";
import { TUNING_DIRECTORY } from "../lib/tuning/tuning.ts";
import { continueOnBackend } from "../terminal/backend.ts";
import { openTaskGpu } from "../terminal/gpu.ts";
import { Interruption } from "../terminal/interruption.ts";
import { complain, standardOutput } from "../terminal/output.ts";
import { checkWritable, drawOrWarn, isNewer, type Picture, warn } from "../terminal/pictures.ts";
import { TaskProfile } from "./profile.ts";
import { createReporter, type Reporter, reporterMode } from "../terminal/progress.ts";
import { drawDataSheet } from "./data_sheet.ts";
import { effectiveSettings } from "./effective_settings.ts";
import { imageOptionsIn } from "./data_flags.ts";
import { checkResumedImages, chooseData, frameOf, readData } from "./run_data.ts";
import { drawForwardProcess, drawLossCurves, drawReverseProcess } from "./run_pictures.ts";
import { checkOutsideData } from "./outside_data.ts";
import { fetchNamedModel, shippedDirectory } from "./remote_model.ts";
import { discardEmptyRun, makeRunDirectory, RUNS, runToResume, secondModel } from "./runs.ts";
import { RunReport } from "./run_report.ts";
import { followFirst, letRanksRead, tellRanks, watchRanks } from "./train_ranks.ts";
import { FLAG_OF, type Flags, otherSettingsOf, readFlags, settingsOf } from "./train_flags.ts";
import { openTensorBoard } from "./tensorboard.ts";
import { TrainingReport } from "./training_report.ts";
import { showTuning } from "../terminal/tuning.ts";
import { runToExit, type Task } from "../terminal/task.ts";

async function main(args: readonly string[]): Promise<number> {
  const flags = readFlags(args);
  if (flags.printSchema) {
    standardOutput().write(JSON.stringify(settingsSchema(), null, 2) + "\n");
    return 0;
  }
  await fetchNamedModel(flags.init);
  const { evaluationSamples = 0 } = otherSettingsOf(flags);
  const needsClassifier = evaluationSamples > 0 && !flags.printSettings;
  const classifier = needsClassifier ? await shippedDirectory("classifier") : undefined;
  const ended = await continueOnBackend("train", args, flags.backend);
  if (ended !== undefined) return ended;
  const communicator = flags.printSettings ? undefined : await joinRanks();
  if (communicator) await watchRanks(communicator, flags.rankTimeout);
  const code = communicator && communicator.rank > 0
    ? await followFirst(communicator, flags).catch((error) => {
      complain(`rank ${communicator.rank}:`);
      throw error;
    })
    : await lead(flags, classifier, communicator);
  await communicator?.close();
  return code;
}

/** Trains, or leads the ranks that train; says how it goes. */
async function lead(
  flags: Flags,
  classifier: string | undefined,
  communicator: MpiCommunicator | undefined,
): Promise<number> {
  // A launcher shows the output of ranks as lines, even where it gives them a terminal.
  const mode = reporterMode(flags);
  const report = createReporter({ mode: communicator && mode === "bar" ? "lines" : mode });
  const settings = await settingsOf(flags);
  const resume = flags.resume !== undefined;
  const given = flags.resume === true ? await runToResume() : flags.resume ?? flags.out;
  const init = await secondModel("--init", flags.init);
  const interruption = new Interruption(report);
  const gpu = await openTaskGpu();
  let made: string | undefined;
  try {
    if (!flags.printSettings) await checkPlaces(flags, given, resume);
    const { recorded, frame, resolved, grids, shape } = await checkSettings(
      gpu,
      settings,
      { init, resumed: resume ? given : undefined, images: imageOptionsIn(flags) },
      (message) => warn(report, message),
    );
    if (recorded) checkResumedImages(flags, recorded);
    checkRanks(communicator, settingsOnRanks(resolved, resume ? resolved : settings, communicator));
    const { path, ...options } = await chooseData(flags, recorded);
    if (flags.printSettings) {
      const { adapter } = gpu;
      const run = {
        ...{ adapter, settings: resolved, shape },
        ...path === undefined ? {} : { data: path },
        ...path === undefined || await findBatches(path) ? {} : { images: { ...frame, ...options } },
        ...resume && given !== undefined ? { resumed: { directory: given, grids: grids ?? {} } } : {},
      };
      const text = flags.printSettings((sourceOf) => effectiveSettings(flags, sourceOf, run));
      standardOutput().write(text);
      return 0;
    }
    await tellRanks(communicator, { resumed: resume ? given! : null });
    const auto = (flags.preset ?? "auto") === "auto" && !flags.config && !flags.init && !resume;
    const profile = await TaskProfile.create(gpu, flags.profile);
    const data = await readData(
      { ...path === undefined ? {} : frame, ...options, path },
      showProgress(report, false),
    );
    report.stop();
    await letRanksRead(communicator);
    if (communicator) report.line(`ranks: ${communicator.size}, by ${communicator.version}`);
    if (gpu.adapter.software && auto) {
      report.line(describeSmallRun(data.labels.length, path === undefined, flags.limit !== undefined));
    }
    const out = given ?? (made = await makeRunDirectory());
    const { backend, tensorboard } = flags;
    const training = new TrainingReport(report, { out, backend, tensorboard });
    const board = tensorboard === undefined
      ? undefined
      : await openTensorBoard(tensorboard, out, resume, report);
    const page = new RunReport(report, out);
    const { signal } = interruption;
    const { tune } = flags;
    const environment = {
      ...{ data, out, gpu, signal, init, resume, classifier, communicator },
      ...otherSettingsOf(flags),
    };
    let history: readonly EpochRecord[] = [];
    let precision: Precision = "float32";
    try {
      await interruption.during(async () => {
        for await (
          const event of train({ ...settings, ...environment, tuningDirectory: TUNING_DIRECTORY })
        ) {
          await training.on(event);
          if (event.type === "data") training.artefacts.push(...await drawSheet(out, data, report));
          await page.on(event);
          await board?.on(event);
          await profile.on(event, report);
          if (event.type === "start") precision = event.settings.precision;
          if (event.type === "end") history = event.history;
        }
      });
    } catch (error) {
      await page.write(); // how far it came, and why it ended
      throw error;
    }
    if (interruption.exitCode === 0) {
      const pictures = await drawPictures({ out, history, data, gpu, report, tune, precision });
      if (await page.write()) pictures.push({ path: page.path, what: "report of the run" });
      report.event({
        type: "artefacts",
        paths: [...training.artefacts, ...pictures.map(({ path }) => path)],
      });
      for (const { path, what } of pictures) report.line(`${what}: ${path}`);
      report.line(`model (a diffusers pipeline directory): ${out}`);
      const [first] = training.classes;
      const chosen = first === undefined ? [] : ["--class", first];
      report.line(`draw images: ${commandLine("sample", ["--model", out, ...chosen])}`);
    } else await page.write();
    training.finish(interruption.exitCode === 0);
    return interruption.exitCode;
  } finally {
    report.stop();
    gpu.close();
    if (made !== undefined) await discardEmptyRun(made);
  }
}

/**
 * Checks the directories of a run: errors that can be found without the data are reported before 139 MB are fetched.
 *
 * @param given directory of the run, if one is named
 */
async function checkPlaces(flags: Flags, given: string | undefined, resume: boolean): Promise<void> {
  if (flags.data !== undefined) {
    await checkOutsideData(resume ? "--resume" : "--out", given ?? RUNS, flags.data);
  }
  if (given !== undefined) {
    await checkRunDirectory(given, resume);
    await checkWritable(resume ? "--resume" : "--out", given, true);
  } else await checkWritable("--out", RUNS, true);
  if (flags.tensorboard !== undefined) await checkWritable("--tensorboard", flags.tensorboard, true);
}

/**
 * Checks settings without the data, and matrix units before a precision is decided.
 *
 * @param origin `init`: directory of the model to start from; `resumed`: directory of the run to resume; `images`: how the
 *   images will be read, as far as it is given
 * @param onWarning called if matrix units fail their check
 * @returns `resolved`: all settings; `recorded` and `grids`: the data set and the settings of sample grids of the run to resume; `frame`:
 *   size and colours of the images, if a network determines them; `shape`: what is known of the images
 * @throws {ConfigError} for a setting out of range, one that cannot change on resume, or an unsupported precision
 * @throws {CheckpointError} if the run cannot be resumed on this device, or the initial model cannot be read
 * @throws {TrainingError} if another process uses the run
 */
export async function checkSettings(
  gpu: Gpu,
  settings: SettingsOptions,
  { init, resumed, images = {} }: {
    readonly init?: string;
    readonly resumed?: string;
    readonly images?: ImageFileOptions;
  },
  onWarning: (message: string) => void,
): Promise<CheckedSettings> {
  await prepareMatrices(gpu, settings.precision, onWarning);
  if (resumed !== undefined) {
    // train() takes the lock for the whole run; this reports a run in use before the data is read.
    (await lockDirectory(resumed)).release();
    const { data, settings: resolved, grids } = await checkResumedSettings(resumed, settings, gpu.adapter);
    const [height, width] = imageSize(resolved.model);
    return { resolved, recorded: data, grids, frame: {}, shape: { height, width } };
  }
  // Its warnings come with the run.
  const initial = init === undefined ? undefined : await readInitialModel(init, () => {});
  const network = initial?.config ?? settings.model;
  const frame = network ? frameOf(network) : {};
  const data = { ...framingOf({ ...frame, ...images }), classes: 10 };
  const given = initial ? initialSettings(settings, initial, data) : settings;
  const resolved = resolveSettings(given, gpu.adapter, data);
  checkPrecision(gpu.adapter, resolved.precision);
  return { resolved, frame, shape: data };
}

/** Settings that were checked without the images. */
interface CheckedSettings {
  readonly resolved: TrainSettings;
  readonly recorded?: RunData;
  readonly grids?: GridSettings;
  readonly frame: ImageFileOptions;
  readonly shape: Pick<DataShape, "height" | "width">;
}

/**
 * Describes the default run without a GPU.
 *
 * @param images images of the data set
 * @param isCifar10 true for CIFAR-10, whose time on a GPU is known
 * @param isLimited true if the number of images was chosen
 */
export function describeSmallRun(images: number, isCifar10: boolean, isLimited = false): string {
  const some = images > AUTO_SOFTWARE_LIMIT && !isLimited
    ? ` on ${AUTO_SOFTWARE_LIMIT} images unless --limit says otherwise`
    : "";
  const time = isCifar10 ? " (half an hour for CIFAR-10 on an H200)" : "";
  return `No GPU found: training the preset tiny${some}. --preset small gives better images, but needs a GPU${time}.`;
}

/**
 * Shows the progress of reading the data.
 *
 * @param withNotes false if the summary of the data will show its notes
 */
export function showProgress(report: Reporter, withNotes = true): DataProgressListener {
  let shown: string | undefined;
  return ({ message, done = 0, total, note }) => {
    if (note && !withNotes) return;
    if (total === undefined) {
      report.stop();
      report.line(message);
      return;
    }
    if (message !== shown || done === 0) report.start(total, message); // again for another split
    shown = message;
    report.update(done);
  };
}

/** Draws the contact sheet of the data, unless an earlier process of the run has drawn it; a failure is a warning. */
async function drawSheet(out: string, data: ImageDataset, report: Reporter): Promise<string[]> {
  const path = join(out, DATA_SHEET);
  if (await exists(path)) return [];
  const pictures = await drawOrWarn(report, path, () => drawDataSheet(path, data));
  for (const { path, what } of pictures) report.line(`  ${"sheet".padEnd(8)}${path} (${what})`);
  return pictures.map(({ path }) => path);
}

/** Draws the pictures at the end of a run, except those that are up to date; a failure is a warning. */
async function drawPictures({ out, history, data, gpu, report, tune, precision }: {
  out: string;
  history: readonly EpochRecord[];
  data: ImageDataset;
  gpu: Gpu;
  report: Reporter;
  tune: Flags["tune"];
  /** The run's precision, so that its tuned kernels are reused. */
  precision: Precision;
}): Promise<Picture[]> {
  const [loss, forward, reverse, animation] = [
    join(out, "loss.png"),
    join(out, "forward.png"),
    join(out, "reverse.png"),
    join(out, "reverse.gif"),
  ] as const;
  const weights = join(out, UNET_WEIGHTS);
  const current = async (...paths: string[]) => {
    const newer = await Promise.all(paths.map((path) => isNewer(path, weights)));
    return newer.every(Boolean);
  };
  const pictures = await current(loss)
    ? []
    : await drawOrWarn(report, loss, () => drawLossCurves(out, history));
  const [forwardThere, reverseThere] = [await current(forward), await current(reverse, animation)];
  if (forwardThere && reverseThere) return pictures;
  const processes = await drawOrWarn(report, "pictures of the forward and reverse process", async () => {
    const model = await DDPM.load(out, {
      gpu,
      tune,
      precision,
      tuningDirectory: TUNING_DIRECTORY,
      onWarning: (message) => warn(report, message),
      onTuning: showTuning(report),
    });
    const { schedule } = model;
    const drawn = [
      ...forwardThere ? [] : await drawOrWarn(report, forward, () => drawForwardProcess(out, schedule, data)),
      ...reverseThere ? [] : await drawOrWarn(report, reverse, () => drawReverseProcess(out, model, report)),
    ];
    await model.close();
    return drawn;
  });
  return [...pictures, ...processes];
}

/** `deno task train`. */
export const trainTask: Task = { main, flags: FLAG_OF };

if (import.meta.main) await runToExit(trainTask, Deno.args);
