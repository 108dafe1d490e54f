/**
 * Order of encoding: fair shares of pixels between clients, and small pictures before large ones.
 *
 * @module
 */
import type { PictureJob } from "./encoder.ts";

interface Member {
  readonly client: Client;
  /** Pixels that it needs in all. */
  readonly pixels: number;
  /** Pixels encoded for its client's later requests. */
  passed: number;
}

interface Client {
  readonly name: string;
  /** Pixels encoded for it, on top of the virtual time at which it came. */
  pixels: number;
  members: number;
}

/**
 * Orders requests for files. Between clients: self-clocked fair queueing (Golestani 1994), so that a picture waits for
 * no more pixels of each other client than it has itself. Of a client's requests the smallest is next; what was encoded
 * for later ones is deducted, so that none lets more pass than it needs itself. Of equals, the first that came is next.
 */
export class EncodingOrder<T> {
  /** In the order in which they came. */
  readonly #members = new Map<T, Member>();
  readonly #clients = new Map<string, Client>();
  /** Virtual time: what the client that was served last has had. */
  #clock = 0;

  get size(): number {
    return this.#members.size;
  }

  has(member: T): boolean {
    return this.#members.has(member);
  }

  /** In the order in which they came. */
  [Symbol.iterator](): Iterator<T> {
    return this.#members.keys();
  }

  /** @param pixels that it needs in all */
  enter(member: T, name: string, pixels: number): void {
    let client = this.#clients.get(name);
    if (!client) {
      client = { name, pixels: this.#clock, members: 0 };
      this.#clients.set(name, client);
    }
    client.members++;
    this.#members.set(member, { client, pixels, passed: 0 });
  }

  leave(member: T): void {
    const { client } = this.#members.get(member)!;
    this.#members.delete(member);
    if (--client.members === 0) this.#clients.delete(client.name);
  }

  /** Pixels were encoded for a member. */
  charge(member: T, pixels: number): void {
    const { client } = this.#members.get(member)!;
    client.pixels += pixels;
    this.#clock = Math.max(this.#clock, client.pixels);
    for (const [earlier, waiting] of this.#members) {
      if (earlier === member) break;
      if (waiting.client === client) waiting.passed += pixels;
    }
  }

  /**
   * Who is next.
   *
   * @param nextPixels of a member's next picture
   */
  first(nextPixels: (member: T) => number): T | undefined {
    const smallest = new Map<Client, [member: T, facts: Member]>();
    for (const [member, facts] of this.#members) {
      const best = smallest.get(facts.client)?.[1];
      if (!best || facts.pixels - facts.passed < best.pixels - best.passed) {
        smallest.set(facts.client, [member, facts]);
      }
    }
    let first: T | undefined;
    let least = Infinity;
    for (const [client, [member]] of smallest) {
      const pixels = client.pixels + nextPixels(member);
      if (pixels < least) [first, least] = [member, pixels];
    }
    return first;
  }
}

/** Pixels of a picture's frames; the time that it takes to encode is about proportional to them. */
export function pixelsOf({ images, height, width, scale, frames = [] }: PictureJob): number {
  return (frames.length + 1) * images.length * height * width * scale ** 2;
}
