import { packTar } from "modern-tar";
import { makeTarGz, member, writeFiles } from "./synthetic.ts";
import { zipOf } from "./torch_files.ts";

/** Files by path. */
export type Files = Readonly<Record<string, Uint8Array<ArrayBuffer>>>;

/** Ways in which a data set lies on the disk. */
export const CONTAINERS = ["folder", "zip", "deflated zip", "tar", "tar.gz"] as const;

/**
 * Writes files as a folder, or as an archive of one.
 *
 * @returns the path of the folder or archive, called `pets` and an extension
 */
export async function writeContainer(
  folder: string,
  container: typeof CONTAINERS[number],
  files: Files,
): Promise<string> {
  const path = `${folder}/pets${container === "folder" ? "" : `.${container.replace("deflated ", "")}`}`;
  const inTop = Object.fromEntries(Object.entries(files).map(([name, bytes]) => [`pets/${name}`, bytes]));
  const entries = Object.entries(inTop).map(([name, bytes]) => member(name, bytes));
  switch (container) {
    case "folder":
      await Deno.mkdir(path);
      await writeFiles(path, files);
      return path;
    case "zip":
    case "deflated zip":
      await Deno.writeFile(path, zipOf(inTop, container === "zip" ? 0 : 8));
      return path;
    case "tar":
      await Deno.writeFile(path, await packTar(entries));
      return path;
    case "tar.gz":
      await Deno.writeFile(path, await makeTarGz(entries));
      return path;
  }
}
