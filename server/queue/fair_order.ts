/**
 * Whose turn it is: between clients, and between the requests of one client, whoever has the fewest images in the batch;
 * among those, whoever has waited longest since its last image or, before the first, since it came.
 *
 * The second rule is what keeps a request for many images from starving. Were it "whoever has had the fewest so far", a
 * steady stream of newcomers, who have had none, would come before its next image for ever.
 *
 * @module
 */

interface Share {
  /** Images in the batch. */
  running: number;
  /** When it last got a place or, before that, came: a count of such events. */
  since: number;
}

interface Client extends Share {
  members: number;
}

/** Members that take turns, each on behalf of a client. */
export class FairOrder<T> {
  readonly #clients = new Map<string, Client>();
  readonly #members = new Map<T, { readonly share: Share; readonly client: string }>();
  #events = 0;

  /** Members and clients that are known; 0 when all have left. */
  get size(): number {
    return this.#members.size + this.#clients.size;
  }

  /** A member comes; behind all that have waited, unless its client has less in the batch. */
  enter(member: T, client: string): void {
    const since = ++this.#events;
    this.#members.set(member, { share: { running: 0, since }, client });
    const known = this.#clients.get(client);
    if (known) known.members++;
    else this.#clients.set(client, { running: 0, since, members: 1 });
  }

  /** A member goes, with none of its images in the batch any more. */
  leave(member: T): void {
    const { client: name } = this.#members.get(member)!;
    const client = this.#clients.get(name)!;
    this.#members.delete(member);
    if (--client.members === 0) this.#clients.delete(name);
  }

  /** One of a member's images joined the batch. */
  joined(member: T): void {
    const since = ++this.#events;
    for (const share of this.#sharesOf(member)) {
      share.running++;
      share.since = since;
    }
  }

  /** One of a member's images left the batch. */
  left(member: T): void {
    for (const share of this.#sharesOf(member)) share.running--;
  }

  /** Whose turn it is among some members. */
  first(members: Iterable<T>): T | undefined {
    let first: T | undefined;
    for (const member of members) {
      if (first === undefined || this.#compare(member, first) < 0) first = member;
    }
    return first;
  }

  /** Some members in the order of their turns as it is now. */
  sorted(members: Iterable<T>): T[] {
    return [...members].sort((a, b) => this.#compare(a, b));
  }

  #compare(a: T, b: T): number {
    const [clientA, memberA] = this.#sharesOf(a);
    const [clientB, memberB] = this.#sharesOf(b);
    return clientA.running - clientB.running || clientA.since - clientB.since ||
      memberA.running - memberB.running || memberA.since - memberB.since;
  }

  #sharesOf(member: T): [client: Share, member: Share] {
    const { share, client } = this.#members.get(member)!;
    return [this.#clients.get(client)!, share];
  }
}
