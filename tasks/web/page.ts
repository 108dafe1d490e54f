/**
 * The page of `examples/browser`, with its models, as a static site.
 *
 * @module
 */
import { basename, join, resolve } from "node:path";
import { exportModel } from "../../lib/files/export.ts";
import { trainedModel } from "../../lib/sampling/trained_model.ts";
import { loadPipeline } from "../../lib/files/pipeline.ts";

/** Where the page's sources are, from the project's root, and what else it needs from there. */
const PAGE = "examples/browser";
const ICON = "server/page/icon.svg";

/** A model beside the page, as `models.json` lists it. */
export interface PageModel {
  readonly name: string;
  /** Its directory, from the page. */
  readonly path: string;
  /** In a few words. */
  readonly about: string;
  /** Length of its files. */
  readonly bytes: number;
  readonly classes: readonly string[];
}

/**
 * Copies the page's own files.
 *
 * @param root the project
 * @param out folder of the site, which exists
 */
export async function copyPage(root: string, out: string): Promise<void> {
  for await (const { name, isFile } of Deno.readDir(join(root, PAGE))) {
    if (isFile) await Deno.copyFile(join(root, PAGE, name), join(out, name));
  }
  await Deno.copyFile(join(root, ICON), join(out, "icon.svg"));
}

/**
 * Exports models for the page, their weights in float16, and lists them in the order given.
 *
 * @param models their directories, as {@linkcode exportModel} takes them
 * @param out folder of the site
 * @throws {CheckpointError} for a model that cannot be read
 */
export async function writeModels(models: readonly string[], out: string): Promise<PageModel[]> {
  const listed: PageModel[] = [];
  const onWarning = () => {}; // exporting again would repeat what was said when the model was made
  for (const directory of models) {
    const name = basename(resolve(directory));
    const path = `models/${name}`;
    const { bytes, parameters } = await exportModel(directory, join(out, path), { onWarning });
    const { classes } = await trainedModel(await loadPipeline(join(out, path)), name, "float32", onWarning);
    const millions = (parameters / 1e6).toFixed(parameters < 1e6 ? 2 : 1);
    listed.push({ name, path, about: `${millions} million parameters`, bytes, classes });
  }
  await Deno.writeTextFile(join(out, "models.json"), JSON.stringify(listed, null, 1) + "\n");
  return listed;
}
