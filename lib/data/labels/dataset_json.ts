/**
 * `dataset.json` of StyleGAN and EDM: `{"labels": [["00000/img00000000.png", 6], …]}`, or `"labels": null` without classes.
 *
 * @module
 */

import { checkLabel, type LabelEntries } from "./label_entries.ts";

/** Parses the file; see {@linkcode LabelReader}. */
export function readDatasetJson(text: string, wanted: string | undefined): LabelEntries {
  if (wanted !== undefined && wanted !== "labels") throw new Error(`no column ${wanted}; expected labels`);
  const data: unknown = JSON.parse(text);
  const labels = typeof data === "object" && data !== null && "labels" in data ? data.labels : undefined;
  if (labels === null) return { entries: [], column: undefined, unlabelled: true };
  if (!Array.isArray(labels)) throw new Error("labels: expected a list of pairs [file, label], or null");
  const entries = labels.map((pair: unknown, i) => {
    const where = `labels[${i}]`;
    const [image, label] = Array.isArray(pair) ? pair as unknown[] : [];
    if (typeof image !== "string") throw new Error(`${where}: expected a pair [file, label]`);
    return { image, label: checkLabel(label, where), where };
  });
  return { entries, column: "labels" };
}
