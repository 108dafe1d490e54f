/**
 * Bodies of `POST /v1/images/edits`: a form with files, or JSON with data URLs.
 *
 * @module
 */
import { Buffer } from "node:buffer";
import { z } from "@hono/zod-openapi";
import type { Context } from "hono";
import { markovSamplers } from "../../lib/diffusion/sampler.ts";
import { MAX_RESAMPLINGS } from "../../lib/sampling/edits/image_edit.ts";
import { RESAMPLING_SAMPLER } from "../../lib/sampling/request.ts";
import { readJson, takeBody } from "../http/body.ts";
import { numberField, optional, readFields, textField, wholeField } from "../http/json_fields.ts";
import { type FieldFault, ProblemError } from "../http/problem.ts";
import type { RangeContext } from "../http/request.ts";
import type { EditFiles } from "../pictures/decoder.ts";
import { ignored, imageFields } from "./fields.ts";

/** Maximum parts of a form; there are fewer fields. */
const MAX_PARTS = 64;

/** Most steps of a jump back. */
const MOST_JUMP = 1000;

/** Fields of an edit beside its files. */
export function editFields(context: RangeContext) {
  return {
    ...imageFields(context),
    strength: optional(
      numberField(0, 1),
      "Extension. Share of the steps that is run, above 0 to 1: how far the result may be from the image. 1 starts " +
        "from noise. Default 0.6, with a mask 1.",
    ),
    resamplings: optional(
      wholeField(1, MAX_RESAMPLINGS),
      "Extension. Passes over each stretch of steps, for a better fit of what is drawn to what is kept (RePaint, " +
        `Lugmayr et al. 2022). More than 1 needs a mask and a sampler that can repeat its steps: ${
          markovSamplers.join(", ")
        }; ` +
        `${RESAMPLING_SAMPLER} where neither the request nor a default names one. Default 1.`,
    ),
    jump: optional(
      wholeField(1, MOST_JUMP),
      "Extension. Steps that RePaint jumps back, with resamplings above 1. Default 10, or as many as there can be.",
    ),
    input_fidelity: ignored(textField(0, 100)),
  };
}

/** Parsed fields of an edit. */
export type EditFields = z.output<z.ZodObject<ReturnType<typeof editFields>>>;

/** A parsed body. */
export interface EditBody {
  readonly fields: EditFields;
  readonly files: EditFiles;
}

const IMAGE_WORDS =
  "PNG, JPEG, WebP or GIF, cropped to its centre and resized to the model's size; transparency becomes white.";
const MASK_WORDS =
  "PNG or WebP of the image's size. The image is drawn anew where the mask is transparent, and kept where it is " +
  "opaque. Default: drawn anew everywhere.";

const file = (description: string) => z.string().openapi({ format: "binary", description });

/** Schema of the form, for `/openapi.json`. */
export function editFormSchema(context: RangeContext) {
  const files = { image: file(IMAGE_WORDS), mask: file(MASK_WORDS).optional() };
  return z.strictObject({ ...files, ...editFields(context) }).openapi("ImageEditForm");
}

const DATA_URL = /^data:image\/[a-z0-9.+-]+;base64,/i;
const DATA_URL_WORDS = "a data URL of an image in base64 (data:image/png;base64,…)";

const reference = (description: string) =>
  z.strictObject({
    image_url: z.string({ error: DATA_URL_WORDS }).regex(DATA_URL, DATA_URL_WORDS),
  }, { error: `an object with image_url, ${DATA_URL_WORDS}` }).openapi({ description });

/** Schema of the JSON body. */
export function editJsonSchema(context: RangeContext) {
  const one = "one image";
  return z.strictObject({
    images: z.array(reference(IMAGE_WORDS), { error: one }).min(1, one).max(1, one),
    mask: reference(MASK_WORDS).nullish(),
    ...editFields(context),
  }).openapi("ImageEditRequest");
}

/**
 * Reads the body of an edit.
 *
 * @throws {ProblemError} 415 for other content types, 400 naming the field
 */
