/**
 * Startup message on the terminal.
 *
 * @module
 */
import { printable, shellQuote } from "../lib/shell.ts";
import type { ServedModel } from "./engine/engine.ts";
import type { ServerSettings } from "./settings.ts";

/** URL of a server on this machine. */
export function serverUrl({ hostname, port }: Pick<Deno.NetAddr, "hostname" | "port">): string {
  // The unspecified addresses listen on all interfaces, but cannot be connected to everywhere.
  const host = hostname === "0.0.0.0" || hostname === "::" ? "localhost" : hostname;
  return `http://${host.includes(":") ? `[${host}]` : host}:${port}`;
}

/** URL, model, adapter and an example command, one line each. */
export function greeting(
  url: string,
  model: ServedModel,
  { tokenFile, keys, models = [] }:
    & Pick<ServerSettings, "tokenFile" | "keys">
    & Partial<Pick<ServerSettings, "models">>,
): string[] {
  const { id, path, guide, height, width, parameters, classes, adapter, precision } = model;
  const about = [
    path,
    `${width} x ${height}`,
    `${parameters.toLocaleString("en")} parameters`,
    classes.length === 0 ? "unconditional" : `${classes.length} classes`,
  ];
  const name = classes.includes("cat") ? "cat" : classes[0];
  const query = name === undefined ? "" : `?class=${encodeURIComponent(name.toWellFormed())}`;
  const token = tokenFile !== undefined
    ? `$(head -n 1 ${shellQuote(tokenFile)})`
    : keys !== undefined
    ? "$KEY"
    : undefined;
  const header = token === undefined ? "" : ` -H "Authorization: Bearer ${token}"`;
  return [
    `address  ${url}`,
    `model    ${id} (${about.join(", ")})`,
    ...(models.length < 2 ? [] : [`models   ${models.map(({ name }) => name).join(", ")}`]),
    ...(guide === undefined ? [] : [`guide    ${guide}`]),
    `adapter  ${adapter}${precision === "mixed" ? ", in mixed precision" : ""}`,
    `try      curl${header} -fo image.png ${shellQuote(`${url}/generate${query}`)}`,
  ].map((line) => printable(line).replaceAll("\n", "\\n"));
}
