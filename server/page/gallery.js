/**
 * Gallery of what this browser has drawn, which outlives the visit.
 *
 * @module
 */
import { announce, byId, element } from "./dom.js";
import { GalleryStore, LIMITS } from "./gallery_store.js";
import { applyLayout, GAP, layOut } from "./layout.js";
import { Picture } from "./picture.js";
import { className, plural } from "./words.js";
/** @import { Stored } from "./gallery_store.js" */

/** Pictures that are shown at first, and more with each press of the button. */
const SHOWN = 48;
/** Width of a picture in CSS pixels. */
const SIDE = 64;

const section = byId("gallery");
const tiles = byId("gallery-tiles");
const more = byId("gallery-more");
const confirmation = byId("gallery-delete");

/** One for each path that a server may have behind a proxy. */
const NAME = `denoise gallery ${new URL(".", document.baseURI).pathname}`;
/** Tells other tabs of changes. */
const channel = new BroadcastChannel(NAME);

/** Undefined until it is open, and where the browser stores nothing. @type {GalleryStore | undefined} */
let store;
/** Those of the newest drawing first. @type {Stored[]} */
let all = [];
let shown = SHOWN;
/** Called with a picture that was pressed. @type {(picture: Picture) => void} */
let open = () => {};
/** Pictures of this visit that are kept already. @type {WeakSet<Picture>} */
const kept = new WeakSet();
/** Changes one after another, so that the list is that of the last. */
let changing = Promise.resolve();

/**
 * Opens the gallery. The page works without, and says so.
 * @param {(picture: Picture) => void} onOpen called with a picture that was pressed
 */
export async function prepareGallery(onOpen) {
  open = onOpen;
  try {
    store = await GalleryStore.open(NAME);
    await refresh();
  } catch {
    store = undefined;
    sayTrouble(
      "This browser stores nothing for this page, as in a private window: what you draw is not kept.",
    );
  }
}

/**
 * Keeps a finished picture.
 * @param {Picture} picture
 * @param {Pick<Stored, "digest" | "time" | "place">} facts of its model and its drawing
 */
export function keep(picture, facts) {
  const { wish, source, model, steps, size } = picture;
  if (!store || kept.has(picture)) return;
  kept.add(picture);
  change(async (store) => {
    try {
      await store.add({ wish, source, model, steps, size, ...facts });
      sayTrouble("");
    } catch {
      sayTrouble(
        "The browser’s storage is full or closed: new pictures are not kept. Delete some to make room.",
      );
    }
  });
}

/**
 * Deletes a kept picture; the next one gets the focus.
 * @param {Picture} picture
 */
export function deleteKept({ keptAs }) {
  if (keptAs === undefined) return;
  const at = all.findIndex(({ id }) => id === keptAs);
  change((store) => store.delete(keptAs), () => {
    announce("Deleted");
    (tiles.children[Math.min(at, tiles.children.length - 1)] ?? byId("pictures")).focus();
  });
}

/** Fits the tiles into the available width. */
export function fitGallery() {
  const [first] = all;
  if (!first) return;
  const room = section.clientWidth;
  const columns = Math.max(1, Math.min(all.length, Math.floor((room + GAP) / (SIDE + GAP))));
  applyLayout(tiles, layOut(columns, room, first.size.width, SIDE, true));
}

/**
 * Changes the store, and shows the gallery as it is then.
 *
 * @param {(store: GalleryStore) => Promise<unknown>} act
 * @param {() => void} [then]
 */
function change(act, then = () => {}) {
  changing = changing.then(async () => {
    if (!store) return;
    try {
      await act(store);
      channel.postMessage("changed");
      await refresh();
      then();
    } catch {
      sayTrouble("The browser has closed the gallery’s storage. Load the page again.");
    }
  });
}

async function refresh() {
  if (!store) return;
  all = await store.list();
  show();
}

function show() {
  section.hidden = all.length === 0 && byId("gallery-trouble").textContent === "";
  byId("gallery-actions").hidden = tiles.hidden = byId("gallery-note").hidden = all.length === 0;
  byId("gallery-note").textContent = `${plural(all.length, "picture")}, in this browser only. ` +
    `It keeps the newest ${LIMITS.count}.`;
  const before = new Map(Array.from(tiles.children, (tile) => [tile.dataset.id, tile]));
  tiles.replaceChildren(...all.slice(0, shown).map((one) => before.get(String(one.id)) ?? tileOf(one)));
  more.hidden = all.length <= shown;
  more.textContent = `Show ${Math.min(SHOWN, all.length - shown)} more`;
  fitGallery();
}

/** @param {Stored} one */
function tileOf(one) {
  const { wish, source, size, id } = one;
  const alt = `${className(wish.class)}, seed ${wish.seed}`;
  const image = element("img", { ...size, src: source, alt, draggable: false });
  const tile = element(
    "button",
    { type: "button", className: "tile", onclick: () => open(pictureOf(one)) },
    image,
  );
  tile.dataset.id = String(id);
  return tile;
}

/** @param {Stored} one */
function pictureOf({ wish, source, model, digest, steps, size, id }) {
  const picture = new Picture(wish, size, open);
  return Object.assign(picture, { source, model, digest, steps, keptAs: id });
}

/** @param {string} text */
function sayTrouble(text) {
  byId("gallery-trouble").textContent = text;
  byId("gallery-trouble").hidden = text === "";
  if (text) section.hidden = false;
}

channel.addEventListener("message", () => changing = changing.then(refresh).catch(() => {}));
more.addEventListener("click", () => {
  const first = shown;
  shown += SHOWN;
  show();
  /** @type {HTMLElement} */ (tiles.children[first]).focus();
});
byId("gallery-clear").addEventListener("click", () => {
  byId("gallery-delete-title").textContent = `Delete all ${plural(all.length, "picture")} of the gallery?`;
  confirmation.returnValue = "";
  confirmation.showModal();
});
confirmation.addEventListener("close", () => {
  if (confirmation.returnValue !== "delete") return;
  change((store) => store.clear(), () => {
    announce("The gallery is empty");
    byId("pictures").focus();
  });
});
