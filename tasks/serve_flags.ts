/**
 * The command line of `deno task serve`.
 *
 * @module
 */
import { isIP } from "node:net";
import { InvalidArgumentError } from "commander";
import { type SamplerName, samplerNames } from "../lib/diffusion/sampler.ts";
import { PRECISION_HELP } from "../lib/model/precision.ts";
import { TUNE_HELP } from "../lib/tuning/tuning.ts";
import { DEFAULT_STEPS } from "../lib/sampling/request.ts";
import { defaultSettings, type ServerSettings, settingRanges } from "../server/settings.ts";
import { integer, number, oneOf, TaskCommand, text, type Value } from "./terminal/cli.ts";
import { PRECISION_VALUE } from "./terminal/precision.ts";
import { TUNE_OPTIONS } from "./terminal/tuning.ts";

/** What the command line said: the server's settings, without a model where none was named. */
export type ServeFlags = Omit<ServerSettings, "model"> & { readonly model?: string };

const NOTES = `
SIGTERM and SIGINT (Ctrl-C) end the server: requests that wait are answered 503, those under way are finished if they
take no longer than --grace; a second signal ends it at once.
SIGHUP reads the model again, and keeps the old one where that fails.`;

/** Two rows are what an image with guidance takes: with one, only images without it could be drawn. */
const LEAST_BATCH = 2;

/** Reads the command line. */
export function readServeFlags(args: readonly string[]): ServeFlags {
  const { port, maxBatch, queue, timeout, grace, steps, guidance, maxImages, maxSteps, maxWork } =
    settingRanges;
  return new TaskCommand("serve", "Serves images of a trained model over HTTP, and a page to draw them on.")
    .flag("--model <DIR>", "a run directory, or a diffusers directory", {
      value: text(),
      defaultText: "the newest run under runs/, else the project's own checkpoints/cifar10",
    })
    .flag("--host <ADDRESS>", "address or name to listen on; 0.0.0.0 for all of the machine's", {
      value: host(),
      default: defaultSettings.host,
    })
    .flag("--port <N>", "port to listen on, 0 for any that is free", {
      value: integer(...port),
      default: defaultSettings.port,
    })
    .flag("--max-batch <N>", "size of the running batch; an image with guidance takes two rows", {
      value: integer(LEAST_BATCH, maxBatch[1]),
      unit: "network rows",
      default: defaultSettings.maxBatch,
    })
    .flag("--queue <N>", "requests that may wait; those beyond are answered 503", {
      value: integer(...queue),
      unit: "requests",
      default: defaultSettings.queue,
    })
    .flag("--timeout <S>", "what a request may take, waiting included, before it is answered 504", {
      value: number(...timeout),
      unit: "seconds",
      default: defaultSettings.timeout,
    })
    .flag("--grace <S>", "what requests under way have left when the server is to end", {
      value: number(...grace),
      unit: "seconds",
      default: defaultSettings.grace,
    })
    .flag("--steps <N>", "network evaluations an image, where a request does not say", {
      value: integer(...steps),
      unit: "steps",
      defaultText: `${DEFAULT_STEPS}; with ddpm all of the model's`,
    })
    .flag("--sampler <NAME>", "how noise is removed, where a request does not say", {
      value: oneOf<SamplerName>(samplerNames),
      default: defaultSettings.sampler,
    })
    .flag("--guidance <F>", "scale of classifier-free guidance, where a request does not say; 1 for none", {
      value: number(...guidance),
      defaultText: "2, or 1 without a class",
    })
    .flag(
      "--token-file <FILE>",
      "ask requests for the bearer token in the first line of this file, which nobody else may write",
      {
        value: text(),
        defaultText: "no token is asked for",
      },
    )
    .flag(
      "--cors <ORIGIN>",
      "let pages of this origin call the server, * for any; those of other sites stay refused",
      {
        value: origin(),
        defaultText: "only the server's own page",
      },
    )
    .flag(
      "--public-url <URL>",
      "where clients reach the server: links of /v1 begin so, and its name is taken in Host",
      {
        value: publicUrl(),
        defaultText: "the address that the request went to",
      },
    )
    .flag(
      "--trusted-proxy <ADDRESSES>",
      "proxies whose X-Forwarded-For tells clients apart, commas between",
      {
        value: addresses(),
        defaultText: "none; clients are told apart by their connections",
      },
    )
    .flag("--max-images <N>", "images that one request may ask for", {
      value: integer(...maxImages),
      unit: "images",
      default: defaultSettings.maxImages,
    })
    .flag("--max-steps <N>", "steps that a request may ask for", {
      value: integer(...maxSteps),
      unit: "steps",
      defaultText: "the model's",
    })
    .flag("--max-work <N>", "images x steps, twice that with guidance, that one client may have under way", {
      value: integer(...maxWork),
      unit: "network evaluations",
      default: defaultSettings.maxWork,
    })
    .flag("--precision <TYPE>", PRECISION_HELP, {
      value: PRECISION_VALUE,
      default: defaultSettings.precision,
    })
    .flag(
      "--tune <WHEN>",
      `${TUNE_HELP}; the choices differ in how they round, so a seed's image is the same to the bit while they are kept`,
      TUNE_OPTIONS,
    )
    .addHelpText("after", NOTES)
    .read<ServeFlags>(args);
}

/** A name or an IP address; brackets around version 6 may be left out. */
function host(): Value<string> {
  return value("a host name or an IP address", (text) => {
    const bare = text.replace(/^\[(.*)\]$/, "$1");
    return /^[a-z\d]([a-z\d.-]*[a-z\d])?$/i.test(bare) || /^[\da-f]*:[\da-f:.]*$/i.test(bare)
      ? bare
      : undefined;
  });
}

/** `https://example.org:8443`, or `*`. */
function origin(): Value<string> {
  return value("an origin such as https://example.org, or *", (text) => {
    if (text === "*") return text;
    if (!/^https?:$/.test(URL.parse(text)?.protocol ?? "")) return undefined;
    const { origin } = new URL(text);
    return text === origin || text === `${origin}/` ? origin : undefined;
  });
}

/** `https://example.org/images`, below which the server's paths are. */
function publicUrl(): Value<string> {
  return value("a URL such as https://example.org/images", (text) => {
    const url = URL.parse(text);
    if (!url || !/^https?:$/.test(url.protocol) || url.search || url.hash) return undefined;
    return url.href;
  });
}

/** `10.0.0.2,fd00::2` */
function addresses(): Value<string[]> {
  return value("IP addresses with commas between", (text) => {
    const all = text.split(",").map((part) => part.trim().replace(/^\[(.*)\]$/, "$1"));
    return all.every((one) => isIP(one) !== 0) ? all : undefined;
  });
}

function value<T>(allowed: string, read: (text: string) => T | undefined): Value<T> {
  const parse = (text: string): T => {
    const value = read(text);
    if (value === undefined) throw new InvalidArgumentError(`Allowed: ${allowed}.`);
    return value;
  };
  return { allowed, parse };
}
