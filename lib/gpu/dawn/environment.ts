/**
 * Environment variables that select a backend.
 *
 * @module
 */

/** An environment variable; undefined if it is unset or empty, or may not be read. */
export function environment(variable: string): string | undefined {
  // Query first, because reading would prompt for the permission.
  if (Deno.permissions.querySync({ name: "env", variable }).state !== "granted") return undefined;
  return Deno.env.get(variable) || undefined;
}
