/**
 * Fair scheduling between clients and, by the same rules, between the requests of one client: equal shares of the batch's
 * rows and, when there are more clients than rows, of work (network rows times steps).
 *
 * A free place goes to the client with the fewest rows in the batch; ties go to the one that has waited longest since its
 * last image or its arrival. Choosing the client with the least work so far would let a steady stream of newcomers starve
 * a request for many images.
 *
 * A running image is preempted in two cases: its owner still has as many rows as the other afterwards; or it has more
 * rows, has done a quantum of work in this place, and is ahead in work by a quantum (after deficit round robin,
 * Shreedhar and Varghese 1995).
 *
 * @module
 */

interface Share {
  /** Rows in the batch. */
  rows: number;
  /** Work done. Newcomers start at the minimum of the others, so that idle clients accumulate no credit. */
  work: number;
  /** Event count at the last time it got or yielded a place or, before that, at its arrival. */
  since: number;
}

interface Client extends Share {
  readonly members: Set<Share>;
}

/** An image in the batch, which may be preempted. */
export interface Holder<T> {
  /** Member that the image belongs to. */
  readonly owner: T;
  readonly rows: number;
  /** Work done since it got its place. */
  readonly work: number;
}

/** Rows that a member needs for its next image. */
export interface Want<T> {
  readonly member: T;
  /** Rows of the image, and how many of them are not free. */
  readonly rows: number;
  readonly missing: number;
  /** Work that a holder with more rows must have done in its place, and its lead in work, before it is preempted. */
  readonly quantum: number;
}

/** Fair order of members (requests), grouped by client. */
export class FairOrder<T> {
  readonly #clients = new Map<string, Client>();
  readonly #members = new Map<T, { readonly share: Share; readonly client: string }>();
  #events = 0;

  /** Number of members and clients; 0 when all have left. */
  get size(): number {
    return this.#members.size + this.#clients.size;
  }

  /** Adds a member, behind all that wait unless its client has fewer rows in the batch. */
  enter(member: T, name: string): void {
    const since = ++this.#events;
    let client = this.#clients.get(name);
    if (!client) {
      client = { rows: 0, work: leastWork(this.#clients.values()), since, members: new Set() };
      this.#clients.set(name, client);
    }
    const share = { rows: 0, work: leastWork(client.members), since };
    client.members.add(share);
    this.#members.set(member, { share, client: name });
  }

  /** Removes a member, which must have no image in the batch. */
  leave(member: T): void {
    const { share, client: name } = this.#members.get(member)!;
    const client = this.#clients.get(name)!;
    this.#members.delete(member);
    client.members.delete(share);
    if (client.members.size === 0) this.#clients.delete(name);
  }

  /** Records that one of a member's images joined the batch. */
  joined(member: T, rows: number): void {
    const since = ++this.#events;
    for (const share of this.#sharesOf(member)) {
      share.rows += rows;
      share.since = since;
    }
  }

  /** Records that one of a member's images left the batch. */
  left(member: T, rows: number): void {
    for (const share of this.#sharesOf(member)) share.rows -= rows;
  }

  /** Records that one of a member's images was preempted: the member is now behind all that wait. */
  yielded(member: T, rows: number): void {
    const since = ++this.#events;
    for (const share of this.#sharesOf(member)) {
      share.rows -= rows;
      share.since = since;
    }
  }

  /** Records work done for a member. */
  charge(member: T, work: number): void {
    for (const share of this.#sharesOf(member)) share.work += work;
  }

  /** The member whose turn it is. */
  first(members: Iterable<T>): T | undefined {
    let first: T | undefined;
    for (const member of members) {
      if (first === undefined || this.#compare(member, first) < 0) first = member;
    }
    return first;
  }

  /** Members in the current order of their turns. */
  sorted(members: Iterable<T>): T[] {
    return [...members].sort((a, b) => this.#compare(a, b));
  }

  /**
   * Images to preempt for a member: of owners with the most rows first, ties by most work done.
   *
   * @param holders images in the batch; ties go to the first
   * @returns as few as needed; undefined if preemption would not be fair
   */
  yielding<H extends Holder<T>>(
    { member, rows, missing, quantum }: Want<T>,
    holders: Iterable<H>,
  ): H[] | undefined {
    const left = new Set(holders);
    const chosen: H[] = [];
    /** Rows left to each share after the images chosen so far. */
    const remaining = new Map<Share, number>();
    const rowsOf = (share: Share) => remaining.get(share) ?? share.rows;
    const mayYield = (holder: H) => {
      const [held, wanting] = this.#rivals(holder.owner, member);
      if (rowsOf(held) - holder.rows >= wanting.rows + rows) return true;
      return rowsOf(held) > wanting.rows && Math.min(holder.work, held.work - wanting.work) >= quantum;
    };
    for (let freed = 0; freed < missing;) {
      const next = this.largest([...left].filter(mayYield), rowsOf);
      if (!next) return undefined;
      left.delete(next);
      chosen.push(next);
      freed += next.rows;
      for (const share of this.#sharesOf(next.owner)) remaining.set(share, rowsOf(share) - next.rows);
    }
    return chosen;
  }

  /** First image to preempt: of the owner with the most rows, ties by most work done. */
  largest<H extends Holder<T>>(
    holders: Iterable<H>,
    rowsOf: (share: Share) => number = ({ rows }) => rows,
  ): H | undefined {
    let largest: { readonly holder: H; readonly rank: readonly number[] } | undefined;
    for (const holder of holders) {
      const rank = this.#sharesOf(holder.owner).flatMap((share) => [rowsOf(share), share.work]);
      if (!largest || isLarger(rank, largest.rank)) largest = { holder, rank };
    }
    return largest?.holder;
  }

  #compare(a: T, b: T): number {
    const [clientA, memberA] = this.#sharesOf(a);
    const [clientB, memberB] = this.#sharesOf(b);
    return clientA.rows - clientB.rows || clientA.since - clientB.since ||
      memberA.rows - memberB.rows || memberA.since - memberB.since;
  }

  /** Shares to compare for two members: their clients', or their own if they have the same client. */
  #rivals(a: T, b: T): [Share, Share] {
    const [[clientA, memberA], [clientB, memberB]] = [this.#sharesOf(a), this.#sharesOf(b)];
    return clientA === clientB ? [memberA, memberB] : [clientA, clientB];
  }

  #sharesOf(member: T): [client: Share, member: Share] {
    const { share, client } = this.#members.get(member)!;
    return [this.#clients.get(client)!, share];
  }
}

function leastWork(shares: Iterable<Share>): number {
  let least = Infinity;
  for (const { work } of shares) least = Math.min(least, work);
  return least === Infinity ? 0 : least;
}

/** Lexicographic comparison: true if `a` is larger. */
function isLarger(a: readonly number[], b: readonly number[]): boolean {
  for (const [i, value] of a.entries()) {
    const other = b[i] ?? -Infinity;
    if (value !== other) return value > other;
  }
  return false;
}
