/** The warning that every model written elsewhere gives, whose weights hold no digests of its JSON files. */
export function isDigestWarning(message: string): boolean {
  return message.endsWith(
    ": its weights hold no digests of its JSON files, so a change in those would go unnoticed; `deno task export` " +
      "writes a copy that has them",
  );
}

/** A listener of warnings that passes all others on. */
export function exceptDigests(onWarning: (message: string) => void): (message: string) => void {
  return (message) => isDigestWarning(message) || onWarning(message);
}
