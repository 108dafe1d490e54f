/**
 * Display size of pictures: an integer number of screen pixels per pixel, so that each is a sharp square.
 *
 * @module
 */

/** Between pictures of a grid, in CSS pixels. */
export const GAP = 4;

/**
 * @typedef {{ columns: number, side: number }} Layout columns of a grid, and width of a picture in CSS pixels
 */

/**
 * @param {number} count pictures in the grid
 * @param {number} room width that there is, in CSS pixels
 * @param {number} pixels width of a picture in its own pixels
 * @param {number} largest width of a picture in CSS pixels that is large enough
 * @param {boolean} [oneRow] whether the grid should have one row, if that is possible
 * @param {number} [ratio] screen pixels in a CSS pixel
 * @returns {Layout}
 */
export function layOut(count, room, pixels, largest, oneRow = false, ratio = devicePixelRatio) {
  const wanted = oneRow ? count : Math.min(count, Math.ceil(Math.sqrt(count)));
  const fits = Math.max(1, Math.floor((room + GAP) / (pixels / ratio + GAP)));
  const columns = Math.min(wanted, fits);
  const each = Math.min(largest, (room - GAP * (columns - 1)) / columns);
  const scale = Math.max(1, Math.floor((each * ratio) / pixels));
  return { columns, side: (scale * pixels) / ratio };
}

/**
 * How wide a picture needs to be for so many of them.
 * @param {number} count
 */
export function largestSide(count) {
  if (count === 1) return 320;
  if (count <= 4) return 224;
  return count <= 9 ? 160 : 128;
}

/**
 * @param {HTMLElement} grid
 * @param {Layout} layout
 */
export function applyLayout(grid, { columns, side }) {
  grid.style.setProperty("--columns", String(columns));
  grid.style.setProperty("--side", `${side}px`);
}
