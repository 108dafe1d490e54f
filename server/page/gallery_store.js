/**
 * Pictures that this browser has drawn, in its IndexedDB: the newest of them, within limits of number and bytes.
 *
 * @module
 */
/** @import { Wish } from "./api.js" */

/**
 * A kept picture.
 * @typedef {{
 *   wish: Wish, source: string, model: string, digest: string, steps: number | undefined,
 *   size: { width: number, height: number }, time: number, place: number,
 * }} Kept settings of this picture alone, data URL of its PNG, name and digest of its model, steps that were taken; when its
 *   drawing began, in milliseconds since 1970, and its place there
 * @typedef {Kept & { id: number }} Stored
 */

/** Pictures, and characters of their PNGs and settings, that are kept at most. */
export const LIMITS = { count: 500, size: 24 * 2 ** 20 };

const STORE = "pictures";

/** Kept pictures. Methods reject with a DOMException where the browser cannot store. */
export class GalleryStore {
  /**
   * @param {IDBDatabase} db
   * @param {typeof LIMITS} limits
   */
  constructor(db, limits) {
    this.db = db;
    this.limits = limits;
    db.onversionchange = () => db.close(); // another tab deletes it
  }

  /**
   * @param {string} name of the database
   * @param {typeof LIMITS} [limits]
   * @returns {Promise<GalleryStore>}
   * @throws where the browser stores nothing for this page
   */
  static async open(name, limits = LIMITS) {
    const request = indexedDB.open(name, 1);
    request.onupgradeneeded = () => {
      const store = request.result.createObjectStore(STORE, { keyPath: "id", autoIncrement: true });
      store.createIndex("drawing", "drawing", { unique: true });
      store.createIndex("bytes", "bytes");
    };
    return new GalleryStore(await result(request), limits);
  }

  /**
   * Keeps a picture, in place of one with the same settings of the same model. The oldest leave where there is no room.
   * @param {Kept} picture
   */
  async add(picture) {
    const drawing = JSON.stringify([picture.model, picture.digest, Object.entries(picture.wish).sort()]);
    const bytes = picture.source.length + drawing.length;
    const transaction = this.db.transaction(STORE, "readwrite");
    const store = transaction.objectStore(STORE);
    const same = await result(store.index("drawing").getKey(drawing));
    if (same !== undefined) store.delete(same);
    store.add({ ...picture, drawing, bytes });
    for (const id of leaving(await sizesOf(store), this.limits)) store.delete(id);
    await end(transaction);
  }

  /**
   * All pictures, those of the newest drawing first, each drawing in its order.
   * @returns {Promise<Stored[]>}
   */
  async list() {
    const all = await result(this.db.transaction(STORE).objectStore(STORE).getAll());
    return all.sort((a, b) => b.time - a.time || a.place - b.place);
  }

  /** @param {number} id */
  async delete(id) {
    const transaction = this.db.transaction(STORE, "readwrite");
    transaction.objectStore(STORE).delete(id);
    await end(transaction);
  }

  async clear() {
    const transaction = this.db.transaction(STORE, "readwrite");
    transaction.objectStore(STORE).clear();
    await end(transaction);
  }
}

/**
 * The oldest pictures that must leave, so that the rest is within the limits.
 *
 * @param {readonly { id: number, bytes: number }[]} all
 * @param {typeof LIMITS} limits
 * @returns {number[]} their ids
 */
export function leaving(all, { count, size }) {
  const newestFirst = all.toSorted((a, b) => b.id - a.id);
  let sum = 0;
  return newestFirst.filter(({ bytes }, age) => {
    sum += bytes;
    return age >= count || sum > size;
  }).map(({ id }) => id);
}

/**
 * @param {IDBObjectStore} store
 * @returns {Promise<{ id: number, bytes: number }[]>}
 */
function sizesOf(store) {
  return new Promise((resolve, reject) => {
    /** @type {{ id: number, bytes: number }[]} */
    const sizes = [];
    const request = store.index("bytes").openKeyCursor();
    request.onerror = () => reject(request.error);
    request.onsuccess = () => {
      const cursor = request.result;
      if (!cursor) return resolve(sizes);
      sizes.push({ id: Number(cursor.primaryKey), bytes: Number(cursor.key) });
      cursor.continue();
    };
  });
}

/**
 * @template T
 * @param {IDBRequest<T>} request
 * @returns {Promise<T>}
 */
function result(request) {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}

/** @param {IDBTransaction} transaction */
function end(transaction) {
  return new Promise((resolve, reject) => {
    transaction.oncomplete = resolve;
    transaction.onabort = () => reject(transaction.error);
  });
}
