/**
 * Draws the rows of a drawing: one request per row, a few at a time.
 *
 * @module
 */
import { drawStream } from "./api.js";
/** @import { Drawing } from "./drawing.js" */

// A browser keeps at most six connections to a server; one stays free for everything else.
const AT_ONCE = 5;

/**
 * Draws the rows that are not yet done, each from its beginning.
 *
 * @param {Drawing} drawing
 * @param {AbortController} stop ends it; aborted by the first row that fails
 */
export async function draw(drawing, stop) {
  const open = drawing.rows.filter(({ done }) => !done);
  const one = async () => {
    for (let row = open.shift(); row; row = open.shift()) {
      row.reset();
      drawing.report();
      for await (const { event, data } of drawStream(row.wish, stop.signal)) {
        row.take(event, data);
        drawing.report();
      }
    }
  };
  try {
    await Promise.all(Array.from({ length: AT_ONCE }, one));
  } catch (error) {
    stop.abort(error);
    throw error;
  }
}
