/**
 * The command line of `deno task serve`.
 *
 * @module
 */
import { isIP } from "node:net";
import { type SamplerName, samplerNames } from "../lib/diffusion/sampler.ts";
import type { Backend } from "../lib/gpu/backend.ts";
import { commandLine } from "../lib/program.ts";
import { PRECISION_HELP } from "../lib/model/precision.ts";
import { TUNE_HELP } from "../lib/tuning/tuning.ts";
import { DEFAULT_SAMPLER, DEFAULT_STEPS } from "../lib/sampling/request.ts";
import { defaultSettings, type ServerSettings, settingRanges } from "../server/settings.ts";
import { parseWebhookHost, webhookHostText } from "../server/jobs/webhooks/target.ts";
import { TaskCommand } from "../terminal/cli.ts";
import {
  checked,
  integer,
  list,
  namedPath,
  number,
  oneOf,
  path,
  text,
  type Value,
} from "../terminal/values.ts";
import { BACKEND_HELP, BACKEND_OPTIONS } from "../terminal/backend.ts";
import { PRECISION_OPTIONS } from "../terminal/precision.ts";
import {
  GUIDE_HELP,
  MODEL_DEFAULT,
  MODEL_HELP,
  modelInFolder,
  modelPath,
  VARIANT_DEFAULT,
  VARIANT_HELP,
} from "./runs.ts";
import { TUNE_OPTIONS } from "../terminal/tuning.ts";
import type { ServedModelFlags } from "./served_models.ts";

/** Parsed command line: the server's settings, with an optional model. */
export type ServeFlags = Omit<ServerSettings, "models" | "dawn"> & ServedModelFlags & {
  readonly backend?: Backend;
};

const NOTES = `\
SIGTERM and SIGINT (Ctrl-C) shut the server down: waiting requests are answered with 503, running ones have --grace \
seconds to finish; a second signal ends it at once.
SIGHUP reloads the models and the guide, and keeps the old ones if that fails.`;

/** An image with guidance takes two rows: with one, only images without it could be drawn. */
const LEAST_BATCH = 2;