export async function readEditBody(
  c: Context,
  schemas: {
    readonly fields: z.ZodObject<ReturnType<typeof editFields>>;
    readonly json: ReturnType<typeof editJsonSchema>;
  },
): Promise<EditBody> {
  const type = c.req.header("Content-Type") ?? "";
  if (/^application\/json *(;|$)/i.test(type)) {
    const { images: [image], mask, ...fields } = readFields(await readJson(c), schemas.json);
    return {
      fields,
      files: {
        image: fromDataUrl("images.0.image_url", image!.image_url), // exactly one
        ...(mask ? { mask: fromDataUrl("mask.image_url", mask.image_url) } : {}),
      },
    };
  }
  if (/^multipart\/form-data *;/i.test(type)) {
    const { files, texts } = await readForm(c, type, schemas.fields.shape);
    return { fields: readFields(texts, schemas.fields), files };
  }
  const allowed = "multipart/form-data or application/json";
  throw new ProblemError(415, "unsupported_media_type", `the body must be ${allowed}`, {
    errors: [{ field: "Content-Type", value: type, allowed }],
    headers: { "Accept-Post": "multipart/form-data, application/json" },
  });
}

function fromDataUrl(field: string, url: string): Uint8Array<ArrayBuffer> {
  try {
    return Uint8Array.fromBase64(url.slice(url.indexOf(",") + 1));
  } catch {
    throw ProblemError.fields([{ field, value: url, allowed: DATA_URL_WORDS }]);
  }
}

interface Form {
  readonly files: EditFiles;
  /** All other fields, as what they mean: numbers and booleans are text in a form. */
  readonly texts: Record<string, unknown>;
}

async function readForm(c: Context, type: string, shape: z.ZodRawShape): Promise<Form> {
  const bytes = await takeBody(c);
  checkParts(bytes, type);
  let form: FormData;
  try {
    form = await new Response(bytes, { headers: { "Content-Type": type } }).formData();
  } catch {
    throw new ProblemError(400, "invalid_form", "the body is not valid multipart/form-data");
  }
  const files: { image?: File; mask?: File } = {};
  const texts = new Map<string, unknown>();
  const faults: FieldFault[] = [];
  for (const [key, value] of form) {
    const name = key === "image[]" ? "image" : key; // of clients that send a list
    const isFile = name === "image" || name === "mask";
    const given = typeof value === "string" ? value : "a file";
    if (isFile && typeof value === "string") faults.push({ field: name, value, allowed: "a file" });
    else if (!isFile && typeof value !== "string") {
      faults.push({ field: name, value: given, allowed: "text" });
    } else if (isFile ? files[name] : texts.has(name)) {
      faults.push({ field: name, value: given, allowed: isFile ? "one file" : "a single value" });
    } else if (typeof value !== "string") files[name as "image" | "mask"] = value;
    else texts.set(name, meaning(value, shape[name]));
  }
  const { image, mask } = files;
  if (!image && !faults.some(({ field }) => field === "image")) {
    faults.push({ field: "image", allowed: "a PNG, JPEG, WebP or GIF file" });
  }
  if (!image || faults.length > 0) throw ProblemError.fields(faults);
  return {
    files: {
      image: new Uint8Array(await image.arrayBuffer()),
      ...(mask ? { mask: new Uint8Array(await mask.arrayBuffer()) } : {}),
    },
    texts: Object.fromEntries(texts),
  };
}

/** Refuses forms of many parts, since parsing 100,000 takes seconds. */
function checkParts(bytes: Uint8Array<ArrayBuffer>, type: string): void {
  const boundary = /;\s*boundary=(?:"([^"]+)"|([^\s;]+))/i.exec(type)?.slice(1).find((text) => text);
  if (boundary === undefined) {
    throw new ProblemError(400, "invalid_form", "the Content-Type of the body has no boundary");
  }
  const buffer = Buffer.from(bytes.buffer);
  let parts = 0;
  for (let at = buffer.indexOf(`--${boundary}`); at >= 0; at = buffer.indexOf(`--${boundary}`, at + 1)) {
    if (++parts <= MAX_PARTS) continue;
    throw new ProblemError(400, "invalid_form", `the body has more than ${MAX_PARTS} parts`);
  }
}

/** Numbers and booleans of a form, by the type of the field; what is neither stays text, for the schema to refuse. */
function meaning(value: string, schema: unknown): unknown {
  let type = schema;
  while (type instanceof z.ZodOptional || type instanceof z.ZodNullable) type = type.unwrap();
  if (type instanceof z.ZodBoolean) return value === "true" || (value === "false" ? false : value);
  const isNumber = type instanceof z.ZodNumber && /^-?\d+(\.\d+)?$/.test(value);
  // The text of a number that is too large says more than infinity.
  return isNumber && Number.isFinite(Number(value)) ? Number(value) : value;
}
