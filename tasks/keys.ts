/**
 * `deno task keys`: manages the file of API keys that `deno task serve --keys FILE` follows.
 *
 * @module
 */
import { ConfigError } from "../lib/errors.ts";
import { withFileLock } from "../lib/files/directory_lock.ts";
import { writeDurable } from "../lib/files/durable.ts";
import { commandLine } from "../lib/program.ts";
import { type ApiKey, createKey, hasExpired, rotateKey } from "../server/keys/api_key.ts";
import { keyFileText, MOST_KEYS, readKeyFile } from "../server/keys/key_file.ts";
import { complain, standardOutput } from "../terminal/output.ts";
import { runToExit, type Task } from "../terminal/task.ts";
import { type KeysCommand, readKeysCommand } from "./keys_flags.ts";

async function main(args: readonly string[]): Promise<void> {
  const now = new Date();
  const command = readKeysCommand(args, now);
  const { file } = command;
  if (command.action === "list") {
    return standardOutput().write(listOf(await readKeys(file, await statOf(file)), now));
  }
  // For a file that must be there and is not, the lock would make a folder.
  if (command.action !== "add") await readKeys(file, await statOf(file));
  // Between reading and writing, no other command may write.
  const { secret, said } = await withFileLock(`${await targetOf(file)}.lock`, async () => {
    const present = await statOf(file);
    const result = change(command, await readKeys(file, present, command.action === "add"), now);
    await write(file, result.changed, present);
    return result;
  });
  for (const line of said) complain(line);
  if (secret !== undefined) standardOutput().write(`${secret}\n`);
}

/** Reads the keys: none where the file may be missing, and is. */
async function readKeys(
  file: string,
  present: Deno.FileInfo | undefined,
  mayBeMissing = false,
): Promise<readonly ApiKey[]> {
  if (present) return await readKeyFile(file);
  if (mayBeMissing) return [];
  const add = commandLine("keys", ["add", "NAME", "--keys", file]);
  throw new ConfigError("--keys", file, `a file that exists; \`${add}\` makes it`);
}

/** The keys after a command, the secret that it made, and what it says. */
interface Change {
  readonly changed: readonly ApiKey[];
  readonly secret?: string;
  readonly said: readonly string[];
}

function change(
  command: Exclude<KeysCommand, { action: "list" }>,
  keys: readonly ApiKey[],
  now: Date,
): Change {
  if (command.action === "add") {
    const { name } = command.key;
    if (keys.some((key) => key.name === name)) {
      throw new ConfigError(
        "NAME",
        name,
        `a name that no key has; \`${commandLine("keys", ["rotate", name])}\` gives a key another secret`,
      );
    }
    if (keys.length >= MOST_KEYS) {
      throw new ConfigError("NAME", name, `no more than ${MOST_KEYS} keys in a file`);
    }
    const { key, secret } = createKey({ ...command.key, now });
    return { changed: [...keys, key], secret, said: [`the key of ${name}, which is shown only now:`] };
  }
  const { action, name, file } = command;
  const key = keys.find((key) => key.name === name);
  if (!key) {
    const names = keys.map(({ name }) => name).join(", ");
    throw new ConfigError("NAME", name, `the name of a key in ${file} (${names || "it has none"})`);
  }
  if (action === "revoke") {
    return { changed: keys.filter((one) => one !== key), said: [`${name} is revoked`] };
  }
  const { key: rotated, secret } = rotateKey(key, now);
  const changed = keys.map((one) => one === key ? rotated : one);
  return { changed, secret, said: [`the new key of ${name}, which is shown only now:`] };
}

async function statOf(file: string): Promise<Deno.FileInfo | undefined> {
  try {
    return await Deno.stat(file);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw new ConfigError("--keys", file, `a file that can be read (${(error as Error).message})`);
  }
}

/** The file that a link leads to. */
async function targetOf(file: string): Promise<string> {
  return await Deno.realPath(file).catch(() => file);
}

/** Replaces the file; its permissions and owner stay, since the server may run as another user than this. */
async function write(
  file: string,
  keys: readonly ApiKey[],
  present: Deno.FileInfo | undefined,
): Promise<void> {
  const path = await targetOf(file); // a link stays one
  const mode = (present?.mode ?? 0o600) & 0o777;
  await writeDurable(path, new TextEncoder().encode(keyFileText(keys)), { mode });
  if (!present || present.uid === null) return;
  const { uid } = await Deno.stat(path);
  if (uid !== present.uid) await Deno.chown(path, present.uid, present.gid);
}

/** A table of the keys. */
function listOf(keys: readonly ApiKey[], now: Date): string {
  if (keys.length === 0) return "no keys\n";
  const rows = keys.map((key) => [
    key.name,
    key.created.slice(0, 10),
    key.expires === undefined
      ? "never"
      : `${key.expires.slice(0, 10)}${hasExpired(key, now.getTime()) ? " (expired)" : ""}`,
    [...key.admin ? ["admin"] : [], ...limitWords(key)].join(", ") || "those of the server",
  ]);
  const table = [["name", "created", "expires", "limits"], ...rows];
  const widths = [0, 1, 2].map((column) => Math.max(...table.map((row) => row[column]!.length)));
  return table.map((row) =>
    row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join("  ").trimEnd() + "\n"
  ).join("");
}

function limitWords({ limits: { images, jobImages, steps, work, perMinute } }: ApiKey): string[] {
  return Object.entries({
    [`${images} images`]: images,
    [`${jobImages} images a job`]: jobImages,
    [`${steps} steps`]: steps,
    [`${work} evaluations at once`]: work,
    [`${perMinute} requests a minute`]: perMinute,
  }).flatMap(([words, limit]) => limit === undefined ? [] : [words]);
}

/** `deno task keys`. */
export const keysTask: Task = { main };

if (import.meta.main) await runToExit(keysTask, Deno.args);
