/**
 * Draws from a picture, by the server's route in OpenAI's form, with the events of /generate/stream.
 *
 * @module
 */
/** @import { Edit } from "./editor.js" */

/**
 * Body of the request.
 *
 * @param {{ class: string, count: number, edit?: Edit, [setting: string]: unknown }} wish one with a picture to start from
 */
export function editBody({ class: name, count, edit, ...settings }) {
  if (!edit) throw new Error("no picture to start from");
  const { image, mask, strength, resamplings } = edit;
  return {
    prompt: name,
    class: name,
    n: count,
    images: [{ image_url: image }],
    ...(mask ? { mask: { image_url: mask } } : {}),
    strength,
    ...(resamplings === 1 ? {} : { resamplings }),
    stream: true,
    partial_images: 3,
    queue_events: true,
    ...settings,
  };
}

/**
 * The events of /generate/stream for those of an edit.
 *
 * @param {AsyncIterable<{ event: string, data: any }>} events
 * @param {number} count of pictures
 */
export async function* asGenerated(events, count) {
  let left = count;
  for await (const { event, data } of events) {
    const { image_index: index, b64_json: image } = data;
    if (event === "queued" || event === "started") {
      yield { event, data };
    } else if (event === "image_edit.partial_image") {
      const { step, steps } = data;
      yield { event: "preview", data: { index, step, steps, image } };
    } else if (event === "image_edit.completed") {
      yield { event: "image", data: { index, image, class: data.revised_prompt } };
      if (--left === 0) yield { event: "done", data };
    }
  }
}
