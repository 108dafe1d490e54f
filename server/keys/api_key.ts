/**
 * API keys: their secrets, digests and limits.
 *
 * A key is 256 random bits. The file has its SHA-256, without salt and without a slow hash: those protect passwords, of which
 * there are few enough to try. Nobody can try 2^256 keys, however fast the hash is, and no two keys have equal digests. A slow hash
 * would only let strangers occupy the server with wrong keys.
 *
 * @module
 */
import { createHash, timingSafeEqual } from "node:crypto";
import { type ServerSettings, settingRanges } from "../settings.ts";

/** Start of every key, by which scanners for leaked secrets can know it. */
const PREFIX = "dn_";
const KEY_BYTES = 32;
const ID_BYTES = 8;

/** Limits of a key; those that are undefined are the server's. */
export interface KeyLimits {
  /** Images in a request. */
  readonly images?: number;
  /** Images in a job. */
  readonly jobImages?: number;
  /** Steps of a request, counted in network evaluations of an image. */
  readonly steps?: number;
  /** Work in progress in network evaluations, as for `--max-work`. */
  readonly work?: number;
  /** Requests that draw in any 60 seconds. */
  readonly perMinute?: number;
}

/** Allowed ranges of limits, inclusive. */
export const limitRanges: Readonly<Record<keyof KeyLimits, readonly [number, number]>> = {
  images: settingRanges.maxImages,
  jobImages: settingRanges.maxJobImages,
  steps: settingRanges.maxSteps,
  work: settingRanges.maxWork,
  perMinute: [1, 6000],
};

/** A key as it is stored. */
export interface ApiKey {
  /** Name in log and metrics. */
  readonly name: string;
  /** Random id, which owns jobs: another key of the same name does not. */
  readonly id: string;
  /** SHA-256 of the key, in hexadecimal. */
  readonly sha256: string;
  /** When it was made or last rotated, ISO 8601. */
  readonly created: string;
  /** When it ends, ISO 8601; undefined: never. */
  readonly expires?: string;
  /** It may read metrics and reload models. */
  readonly admin?: true;
  readonly limits: KeyLimits;
}

/** Form of a name. */
export const KEY_NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/;

/** {@linkcode KEY_NAME} in words. */
export const KEY_NAME_WORDS = "1 to 64 letters, digits and any of . _ -, beginning with a letter or a digit";

/** Creates a key, with the secret that is shown once. */
export function createKey(
  { now, ...facts }: Pick<ApiKey, "name" | "expires" | "admin" | "limits"> & { readonly now: Date },
): { readonly key: ApiKey; readonly secret: string } {
  const secret = createSecret();
  const id = randomBytes(ID_BYTES).toHex();
  return { secret, key: { id, sha256: digestOf(secret).toHex(), created: now.toISOString(), ...facts } };
}

/** Gives a key another secret; what it owns and its limits stay. */
export function rotateKey(key: ApiKey, now: Date): { readonly key: ApiKey; readonly secret: string } {
  const secret = createSecret();
  return { secret, key: { ...key, sha256: digestOf(secret).toHex(), created: now.toISOString() } };
}

function createSecret(): string {
  return PREFIX + randomBytes(KEY_BYTES).toBase64({ alphabet: "base64url", omitPadding: true });
}

function randomBytes(count: number): Uint8Array<ArrayBuffer> {
  return crypto.getRandomValues(new Uint8Array(count));
}

function digestOf(secret: string): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(createHash("sha256").update(secret).digest());
}

/** The key that a secret belongs to. All are compared, each in constant time, so that the time tells nothing of them. */
export function keyOfSecret(secret: string, keys: readonly ApiKey[]): ApiKey | undefined {
  const digest = digestOf(secret);
  let found: ApiKey | undefined;
  for (const key of keys) {
    if (timingSafeEqual(digest, Uint8Array.fromHex(key.sha256))) found = key;
  }
  return found;
}

/** True once a key has ended. */
export function hasExpired({ expires }: Pick<ApiKey, "expires">, now: number): boolean {
  return expires !== undefined && Date.parse(expires) <= now;
}

/** Settings that limit requests. */
type LimitedSettings = Pick<ServerSettings, "maxImages" | "maxJobImages" | "maxSteps" | "maxWork">;

/** The server's settings with the limits of a key; a key may have less than the server allows, never more. */
export function limitedSettings<S extends LimitedSettings>(
  settings: S,
  key: ApiKey | undefined,
): S & { readonly limitedBy?: ApiKey } {
  if (!key) return settings;
  const { images = Infinity, jobImages = Infinity, steps = Infinity, work = Infinity } = key.limits;
  return {
    ...settings,
    maxImages: Math.min(settings.maxImages, images),
    maxJobImages: Math.min(settings.maxJobImages, jobImages),
    maxSteps: Math.min(settings.maxSteps, steps),
    maxWork: Math.min(settings.maxWork, work),
    limitedBy: key,
  };
}
