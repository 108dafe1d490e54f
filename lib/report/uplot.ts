/**
 * uPlot, the charts of a report, as text to be inlined.
 *
 * @module
 */

/**
 * The package. Imported by its constant, so that it is fetched when the first report is written: Deno fetches the packages of a literal
 * import() when the program starts.
 */
export const UPLOT: string = "npm:uplot@1.6.32";

/** Script and style sheet of uPlot; the script defines `uPlot`. */
export interface ChartLibrary {
  readonly script: string;
  readonly style: string;
}

let library: Promise<ChartLibrary> | undefined;

/** Reads uPlot from Deno's cache of packages, into which the first call fetches it (0.5 MB). */
export async function readChartLibrary(): Promise<ChartLibrary> {
  library ??= read();
  try {
    return await library;
  } catch (error) {
    library = undefined; // perhaps the network comes back
    throw error;
  }
}

async function read(): Promise<ChartLibrary> {
  // Importing one file of a package fetches it; import.meta.resolve then gives paths to its other files.
  await import(`${UPLOT}/package.json`, { with: { type: "json" } });
  const file = (name: string) => Deno.readTextFile(new URL(import.meta.resolve(`${UPLOT}/dist/${name}`)));
  return { script: await file("uPlot.iife.min.js"), style: await file("uPlot.min.css") };
}
