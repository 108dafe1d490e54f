/**
 * Ranks: processes that work on one run, and what they say to each other.
 *
 * @module
 */

/** One rank's view of all ranks. Every rank must call the same operations in the same order. */
export interface Communicator {
  /** Number of this rank, from 0. */
  readonly rank: number;
  /** Number of ranks. */
  readonly size: number;
  /**
   * Sends each rank a part of a buffer, and receives from each.
   *
   * @param send parts for rank 0, 1, …, one after the other
   * @param sendCounts floats for each rank
   * @param receive parts from rank 0, 1, …, one after the other
   * @param receiveCounts floats from each rank
   */
  exchange(
    send: Float32Array<ArrayBuffer>,
    sendCounts: readonly number[],
    receive: Float32Array<ArrayBuffer>,
    receiveCounts: readonly number[],
  ): Promise<void>;
  /**
   * Collects a part of each rank, on every rank.
   *
   * @param counts floats from each rank
   */
  gather(
    part: Float32Array<ArrayBuffer>,
    whole: Float32Array<ArrayBuffer>,
    counts: readonly number[],
  ): Promise<void>;
  /** Collects bytes of any length from each rank, on every rank: in the order of the ranks. */
  gatherBytes(own: Uint8Array): Promise<Uint8Array[]>;
  /** Ends all ranks at once, this one included, with exit status 1. Say why before. */
  abort(): never;
}

/** Collects a value of each rank, on every rank. */
export async function gatherJson<T>(communicator: Communicator, own: T): Promise<T[]> {
  const bytes = await communicator.gatherBytes(new TextEncoder().encode(JSON.stringify(own)));
  return bytes.map((each) => JSON.parse(new TextDecoder().decode(each)));
}
