/**
 * Picture to start from, the mask painted on it, and the strength.
 *
 * @module
 */
import { announce, byId } from "./dom.js";
import { layOut } from "./layout.js";
import { Mask } from "./mask.js";
import { pngOf, readOriginal } from "./original.js";
import { painted } from "./painted.js";

/**
 * A picture to start from, as the server takes it.
 * @typedef {{ image: string, mask?: string, strength: number, resamplings: number }} Edit data URLs of PNGs in the model's size
 */

const panel = byId("edit");
const empty = byId("edit-empty");
const work = byId("edit-work");
const trouble = byId("edit-trouble");
const file = byId("edit-file");
const canvas = byId("edit-canvas");
const brush = byId("brush");
const strength = byId("strength");
const erase = byId("erase");
const passes = byId("passes");

// Defaults of the server: of a whole picture, and of a part of one.
const [WHOLE, PART] = [0.6, 1];

/** The model's. @type {{ width: number, height: number }} */
let size;
/** @type {ImageData | undefined} */
let original;
let mask = new Mask({ width: 1, height: 1 });
/** Where the brush is, in pixels of the picture. @type {{ x: number, y: number } | undefined} */
let at;
let painting = false;
/** The brush is moved by keys: a pointer that rests, and that the page moves away from under, does not take it. */
let byKeys = false;
/** The strength was chosen, not left at its default. */
let chosen = false;
/** Number of the last choice of a picture, or of none: reading an earlier one may take longer, and is then of no use. */
let choice = 0;
/** Ends when the last choice has been read. */
let reading = Promise.resolve();

/** Takes a picture that was dropped elsewhere on the page; false if it does not. @type {(given: File) => Promise<boolean>} */
let takeElsewhere = () => Promise.resolve(false);

/** @param {typeof takeElsewhere} take */
export function onDropElsewhere(take) {
  takeElsewhere = take;
}

/**
 * @param {{ width: number, height: number }} ofModel size of its pictures
 * @param {number} most passes over each stretch of steps
 */
export function prepareEditor(ofModel, most) {
  passes.max = most;
  size = ofModel;
  [canvas.width, canvas.height] = [size.width, size.height];
  brush.max = Math.ceil(Math.max(size.width, size.height) / 2);
  brush.value = Math.max(1, Math.round(Math.min(size.width, size.height) / 6));
  show();
}

/**
 * The edit, once the picture that was chosen last has been read.
 * @returns {Promise<Edit | undefined>}
 */
export async function readEdit() {
  let last;
  do {
    last = reading;
    await last;
  } while (last !== reading);
  if (!original) return undefined;
  return {
    image: pngOf(original),
    ...(mask.empty ? {} : { mask: maskPng() }),
    strength: strength.valueAsNumber,
    resamplings: repeats() ? passes.valueAsNumber : 1,
  };
}

/** Steps are to be taken more than once, which needs a painted part. */
export function repeats() {
  return !mask.empty && passes.valueAsNumber > 1;
}

/**
 * Goes back to an edit, or to none.
 * @param {Edit | undefined} edit
 */
export async function writeEdit(edit) {
  if (!edit) return remove();
  await choose(async () => {
    const [pixels, over] = await Promise.all([edit.image, edit.mask].map((url) => url && pixelsOf(url)));
    return () => {
      begin(/** @type {ImageData} */ (pixels));
      for (const i of mask.painted.keys()) mask.painted[i] = over && over.data[4 * i + 3] < 128 ? 1 : 0;
      strength.value = String(edit.strength);
      passes.value = String(edit.resamplings);
      chosen = true;
      show();
    };
  });
}

/**
 * Chooses a picture: what takes its place, with mask and strength, is the last choice, whichever has been read first.
 * @param {() => Promise<() => void>} read the picture, and how to show it
 */
function choose(read) {
  const mine = ++choice;
  const done = read().then((take) => {
    if (mine === choice) take();
  });
  reading = done.catch(() => {}); // which the caller is told
  return done;
}

/**
 * Begins with another picture.
 * @param {ImageData} pixels
 */
function begin(pixels) {
  original = pixels;
  mask = new Mask(size);
  passes.value = "1";
  trouble.textContent = "";
  at = undefined;
  painting = chosen = false;
}

/** @param {string} url of a PNG in the model's size */
async function pixelsOf(url) {
  const image = new Image(size.width, size.height);
  image.src = url;
  await image.decode();
  const context = new OffscreenCanvas(size.width, size.height).getContext("2d");
  context?.drawImage(image, 0, 0);
  return /** @type {ImageData} */ (context?.getImageData(0, 0, size.width, size.height));
}

/** The mask as OpenAI's API takes it: transparent where the picture is drawn anew. */
function maskPng() {
  const pixels = new ImageData(size.width, size.height);
  mask.painted.forEach((painted, i) => pixels.data[4 * i + 3] = painted ? 0 : 255);
  return pngOf(pixels);
}

/** Strength and passes for the picture that is chosen next. @type {Pick<Edit, "strength" | "resamplings"> | undefined} */
let expected;

/**
 * Sets strength and passes for the picture that is chosen next, or for the one that is there.
 * @param {Pick<Edit, "strength" | "resamplings">} edit
 */
export function expectEdit(edit) {
  expected = edit;
  if (original) useExpected();
  panel.open = true;
  show();
}

function useExpected() {
  if (!expected) return;
  strength.value = String(expected.strength);
  passes.value = String(expected.resamplings);
  chosen = true;
  expected = undefined;
}

/**
 * Starts from a picture.
 * @param {Blob | undefined} given
 */
