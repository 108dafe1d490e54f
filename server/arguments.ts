/**
 * Parses the server process's settings from one JSON argument.
 *
 * @module
 */
import { z } from "zod";
import { samplerNames } from "../lib/diffusion/sampler.ts";
import { ConfigError } from "../lib/errors.ts";
import { DAWN_TOGGLES } from "../lib/gpu/backend.ts";
import { PRECISIONS } from "../lib/model/precision.ts";
import { commandLine } from "../lib/program.ts";
import { TUNE_MODES } from "../lib/tuning/tuning.ts";
import { parseWebhookHost } from "./jobs/webhooks/target.ts";
import { type ServerSettings, settingRanges } from "./settings.ts";

const number = (field: keyof typeof settingRanges) => {
  const [min, max] = settingRanges[field];
  return z.number(`expected a number from ${min} to ${max}`)
    .refine((value) => value >= min && value <= max, `expected a number from ${min} to ${max}`);
};
const integer = (field: keyof typeof settingRanges) => number(field).int("expected a whole number");
const text = z.string("expected text").min(1, "expected non-empty text");

const schema: z.ZodType<ServerSettings> = z.strictObject({
  models: z.array(z.strictObject({ name: text, path: text, guide: text.optional() }))
    .min(1, "expected at least one model"),
  variant: text.optional(),
  memory: number("memory").optional(),
  host: text,
  port: integer("port"),
  freePorts: z.array(integer("port")).min(1, "expected at least one port").optional(),
  maxBatch: integer("maxBatch"),
  queue: integer("queue"),
  timeout: number("timeout"),
  grace: number("grace"),
  steps: integer("steps").optional(),
  sampler: z.enum(samplerNames, `expected ${samplerNames.join(", ")}`).optional(),
  guidance: number("guidance").optional(),
  tokenFile: text.optional(),
  keys: text.optional(),
  cors: text.optional(),
  maxImages: integer("maxImages"),
  maxUpload: integer("maxUpload"),
  maxSteps: integer("maxSteps"),
  maxWork: integer("maxWork"),
  jobs: text.optional(),
  maxJobs: integer("maxJobs"),
  maxJobImages: integer("maxJobImages"),
  keepJobs: number("keepJobs"),
  jobStorage: integer("jobStorage"),
  webhookHosts: z.array(
    text.refine((entry) => parseWebhookHost(entry) !== undefined, "expected HOST or HOST:PORT"),
  )
    .optional(),
  trustedProxy: z.array(text).optional(),
  publicUrl: z.url("expected a URL").optional(),
  precision: z.enum(PRECISIONS, `expected ${PRECISIONS.join(" or ")}`).optional(),
  dawn: z.strictObject({
    binary: text,
    toggles: z.array(z.enum(DAWN_TOGGLES, `expected some of ${DAWN_TOGGLES.join(", ")}`)),
  }).optional(),
  tune: z.enum(TUNE_MODES, "expected auto, on or off").optional(),
}).refine(({ tokenFile, keys }) => tokenFile === undefined || keys === undefined, {
  path: ["keys"],
  error: "expected none where there is a tokenFile",
});

/**
 * Parses the settings.
 *
 * @throws {ConfigError} naming every invalid field
 */
export function parseSettings(json: string | undefined): ServerSettings {
  let value: unknown;
  try {
    value = JSON.parse(json ?? "");
  } catch {
    throw new ConfigError(
      "settings",
      json,
      `one JSON object; start the server with \`${commandLine("serve")}\``,
    );
  }
  const { success, data, error } = schema.safeParse(value);
  if (success) return data;
  const wrong = error.issues.map(({ path, message }) => [path.join("."), message].filter(Boolean).join(": "));
  throw new ConfigError("settings", json, `an object of server settings (${wrong.join("; ")})`);
}
