/**
 * `deno task train:classifier`: trains the classifier in whose features samples are evaluated.
 *
 * @module
 */
import { inRgb } from "../lib/data/rgb_images.ts";
import { ConfigError } from "../lib/errors.ts";
import type { ClassifierConfig } from "../lib/evaluation/classifier/config.ts";
import { writeClassifier } from "../lib/evaluation/classifier/files.ts";
import {
  CLASSIFIER_DEFAULTS,
  CLASSIFIER_PRESETS,
  type ClassifierPresetName,
} from "../lib/evaluation/classifier/presets.ts";
import { type ClassifierSettings, trainClassifier } from "../lib/evaluation/classifier/training.ts";
import { counted } from "../lib/counted.ts";
import { commandLine } from "../lib/program.ts";
import { TaskCommand } from "../terminal/cli.ts";
import { integer, number, oneOf, path } from "../terminal/values.ts";
import { openTaskGpu } from "../terminal/gpu.ts";
import { Interruption } from "../terminal/interruption.ts";
import { checkWritable } from "../terminal/pictures.ts";
import { createReporter, formatDuration, reporterMode } from "../terminal/progress.ts";
import { runToExit, type Task } from "../terminal/task.ts";
import {
  addDataFlags,
  DATA_FLAG_NAMES,
  type DataFlags,
  imageOptionsIn,
  imageOptionWords,
} from "./data_flags.ts";
import { chooseData, readEvaluationData } from "./run_data.ts";
import { showProgress } from "./train.ts";

interface Flags extends DataFlags {
  preset?: ClassifierPresetName;
  epochs?: number;
  batch: number;
  lr?: number;
  seed: number;
  out: string;
  quiet?: true;
}

const PRESET_NAMES = Object.keys(CLASSIFIER_PRESETS) as ClassifierPresetName[];

/** The command line of `deno task train:classifier`. */
export function classifierCommand(): TaskCommand {
  const epochs = PRESET_NAMES.map((name) => `${CLASSIFIER_PRESETS[name].settings.epochs} for ${name}`).join(
    ", ",
  );
  const rates = PRESET_NAMES.map((name) => `${CLASSIFIER_PRESETS[name].settings.learningRate} for ${name}`)
    .join(", ");
  const command = new TaskCommand(
    "train:classifier",
    `Trains a classifier on CIFAR-10 or on your own images, in whose features \`${
      commandLine("evaluate")
    }\` compares samples.`,
  )
    .flag("--preset <NAME>", "size of the network", {
      value: oneOf(PRESET_NAMES),
      defaultText: "base on a GPU, small on a software adapter",
    });
  return addDataFlags(
    command,
    `images, with a split of test images or a tenth left out, as for \`${commandLine("train")}\``,
  )
    .flag("--epochs <N>", "passes over the images", {
      value: integer(1, 10000),
      unit: "epochs",
      defaultText: epochs,
    })
    .flag("--batch <N>", "images per step", {
      value: integer(1, 4096),
      unit: "images",
      default: CLASSIFIER_DEFAULTS.batch,
    })
    .flag("--lr <F>", "peak learning rate", {
      value: number(0, 1, { above: true }),
      defaultText: rates,
    })
    .flag("--seed <N>", "random seed", { value: integer(0), default: CLASSIFIER_DEFAULTS.seed })
    .flag("--out <DIR>", "directory of the classifier; an old one is replaced", {
      value: path(),
      default: "classifier",
    })
    .switch("--quiet", "print only errors")
    .settingsFile({ name: "train-classifier" });
}

/** Command line that trains the same classifier. */
function commandOf(
  flags: Flags,
  preset: ClassifierPresetName,
  { epochs, batch, learningRate, seed }: ClassifierSettings,
) {
  return commandLine("train:classifier", [
    ...flags.data === undefined ? [] : ["--data", flags.data],
    ...imageOptionWords(imageOptionsIn(flags)),
    ...["--preset", preset, "--epochs", String(epochs), "--batch", String(batch)],
    ...["--lr", String(learningRate), "--seed", String(seed)],
  ]);
}

async function main(args: readonly string[]): Promise<number> {
  const flags = classifierCommand().read<Flags>(args);
  const report = createReporter({ mode: reporterMode(flags) });
  await checkWritable("--out", flags.out, true);
  const interruption = new Interruption(report);
  const gpu = await openTaskGpu();
  try {
    const preset = flags.preset ?? (gpu.adapter.software ? "small" : "base");
    const onProgress = showProgress(report);
    const chosen = await chooseData(flags);
    const onStandIn = (message: string) => report.line(message);
    const data = await readEvaluationData(chosen, onProgress, onStandIn);
    const [train, test] = [inRgb(data.train), inRgb(data.test)];
    report.stop();
    if (train.classes.length < 2) {
      const allowed = "images of two classes or more, such as a folder with a subfolder for each";
      throw new ConfigError("--data", chosen.path ?? "CIFAR-10", allowed);
    }
    if (train.height !== train.width) {
      throw new ConfigError("--size", `${train.height}x${train.width}`, "square images, such as 32");
    }
    const { network, settings: defaults } = CLASSIFIER_PRESETS[preset];
    const config: ClassifierConfig = { imageSize: train.height, classes: train.classes, ...network };
    const { epochs = defaults.epochs, lr: learningRate = defaults.learningRate, batch, seed } = flags;
    const settings = { ...defaults, epochs, learningRate, batch, seed };
    report.line(`classifier ${preset} on ${gpu.adapter.name}: ${train.count} images, ${epochs} epochs`);
    const began = performance.now();
    let label = false;
    await interruption.during(async () => {
      const { signal } = interruption;
      const run = { gpu, config, settings, train, test, signal };
      const trained = await trainClassifier(run, ({ step, totalSteps, loss }) => {
        if (!label) report.start(totalSteps, "training the classifier, steps");
        label = true;
        report.update(step, { loss });
      });
      report.stop();
      const seconds = Math.round((performance.now() - began) / 1000);
      const { tensors, accuracy, step, totalSteps } = trained;
      await writeClassifier(flags.out, config, tensors, {
        command: commandOf(flags, preset, settings),
        adapter: gpu.adapter.name,
        data_digest: train.digest,
        steps: step,
        total_steps: totalSteps,
        seconds,
        test_accuracy: accuracy,
      });
      report.line(
        `${(100 * accuracy).toFixed(2)} % of ${
          counted(test.count, `${data.heldOut} image`)
        } classified right, after ${step} of ` +
          `${totalSteps} steps in ${formatDuration(seconds)}`,
      );
      report.line(
        `classifier: ${flags.out}; use it: ${commandLine("evaluate", ["--classifier", flags.out])}`,
      );
    });
    return interruption.exitCode;
  } finally {
    report.stop();
    gpu.close();
  }
}

/** `deno task train:classifier`. */
export const trainClassifierTask: Task = {
  main,
  flags: {
    epochs: "--epochs",
    batch: "--batch",
    learningRate: "--lr",
    seed: "--seed",
    ...DATA_FLAG_NAMES,
  },
};

if (import.meta.main) await runToExit(trainClassifierTask, Deno.args);
