/**
 * The file of API keys: JSON, written by `deno task keys` and read by the server.
 *
 * @module
 */
import { z } from "zod";
import { ConfigError } from "../../lib/errors.ts";
import { commandLine } from "../../lib/program.ts";
import { readPrivateFile } from "../private_file.ts";
import { type ApiKey, KEY_NAME, KEY_NAME_WORDS, type KeyLimits, limitRanges } from "./api_key.ts";

/** Version of the format. */
const VERSION = 1;
/** Maximum number of keys, which bounds the time of a comparison with all, and the metrics by key. */
export const MOST_KEYS = 1000;
/** Maximum size of the file in bytes; {@linkcode MOST_KEYS} take a third of it. */
const MOST_BYTES = 2 ** 20;

const limit = (name: keyof KeyLimits) => {
  const [least, most] = limitRanges[name];
  const error = `expected a whole number from ${least} to ${most}`;
  return z.int({ error }).min(least, { error }).max(most, { error }).optional();
};
const time = z.iso.datetime({ error: "expected a time such as 2027-01-31T00:00:00Z" });

const keySchema = z.strictObject({
  name: z.string().regex(KEY_NAME, `expected ${KEY_NAME_WORDS}`),
  id: z.string().regex(/^[0-9a-f]{16}$/, "expected 16 hexadecimal digits"),
  sha256: z.string().regex(/^[0-9a-f]{64}$/, "expected 64 hexadecimal digits"),
  created: time,
  expires: time.optional(),
  admin: z.literal(true, { error: "expected true, or no such member" }).optional(),
  limits: z.strictObject({
    images: limit("images"),
    jobImages: limit("jobImages"),
    steps: limit("steps"),
    work: limit("work"),
    perMinute: limit("perMinute"),
  }),
});

const fileSchema = z.strictObject({
  version: z.literal(VERSION, { error: `expected ${VERSION}` }),
  keys: z.array(keySchema).max(MOST_KEYS, `expected at most ${MOST_KEYS} keys`),
});

/**
 * Reads the keys.
 *
 * @throws {ConfigError} when the file is unreadable, writable by others or malformed; the message has nothing of its content
 */
export async function readKeyFile(path: string): Promise<readonly ApiKey[]> {
  const { text, longer } = await readPrivateFile("--keys", path, MOST_BYTES);
  if (longer) throw new ConfigError("--keys", path, `a file of at most ${MOST_BYTES} bytes`);
  return parseKeyFile(text, path);
}

/** @throws {ConfigError} naming the members that are wrong */
export function parseKeyFile(text: string, path: string): readonly ApiKey[] {
  const refuse = (why: string): never => {
    const made = `a file that \`${commandLine("keys", ["add", "NAME", "--keys", path])}\` has made`;
    throw new ConfigError("--keys", path, `${made} (${why})`);
  };
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return refuse("it is not JSON");
  }
  const { success, data, error } = fileSchema.safeParse(value);
  if (!success) {
    return refuse(
      error.issues.slice(0, 3).map(({ path, message }) =>
        [path.join("."), message].filter(Boolean).join(": ")
      )
        .join("; "),
    );
  }
  for (const member of ["name", "id", "sha256"] as const) {
    const values = data.keys.map((key) => key[member]);
    if (new Set(values).size < values.length) refuse(`two keys have the same ${member}`);
  }
  return data.keys;
}

/** The file's content for keys. */
export function keyFileText(keys: readonly ApiKey[]): string {
  return `${JSON.stringify({ version: VERSION, keys }, null, 2)}\n`;
}
