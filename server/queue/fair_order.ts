/**
 * Fair shares between clients and, likewise, between the requests of one client: of places in the batch (network rows)
 * and, where there are fewer places than takers, of work (network rows times steps).
 *
 * A free place goes to whoever has the fewest rows in the batch; among those, to whoever has waited longest since its
 * last image or, before the first, since it came. Were it "whoever has had the least so far", a steady stream of
 * newcomers, who have had nothing, would starve a request for many images.
 *
 * A place that is taken changes hands in two cases: its holder has as many rows as the other even afterwards; or it has
 * more rows, has done a quantum of work in this place, and is ahead in work by as much (after deficit round robin,
 * Shreedhar & Varghese 1995).
 *
 * @module
 */

interface Share {
  /** Rows in the batch. */
  rows: number;
  /** Work done. Newcomers start level with the least that anybody beside them has had: absence earns no credit. */
  work: number;
  /** When it last got a place or gave one up or, before that, came: a count of such events. */
  since: number;
}

interface Client extends Share {
  readonly members: Set<Share>;
}

/** An image in the batch that may be made to yield its place. */
export interface Holder<T> {
  /** Whose it is. */
  readonly owner: T;
  readonly rows: number;
  /** Work done since it got its place. */
  readonly work: number;
}

/** What a member needs a place for. */
export interface Want<T> {
  readonly member: T;
  /** Rows that it takes, and how many of them are not free. */
  readonly rows: number;
  readonly missing: number;
  /** Work that another with more rows may do in its place, and by which it must be ahead, before it yields. */
  readonly quantum: number;
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

  /** A member goes, with none of its images in the batch any more. */
  leave(member: T): void {
    const { share, client: name } = this.#members.get(member)!;
    const client = this.#clients.get(name)!;
    this.#members.delete(member);
    client.members.delete(share);
    if (client.members.size === 0) this.#clients.delete(name);
  }

  /** One of a member's images joined the batch. */
  joined(member: T, rows: number): void {
    const since = ++this.#events;
    for (const share of this.#sharesOf(member)) {
      share.rows += rows;
      share.since = since;
    }
  }

  /** One of a member's images left the batch. */
  left(member: T, rows: number): void {
    for (const share of this.#sharesOf(member)) share.rows -= rows;
  }

  /** One of a member's images gave up its place: it is behind all that have waited. */
  yielded(member: T, rows: number): void {
    const since = ++this.#events;
    for (const share of this.#sharesOf(member)) {
      share.rows -= rows;
      share.since = since;
    }
  }

  /** Work was done for a member. */
  charge(member: T, work: number): void {
    for (const share of this.#sharesOf(member)) share.work += work;
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

  /**
   * Who yields to a member that wants a place: those with the most rows first, among them those with the most work done.
   *
   * @param holders what is in the batch; of equals the first yields
   * @returns as few as it takes; undefined where it would not be fair
   */
  yielding<H extends Holder<T>>(
    { member, rows, missing, quantum }: Want<T>,
    holders: Iterable<H>,
  ): H[] | undefined {
    const left = new Set(holders);
    const chosen: H[] = [];
    /** Rows that those chosen so far leave each. */
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

  /** Who would yield first: an image of whoever has the most rows and, among those, the most work done. */
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

  /** The shares that two members compete with: their clients', or their own where the client is the same. */
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

/** Whether the first number that differs is larger in `a`. */
function isLarger(a: readonly number[], b: readonly number[]): boolean {
  for (const [i, value] of a.entries()) {
    const other = b[i] ?? -Infinity;
    if (value !== other) return value > other;
  }
  return false;
}