export function openOriginal(given) {
  if (!given || !size) return;
  panel.open = true;
  trouble.textContent = "";
  choose(() =>
    readOriginal(given, size).then((pixels) => () => {
      begin(pixels);
      useExpected();
      show();
      canvas.focus();
      announce("Your picture is loaded");
    }, () => () => {
      trouble.textContent =
        "The browser cannot read this file as a picture. Choose a PNG, JPEG, WebP or GIF.";
    })
  );
}

function remove() {
  choice++;
  original = undefined;
  trouble.textContent = "";
  at = undefined;
  chosen = false;
  mask.clear();
  show();
}

/** Shows picture and mask: what is drawn anew is a chequered pattern over the picture. */
function show() {
  empty.hidden = original !== undefined;
  work.hidden = original === undefined;
  byId("edit-on").hidden = original === undefined;
  if (!chosen) strength.value = String(mask.empty ? WHOLE : PART);
  byId("strength-value").textContent = Number(strength.value).toFixed(2);
  byId("edit-note").textContent = mask.empty
    ? "All of it is drawn anew. Paint to draw a part of it."
    : "The chequered part is drawn anew, the rest is kept.";
  byId("unpaint").disabled = mask.empty;
  if (passes.disabled !== mask.empty) {
    passes.disabled = mask.empty;
    passes.dispatchEvent(new Event("input", { bubbles: true })); // for the form's checks
  }
  if (!original) return;
  const { side } = layOut(1, Math.min(320, panel.clientWidth), size.width, 320);
  canvas.style.width = `${side}px`;
  canvas.style.height = `${side * size.height / size.width}px`;
  const under = at ? mask.under(at, brush.valueAsNumber) : [];
  canvas.getContext("2d").putImageData(painted(original, mask, { under, erases: erase.checked }), 0, 0);
}

/**
 * @param {PointerEvent} event
 * @returns {{ x: number, y: number }}
 */
function place({ clientX, clientY }) {
  const { left, top, width, height } = canvas.getBoundingClientRect();
  return { x: (clientX - left) / width * size.width, y: (clientY - top) / height * size.height };
}

/** @param {{ x: number, y: number }} to */
function paint(to) {
  mask.stroke(at ?? to, to, brush.valueAsNumber, !erase.checked);
}

canvas.addEventListener("pointerdown", (/** @type {PointerEvent} */ event) => {
  if (event.button !== 0) return;
  canvas.setPointerCapture(event.pointerId);
  painting = true;
  byKeys = false;
  at = place(event);
  paint(at);
  show();
});
canvas.addEventListener("pointermove", (/** @type {PointerEvent} */ event) => {
  if (byKeys && event.movementX === 0 && event.movementY === 0) return;
  byKeys = false;
  const to = place(event);
  if (painting) paint(to);
  at = to;
  show();
});
for (const end of ["pointerup", "pointercancel"]) canvas.addEventListener(end, () => painting = false);
for (const end of ["pointerleave", "blur"]) {
  canvas.addEventListener(end, () => {
    if (painting || (end === "pointerleave" && byKeys)) return;
    at = undefined;
    byKeys = false;
    show();
  });
}

/** Steps of the brush by the arrow keys. @type {Record<string, [number, number]>} */
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

canvas.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
  const arrow = ARROWS[event.key];
  if (!arrow && event.key !== " ") return;
  event.preventDefault(); // the page would scroll
  byKeys = true;
  const { x, y } = at ?? { x: size.width / 2, y: size.height / 2 };
  const [right, down] = (arrow ?? [0, 0]).map((step) => event.shiftKey ? 4 * step : step);
  at = {
    x: Math.min(size.width - 0.5, Math.max(0.5, x + right)),
    y: Math.min(size.height - 0.5, Math.max(0.5, y + down)),
  };
  if (!arrow) {
    mask.stroke(at, at, brush.valueAsNumber, !erase.checked);
    announce(erase.checked ? "Erased" : "Painted");
  }
  show();
});

file.addEventListener("change", () => {
  openOriginal(file.files[0]);
  file.value = ""; // so that the same file can be chosen again
});
strength.addEventListener("input", () => {
  chosen = true;
  show();
});
for (const input of [brush, erase, byId("paint")]) input.addEventListener("input", show);
byId("unpaint").addEventListener("click", () => {
  mask.clear();
  show();
});
byId("edit-remove").addEventListener("click", () => {
  remove();
  file.focus();
});
passes.addEventListener("invalid", () => panel.open = true); // where the browser shows what is wrong
panel.addEventListener("toggle", show);
addEventListener("resize", show);

// Anywhere on the page: elsewhere a dropped file would replace the page.
addEventListener("dragover", (event) => {
  if (!event.dataTransfer?.types.includes("Files")) return;
  event.preventDefault();
  panel.classList.add("over");
});
addEventListener("dragleave", (event) => {
  if (event.relatedTarget === null) panel.classList.remove("over");
});
addEventListener("drop", (event) => {
  panel.classList.remove("over");
  if (!event.dataTransfer?.types.includes("Files")) return;
  event.preventDefault();
  take(event.dataTransfer.files[0], event.target);
});
addEventListener("paste", (event) => {
  const [pasted] = event.clipboardData?.files ?? [];
  if (!pasted) return;
  event.preventDefault();
  take(pasted, event.target);
});

/**
 * Takes a picture that was dropped or pasted: here, it is the one to start from; elsewhere, its settings come first.
 * @param {File | undefined} given
 * @param {EventTarget | null} target
 */
function take(given, target) {
  if (!given || !size) return;
  const mine = ++choice;
  const here = panel.open && target instanceof Node && panel.contains(target);
  const taken = here ? Promise.resolve(false) : takeElsewhere(given);
  reading = taken.then((taken) => {
    if (!taken && mine === choice) openOriginal(given);
  });
}
