/**
 * Command line of the package: `deno run -A jsr:@denoise/ddpm/cli COMMAND`. Without a command it lists all:
 *
 * ```sh
 * deno run -A jsr:@denoise/ddpm/cli train --data photos --out runs/photos
 * deno run -A jsr:@denoise/ddpm/cli sample --model runs/photos --out samples.png
 * deno run -A jsr:@denoise/ddpm/cli serve --model runs/photos
 * ```
 *
 * @module
 */
import { runCommand } from "./tasks/commands.ts";

await runCommand(Deno.args);
