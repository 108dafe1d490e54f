/** Ranks that are in one process. */
import type { Communicator } from "../../../lib/mpi/communicator.ts";

/** Contributions to one collective operation. */
interface Meeting {
  readonly given: Map<number, unknown>;
  readonly all: PromiseWithResolvers<unknown[]>;
}

/** Communicators of `size` ranks, in their order. */
export function localRanks(size: number): Communicator[] {
  const meetings: Meeting[] = [];
  const meet = <T>(rank: number, turn: number, own: T): Promise<T[]> => {
    const meeting = meetings[turn] ??= { given: new Map(), all: Promise.withResolvers() };
    meeting.given.set(rank, own);
    if (meeting.given.size === size) {
      meeting.all.resolve(Array.from({ length: size }, (_, each) => meeting.given.get(each)));
    }
    return meeting.all.promise as Promise<T[]>;
  };
  return Array.from({ length: size }, (_, rank) => {
    let turn = 0;
    const collect = <T>(own: T) => meet(rank, turn++, own);
    return {
      rank,
      size,
      async exchange(send, sendCounts, receive, receiveCounts) {
        let at = 0;
        const parts = sendCounts.map((count) => send.slice(at, at += count));
        const all = await collect(parts);
        let to = 0;
        for (const [from, given] of all.entries()) {
          const part = given[rank];
          if (part.length !== receiveCounts[from]) throw new Error(`${part.length} floats from rank ${from}`);
          receive.set(part, to);
          to += part.length;
        }
      },
      async gather(part, whole, counts) {
        const all = await collect(part.slice(0, counts[rank]));
        let to = 0;
        for (const given of all) {
          whole.set(given, to);
          to += given.length;
        }
        if (to !== whole.length) throw new Error(`${to} floats of ${whole.length}`);
      },
      gatherBytes: (own) => collect(own.slice()),
      abort() {
        throw new Error("aborted");
      },
    };
  });
}