/** The command line of `deno task serve`. */
export function serveCommand(): TaskCommand {
  const { port, maxBatch, queue, timeout, grace, steps, guidance, maxImages, maxSteps, maxWork, maxUpload } =
    settingRanges;
  const { maxJobs, maxJobImages, keepJobs, jobStorage, memory } = settingRanges;
  return new TaskCommand("serve", "Serves images from a trained model over HTTP, with a web page.")
    .flag(
      "--model <[NAME=]PATH>",
      `${MODEL_HELP}; requests choose among several by name, which is otherwise the last part of the path, and the first is ` +
        "their default",
      { value: namedPath(modelInFolder), many: true, defaultText: MODEL_DEFAULT },
    )
    .flag("--variant <NAME>", VARIANT_HELP, { value: text(), defaultText: VARIANT_DEFAULT })
    .flag("--guide <PATH>", `${GUIDE_HELP}; it guides the first model`, {
      value: modelPath(),
      defaultText: "none",
    })
    .flag("--memory <N>", "limit on device memory of all models; the least recently used one makes way", {
      value: integer(...memory),
      unit: "MiB",
      defaultText: "three quarters of what is free on a software adapter, else none",
    })
    .flag("--host <ADDRESS>", "address or name to listen on; 0.0.0.0 for all interfaces", {
      value: host(),
      default: defaultSettings.host,
    })
    .flag("--port <N>", "port to listen on, 0 for any free port", {
      value: integer(...port),
      default: defaultSettings.port,
    })
    .flag(
      "--max-batch <N>",
      "size of the running batch of each model; an image with guidance takes two rows",
      {
        value: integer(LEAST_BATCH, maxBatch[1]),
        unit: "network rows",
        default: defaultSettings.maxBatch,
      },
    )
    .flag("--queue <N>", "limit on waiting requests; further ones are answered with 503", {
      value: integer(...queue),
      unit: "requests",
      default: defaultSettings.queue,
    })
    .flag("--timeout <S>", "time limit on a request, waiting included, after which it is answered with 504", {
      value: number(...timeout),
      unit: "seconds",
      default: defaultSettings.timeout,
    })
    .flag("--grace <S>", "time for running requests to finish at shutdown", {
      value: number(...grace),
      unit: "seconds",
      default: defaultSettings.grace,
    })
    .flag("--steps <N>", "default number of network evaluations per image", {
      value: integer(...steps),
      defaultText: `${DEFAULT_STEPS}; with ddpm all of the model's timesteps`,
    })
    .flag("--sampler <NAME>", "default sampling method", {
      value: oneOf<SamplerName>(samplerNames),
      defaultText: `the model's own, else ${DEFAULT_SAMPLER}`,
    })
    .flag("--guidance <F>", "default scale of classifier-free guidance, 1 for none", {
      value: number(...guidance),
      defaultText: "2; 1 without a class",
    })
    .flag(
      "--token-file <FILE>",
      "require the bearer token in the first line of this file, which must not be writable by others",
      {
        value: path(),
        defaultText: "no token is required",
      },
    )
    .flag(
      "--keys <FILE>",
      `require an API key of this file, which \`${
        commandLine("keys")
      }\` makes; changes take effect within seconds`,
      {
        value: path(),
        defaultText: "no keys",
        conflicts: ["tokenFile"],
      },
    )
    .flag(
      "--cors <ORIGIN>",
      "let pages of this origin call the server, * for any; other sites stay refused",
      {
        value: origin(),
        defaultText: "only the server's own page",
      },
    )
    .flag(
      "--public-url <URL>",
      "base URL for clients behind a proxy: links in /v1 start with it, and its name is accepted as Host",
      {
        value: publicUrl(),
        defaultText: "the address that the request went to",
      },
    )
    .flag(
      "--trusted-proxy <ADDRESSES>",
      "proxies whose X-Forwarded-For header identifies clients",
      {
        value: addresses(),
        defaultText: "none; clients are identified by their connections",
      },
    )
    .flag("--max-images <N>", "limit on images per request", {
      value: integer(...maxImages),
      unit: "images",
      default: defaultSettings.maxImages,
    })
    .flag("--max-steps <N>", "limit on steps per request, where the model allows more", {
      value: integer(...maxSteps),
      unit: "steps",
      default: defaultSettings.maxSteps,
    })
    .flag(
      "--max-work <N>",
      "limit per client on images x steps, twice that with guidance, in progress at once",
      {
        value: integer(...maxWork),
        unit: "network evaluations",
        default: defaultSettings.maxWork,
      },
    )
    .flag("--max-upload <N>", "limit on the body of a request with pictures to edit", {
      value: integer(...maxUpload),
      unit: "MiB",
      default: defaultSettings.maxUpload,
    })
    .flag("--jobs <FILE>", "keep jobs (POST /jobs) in this SQLite database, created if it does not exist", {
      value: path(),
      defaultText: "no jobs",
    })
    .flag("--max-jobs <N>", "limit on unfinished jobs, half of them of one client", {
      value: integer(...maxJobs),
      unit: "jobs",
      default: defaultSettings.maxJobs,
    })
    .flag("--max-job-images <N>", "limit on images per job", {
      value: integer(...maxJobImages),
      unit: "images",
      default: defaultSettings.maxJobImages,
    })
    .flag("--keep-jobs <HOURS>", "time that jobs and their images are kept after their end", {
      value: number(...keepJobs),
      unit: "hours",
      default: defaultSettings.keepJobs,
    })
    .flag(
      "--job-storage <N>",
      "limit on the images of all jobs, and on pictures given for unfinished ones; where it is reached, the jobs that ended first are deleted",
      {
        value: integer(...jobStorage),
        unit: "MiB",
        default: defaultSettings.jobStorage,
      },
    )
    .flag(
      "--webhook-hosts <HOSTS>",
      "hosts that webhooks of jobs may go to, with ports where they are not 443; a host with a private address is allowed " +
        "only if that address is listed, too",
      {
        value: webhookHosts(),
        defaultText: "none",
      },
    )
    .flag("--backend <NAME>", BACKEND_HELP, BACKEND_OPTIONS)
    .flag("--precision <TYPE>", PRECISION_HELP, PRECISION_OPTIONS)
    .flag(
      "--tune <WHEN>",
      `${TUNE_HELP}; variants round differently, so a seed's image is bit-identical only with the same choices`,
      TUNE_OPTIONS,
    )
    .settingsFile({ name: "serve" })
    .notes(NOTES);
}

/** Reads the command line. */
export function readServeFlags(args: readonly string[]): ServeFlags {
  return serveCommand().read<ServeFlags>(args);
}

/** A name or an IP address; brackets around IPv6 are optional. */
function host(): Value<string> {
  return checked("a host name or an IP address", (text) => {
    const bare = text.replace(/^\[(.*)\]$/, "$1");
    return /^[a-z\d]([a-z\d.-]*[a-z\d])?$/i.test(bare) || /^[\da-f]*:[\da-f:.]*$/i.test(bare)
      ? bare
      : undefined;
  });
}

/** `https://example.org:8443`, or `*`. */
function origin(): Value<string> {
  return checked("an origin such as https://example.org, or *", (text) => {
    if (text === "*") return text;
    if (!/^https?:$/.test(URL.parse(text)?.protocol ?? "")) return undefined;
    const { origin } = new URL(text);
    return text === origin || text === `${origin}/` ? origin : undefined;
  });
}

/** `https://example.org/images`, the prefix of the server's paths. */
function publicUrl(): Value<string> {
  return checked("a URL such as https://example.org/images", (text) => {
    const url = URL.parse(text);
    if (!url || !/^https?:$/.test(url.protocol) || url.search || url.hash) return undefined;
    return url.href;
  });
}

/** `10.0.0.2,fd00::2` */
function addresses(): Value<string[]> {
  const address = checked("an IP address", (text) => {
    const bare = text.replace(/^\[(.*)\]$/, "$1");
    return isIP(bare) === 0 ? undefined : bare;
  });
  return list(address, "comma-separated IP addresses");
}

/** `hooks.example.org,10.0.0.5:9000` */
function webhookHosts(): Value<string[]> {
  const host = checked("a host", (text) => {
    const host = parseWebhookHost(text);
    return host && webhookHostText(host);
  });
  return list(host, "comma-separated hosts, such as hooks.example.org,10.0.0.5:9000");
}
