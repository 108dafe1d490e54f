/**
 * `POST /v1/images/edits`: image to image and inpainting.
 *
 * @module
 */
import { z } from "@hono/zod-openapi";
import type { Context } from "hono";
import { settingsFor } from "../http/authentication.ts";
import type { ServerContext } from "../http/context.ts";
import { checkSameSize, decodeFiles } from "../http/decode.ts";
import { type App, type AppEnv, askerOf, refuseQuery } from "../http/request.ts";
import type { DecodedEdit, EditFiles } from "../pictures/decoder.ts";
import { answerImages, drawImages, errors, imageAnswers } from "./answers.ts";
import { QUERY } from "./fields.ts";
import { editFields, editFormSchema, editJsonSchema, readEditBody } from "./edit_body.ts";
import { type ImageRequest, planImages, readImageRequest, refuse } from "./request.ts";
import { streamImages } from "./stream.ts";

/** Adds the route. */
export function editsRoute(routes: App, context: ServerContext): void {
  const schemas = { fields: z.strictObject(editFields(context)), json: editJsonSchema(context) };
  routes.openAPIRegistry.registerPath({
    method: "post",
    path: "/images/edits",
    summary: "Draw an image anew, or a part of it (OpenAI-compatible)",
    description:
      "Without a mask the image is noised and drawn again (SDEdit); with one, what the mask is opaque over is " +
      "kept. With `stream`, OpenAI's events `image_edit.partial_image` and `image_edit.completed`. JSON may take the " +
      "place of the form, with data URLs.",
    request: {
      body: {
        content: {
          "multipart/form-data": { schema: editFormSchema(context) },
          "application/json": { schema: schemas.json },
        },
        required: true,
      },
    },
    responses: {
      ...imageAnswers,
      ...errors({
        400:
          "A field is wrong or unknown, the prompt names no class, or a file is no picture, damaged or too large",
        415: "The body is neither multipart/form-data nor application/json, or is compressed",
      }),
    },
  });

  routes.post("/images/edits", async (c) => {
    refuseQuery(c, ["image", ...Object.keys(schemas.json.shape)], QUERY);
    const { fields, files } = await readEditBody(c, schemas);
    if (fields.response_format === "url") refuse("response_format", "url", "b64_json for an edit");
    const asked = readImageRequest(fields, context);
    c.set("model", asked.served.engine.name);
    const decoded = await decode(c, context, files, asked);
    const { strength, resamplings, jump } = fields;
    const settings = settingsFor(c, context.settings);
    const request = planImages(readSame(decoded, () => readImageRequest(fields, context)), { settings }, {
      ...decoded.edit,
      ...(strength == null ? {} : { strength }),
      ...(resamplings == null ? {} : { resamplings }),
      ...(jump == null ? {} : { jump }),
    });
    if (request.partialImages !== undefined) return await streamImages(c, context, request);
    return answerImages(c, request, await drawImages(c, context, request));
  });
}

interface Decoded {
  readonly edit: DecodedEdit;
  readonly model: ImageRequest["model"];
}

/** Decodes the files, once all else of the request has been checked. */
async function decode(
  c: Context<AppEnv>,
  context: ServerContext,
  files: EditFiles,
  { model }: ImageRequest,
): Promise<Decoded> {
  return { edit: await decodeFiles(context, files, model, askerOf(c)), model };
}

/** The request for the model that is served now; it may have been replaced while the files were decoded. */
function readSame({ model }: Decoded, read: () => ImageRequest): ImageRequest {
  const request = read();
  checkSameSize(model, request.model);
  return request;
}
