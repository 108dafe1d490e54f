/**
 * Runs a notebook from top to bottom, with Jupyter's nbconvert and Deno's kernel.
 *
 * @module
 */
import { delimiter, join } from "node:path";
import { fileURLToPath } from "node:url";
import { DenoiseError } from "../../lib/errors.ts";
import { type Notebook, readNotebook, withoutTraces } from "./notebook_file.ts";

const NBCONVERT = "jupyter-nbconvert";
/** Debian's packages of what is needed. */
const PACKAGES = "jupyter-nbconvert jupyter-client python3-nbclient";

const CONFIG = fileURLToPath(new URL("nbconvert_config.py", import.meta.url));

/** Seconds that a cell may take. */
const CELL_SECONDS = 1200;

/**
 * Runs all cells, in the notebook's folder. The kernel is installed for this call alone: Jupyter's folders of the user are
 * neither read nor changed.
 *
 * @returns the notebook with its outputs, without traces of the machine
 * @throws {DenoiseError} if a cell throws, or nbconvert is missing
 */
export async function executeNotebook(file: string): Promise<Notebook> {
  const folder = await Deno.makeTempDir({ prefix: "denoise-notebook-" });
  try {
    const kernels = await installKernel(join(folder, "home"));
    const env = {
      JUPYTER_PATH: kernels.join(delimiter),
      JUPYTER_CONFIG_DIR: join(folder, "config"),
      JUPYTER_DATA_DIR: join(folder, "data"),
      JUPYTER_RUNTIME_DIR: join(folder, "runtime"),
      IPYTHONDIR: join(folder, "ipython"),
      NO_COLOR: "1",
    };
    // Cells are run by the preprocessor of the configuration.
    const execution = [`--config=${CONFIG}`, `--ExecutePreprocessor.timeout=${CELL_SECONDS}`];
    const output = ["--to=notebook", `--output-dir=${folder}`, "--output=executed.ipynb"];
    await run(NBCONVERT, [...execution, ...output, file], env);
    return withoutTraces(await readNotebook(join(folder, "executed.ipynb")));
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/**
 * Installs Deno's kernel below a folder, as a user does.
 *
 * @param home in place of the user's own
 * @returns where Jupyter may find it; the place depends on the system
 */
async function installKernel(home: string): Promise<string[]> {
  await Deno.mkdir(home);
  const data = join(home, ".local/share");
  const env = { HOME: home, APPDATA: home, XDG_DATA_HOME: data, DENO_DIR: join(home, "deno"), NO_COLOR: "1" };
  await run(Deno.execPath(), ["jupyter", "--install"], env);
  return [data, join(home, "Library"), home].map((place) => join(place, "jupyter"));
}

/** @throws {DenoiseError} with the end of its messages if a program fails, or is not there */
async function run(
  program: string,
  args: readonly string[],
  env: Readonly<Record<string, string>>,
): Promise<void> {
  const command = new Deno.Command(program, { args: [...args], env, stdout: "null", stderr: "piped" });
  let output: Deno.CommandOutput;
  try {
    output = await command.output();
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
    throw new DenoiseError(`${program} was not found; on Debian and Ubuntu: apt-get install ${PACKAGES}`);
  }
  if (output.success) return;
  const messages = new TextDecoder().decode(output.stderr).trimEnd();
  // From the cell on, if one has thrown: what comes before is nbconvert's own stack.
  const at = messages.indexOf("An error occurred while executing the following cell");
  throw new DenoiseError(at < 0 ? messages.split("\n").slice(-12).join("\n") : messages.slice(at));
}
