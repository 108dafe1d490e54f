/**
 * Signatures of webhooks, as in Standard Webhooks 1.0 (https://www.standardwebhooks.com).
 *
 * @module
 */
import { Buffer } from "node:buffer";
import { createHmac } from "node:crypto";

const PREFIX = "whsec_";
/** Allowed bytes of a secret. */
const SECRET_BYTES = [24, 64] as const;

/** Description of a secret, for errors. */
export const SECRET_WORDS = `${PREFIX} and ${SECRET_BYTES.join(" to ")} bytes in base64`;

/** A new secret. */
export function createWebhookSecret(): string {
  return PREFIX + crypto.getRandomValues(new Uint8Array(32)).toBase64();
}

/** True for a secret of the right form and length. */
export function isWebhookSecret(text: string): boolean {
  const bytes = keyOf(text);
  return bytes !== undefined && bytes.length >= SECRET_BYTES[0] && bytes.length <= SECRET_BYTES[1];
}

/** A message to sign. */
export interface WebhookMessage {
  /** Id of the message, the same in all attempts. */
  readonly id: string;
  /** Time of the attempt, seconds since 1970. */
  readonly timestamp: number;
  readonly body: string;
}

/** Headers of a message with its signature: HMAC-SHA256 of `id.timestamp.body`. */
export function signedHeaders(
  secret: string,
  { id, timestamp, body }: WebhookMessage,
): Record<string, string> {
  const key = keyOf(secret);
  if (!key) throw new TypeError("not the secret of a webhook");
  const signature = createHmac("sha256", key).update(`${id}.${timestamp}.${body}`).digest("base64");
  return {
    "webhook-id": id,
    "webhook-timestamp": String(timestamp),
    "webhook-signature": `v1,${signature}`,
  };
}

function keyOf(secret: string): Uint8Array | undefined {
  if (!secret.startsWith(PREFIX)) return undefined;
  const text = secret.slice(PREFIX.length);
  const bytes = Buffer.from(text, "base64");
  return bytes.toString("base64") === text ? bytes : undefined;
}
