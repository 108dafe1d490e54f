/** Prints the directory of a URL's model, as a task finds it. */
import { modelFromUrl } from "../../tasks/remote_model.ts";

console.log(await modelFromUrl(Deno.args[0]!));
