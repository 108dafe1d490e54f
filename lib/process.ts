/**
 * Permissions of Deno processes, and how processes end.
 *
 * @module
 */
import { ConfigError } from "./errors.ts";

/**
 * Deno's flag for permission to use paths, e.g. `--allow-read=a,b`.
 *
 * @param field name of what the paths come from, for the error
 * @throws {ConfigError} for a path with a comma, which separates paths in the flag
 */
export function permissionFlag(
  permission: "ffi" | "read" | "write",
  paths: readonly string[],
  field = "path",
): string {
  const comma = paths.find((path) => path.includes(","));
  if (comma !== undefined) {
    throw new ConfigError(
      field,
      comma,
      "a path without a comma, which separates paths in Deno's permissions",
    );
  }
  return `--allow-${permission}=${paths.join(",")}`;
}

/** Signals that end a process for a fault in native code. */
export const CRASHES: readonly Deno.Signal[] = ["SIGSEGV", "SIGABRT", "SIGBUS", "SIGFPE", "SIGILL"];

/** How a process ended, e.g. `crashed (SIGABRT)`; with the reason, if it gave one. */
export function describeEnd({ code, signal }: Deno.CommandStatus, reason: string): string {
  const end = signal === null
    ? `ended with exit code ${code}`
    : CRASHES.includes(signal)
    ? `crashed (${signal})`
    : `was ended by ${signal}`;
  return reason === "" ? end : `${end}: ${reason}`;
}
