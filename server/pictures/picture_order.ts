/**
 * Order of encoding and decoding: fair shares of pixels between clients, and small pictures before large ones.
 *
 * @module
 */

interface Member {
  readonly client: Client;
  /** Total pixels of the request. */
  readonly pixels: number;
  /** Pixels processed for its client's later requests. */
  passed: number;
}

interface Client {
  readonly name: string;
  /** Pixels processed for it, plus the virtual time at its arrival. */
  pixels: number;
  members: number;
}

/**
 * Order of requests. Between clients: self-clocked fair queueing (Golestani 1994), so that a picture waits for no
 * more pixels of each other client than it has itself. Within a client the smallest request is next; pixels processed for
 * later requests are deducted, so that none is overtaken by more pixels than its own. Ties go to the first to arrive.
 */
export class PictureOrder<T> {
  /** In the order in which they came. */
  readonly #members = new Map<T, Member>();
  readonly #clients = new Map<string, Client>();
  /** Virtual time: pixels of the client served last. */
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

  /** @param pixels total pixels of the request */
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

  /** Last to arrive of the client with the most members, if that has more than `name` would have with another. */
  crowding(name: string): T | undefined {
    let most = 1 + (this.#clients.get(name)?.members ?? 0);
    let largest: Client | undefined;
    for (const client of this.#clients.values()) {
      if (client.members > most) [largest, most] = [client, client.members];
    }
    return [...this.#members].findLast(([, { client }]) => client === largest)?.[0];
  }

  /** Records pixels processed for a member. */
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
   * The member whose picture is next.
   *
   * @param nextPixels pixels of a member's next picture
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
