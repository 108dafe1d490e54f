/**
 * Child process of durable_test.ts: writes a directory or a file, stops in the middle until its standard input ends, and goes on.
 * Arguments: `directory` or `file`, and the path.
 */
import { writeDirectoryDurable, writeDurable } from "../../../lib/files/durable.ts";

const [kind, path] = Deno.args;
const bytes = new TextEncoder().encode("whole");
let stopped = false;
const onPhase = async (phase: string) => {
  if (phase !== "sync" || stopped) return;
  stopped = true;
  console.log("writing");
  await new Response(Deno.stdin.readable).text();
};
await (kind === "file"
  ? writeDurable(path, bytes, { onPhase })
  : writeDirectoryDurable(path, new Map([["a", bytes], ["deep/b", bytes]]), { onPhase }));
