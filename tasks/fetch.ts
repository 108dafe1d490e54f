/**
 * `deno task fetch`: copies a model from a URL to the cache, from which the other tasks read it.
 *
 * @module
 */
import { fetchModel, MODEL_CACHE } from "../lib/remote/fetch_model.ts";
import { findShippedModel, namesShippedModel, type ShippedName } from "../lib/remote/shipped_models.ts";
import { TaskCommand } from "../terminal/cli.ts";
import { text } from "../terminal/values.ts";
import { createReporter, type Reporter, reporterMode } from "../terminal/progress.ts";
import { runToExit, type Task } from "../terminal/task.ts";
import { VARIANT_HELP } from "./runs.ts";

interface Flags {
  model: string;
  variant?: string;
  reload?: true;
  quiet?: true;
}

const NOTES = `\
With #sha256=… at its end, a URL names weights of that digest only. An interrupted download goes on when called again.`;

function readFlags(args: readonly string[]): Flags {
  return new TaskCommand("fetch", `Fetches a model from a URL into ${MODEL_CACHE}/.`)
    .flag(
      "--model <URL>",
      "a directory or a file of weights, as --model of the other tasks takes it, or the name of one of the project's models",
      {
        value: text(),
        required: true,
      },
    )
    .flag("--variant <NAME>", VARIANT_HELP, {
      value: text(),
      defaultText: "the one in full precision, else the most precise",
    })
    .switch("--reload", "fetch it again, even if it is there already")
    .switch("--quiet", "print only errors")
    .notes(NOTES)
    .read<Flags>(args);
}

async function main(args: readonly string[]): Promise<void> {
  const { model, variant, reload, quiet } = readFlags(args);
  const report = createReporter({ mode: reporterMode({ ...quiet ? { quiet } : {} }) });
  try {
    const options = { variant, reload: reload ?? false, onProgress: progress(report) };
    const place = await namesShippedModel(model)
      ? await findShippedModel(model as ShippedName)
      : { url: model };
    if ("directory" in place) {
      report.line(`${place.directory}: here already`);
      return;
    }
    const { path, sha256, bytes } = await fetchModel(place.url, options);
    report.stop();
    report.line(`${path}: ${(bytes / 1e6).toFixed(1)} MB, SHA-256 of the weights ${sha256}`);
  } finally {
    report.stop();
  }
}

/** Progress callback with a bar for each file whose size is known. */
function progress(report: Reporter): (file: string, received: number, total: number | undefined) => void {
  let shown: string | undefined;
  return (file, received, total) => {
    if (total === undefined) return;
    if (shown !== file) {
      report.stop();
      report.start(total, `fetching ${file}, bytes`, received);
    }
    shown = file;
    report.update(received, {});
  };
}

/** `deno task fetch`. */
export const fetchTask: Task = { main, flags: { model: "--model", variant: "--variant" } };

if (import.meta.main) await runToExit(fetchTask, Deno.args);
