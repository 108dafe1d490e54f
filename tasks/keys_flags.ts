/**
 * The command line of `deno task keys`.
 *
 * @module
 */
import {
  type ApiKey,
  KEY_NAME,
  KEY_NAME_WORDS,
  type KeyLimits,
  limitRanges,
} from "../server/keys/api_key.ts";
import { defaultSettings } from "../server/settings.ts";
import { commandLine } from "../lib/program.ts";
import { TaskCommand } from "../terminal/cli.ts";
import { checked, integer, path, type Value } from "../terminal/values.ts";

/** What the task does. */
const ACTIONS = ["add", "list", "revoke", "rotate"] as const;

/** A parsed command line. */
export type KeysCommand =
  | { readonly action: "list"; readonly file: string }
  | { readonly action: "revoke" | "rotate"; readonly file: string; readonly name: string }
  | {
    readonly action: "add";
    readonly file: string;
    readonly key: Pick<ApiKey, "name" | "expires" | "admin" | "limits">;
  };

/** Default of `--keys`. */
const DEFAULT_FILE = "keys.json";

/** Notes of the help. */
const notes = () =>
  `\
add NAME     makes a key with limits of its own, and prints it this once
list         lists the keys: names, dates and limits
rotate NAME  gives a key another secret; its limits and jobs stay
revoke NAME  ends a key, and cancels its unfinished jobs

${
    commandLine("keys", ["ACTION", "--help"])
  } lists the options of each. A server that was started with --keys FILE follows the file \
within two seconds. The file holds digests of the keys, from which they cannot be found again.`;

/**
 * Reads the command line.
 *
 * @param now for `--expires`
 */
export function readKeysCommand([action = "", ...args]: readonly string[], now: Date): KeysCommand {
  switch (action) {
    case "add":
      return readAdd(args, now);
    case "list": {
      const { keys: file } = withFile(command("list [options]", "Lists the API keys of a file."))
        .read<{ keys: string }>(args);
      return { action, file };
    }
    case "revoke":
      return {
        action,
        ...readNamed("revoke", "Ends an API key, and cancels its unfinished jobs.", args),
      };
    case "rotate": {
      const about = "Gives an API key another secret, which is printed this once; the old one ends.";
      return { action, ...readNamed("rotate", about, args) };
    }
    default:
      return refuse(action, args);
  }
}

/** Prints help, or an error for an action that does not exist. */
function refuse(action: string, args: readonly string[]): never {
  const about = `Manages the API keys of a server: --keys FILE of \`${commandLine("serve")}\`.`;
  const line = command("ACTION [options]", about).notes(notes());
  line.read(action.startsWith("-") ? [action, ...args] : []);
  const given = action === "" || action.startsWith("-") ? "no action" : `'${action}' is no action`;
  return line.error(`error: ${given}; expected ${ACTIONS.join(", ")}`, { code: "denoise.noAction" });
}

/** Command line of an action. */
function command(usage: string, about: string): TaskCommand {
  return new TaskCommand("keys", about).usage(usage);
}

function withFile(command: TaskCommand): TaskCommand {
  return command.flag("--keys <FILE>", "file of keys", { value: path(), default: DEFAULT_FILE });
}

function readNamed(action: string, about: string, args: readonly string[]) {
  const line = withFile(command(`${action} NAME [options]`, about)).argument(
    "<name>",
    "name of the key",
    nameOf,
  );
  const { keys: file } = line.read<{ keys: string }>(args);
  return { file, name: line.processedArgs[0] as string };
}

function readAdd(args: readonly string[], now: Date): KeysCommand {
  const about =
    "Adds an API key to a file, which is created if it does not exist. The key is printed this once.";
  const line = withFile(command("add NAME [options]", about)).argument("<name>", "name of the key", nameOf);
  const limit = (name: keyof KeyLimits, unit: string, defaultText: string) => {
    return { value: integer(...limitRanges[name]), unit, defaultText };
  };
  const { maxImages, maxJobImages, maxSteps, maxWork } = defaultSettings;
  const { keys: file, expires, admin, ...limits } = line
    .flag(
      "--images <N>",
      "limit on images per request",
      limit("images", "images", `the server's --max-images, ${maxImages}`),
    )
    .flag(
      "--job-images <N>",
      "limit on images per job",
      limit("jobImages", "images", `the server's --max-job-images, ${maxJobImages}`),
    )
    .flag(
      "--steps <N>",
      "limit on steps per request",
      limit("steps", "steps", `the server's --max-steps, ${maxSteps}`),
    )
    .flag(
      "--work <N>",
      "limit on images x steps, twice that with guidance, in progress at once",
      limit("work", "network evaluations", `the server's --max-work, ${maxWork}`),
    )
    .flag(
      "--per-minute <N>",
      "limit on requests for images in any minute",
      limit("perMinute", "requests", "none"),
    )
    .flag("--expires <WHEN>", "when the key ends", { value: expiry(now), defaultText: "never" })
    .switch("--admin", "the key may also read /metrics and reload the model")
    .read<{ keys: string; expires?: string; admin?: true } & KeyLimits>(args);
  const name = line.processedArgs[0] as string;
  return { action: "add", file, key: { name, ...(expires && { expires }), ...(admin && { admin }), limits } };
}

function nameOf(given: string): string {
  return checked(KEY_NAME_WORDS, (text) => KEY_NAME.test(text) ? text : undefined).parse(given);
}

const DAY = 86_400_000;

/** `90d`, or a date or time; a date ends with the day before it in UTC. */
function expiry(now: Date): Value<string> {
  return checked("a number of days such as 90d, or a date in the future such as 2030-01-31", (text) => {
    const days = /^(\d{1,5})d$/.exec(text)?.[1];
    if (days === undefined && !/^\d{4}-\d\d-\d\d(T[\d:.]+Z)?$/.test(text)) return undefined;
    const time = days === undefined ? Date.parse(text) : now.getTime() + Number(days) * DAY;
    return time > now.getTime() ? new Date(time).toISOString() : undefined;
  });
}
