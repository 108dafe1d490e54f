/** Clients that ask again and again on one connection for as long as they may. */

/** What became of the requests of some clients. */
export interface Outcome {
  /** How many answers had each status. */
  readonly answered: ReadonlyMap<number, number>;
  /** Answers that told the client to leave the connection. */
  readonly closing: number;
  /** Requests that were sent on an open connection and got no answer. */
  readonly lost: number;
}

/**
 * Asks on `clients` connections at once, each with the next request when it has the answer, until nobody listens any
 * more. A client leaves a connection that is to be closed, and opens another.
 *
 * @param path of the address, by the number of the request
 */
export async function askUntilRefused(
  port: number,
  clients: number,
  path: (request: number) => string,
): Promise<Outcome> {
  const answered = new Map<number, number>();
  let [closing, lost, asked] = [0, 0, 0];
  const converse = async (connection: Deno.Conn): Promise<void> => {
    const reader = new AnswerReader(connection);
    while (!reader.ended) {
      const text = `GET ${path(asked++)} HTTP/1.1\r\nHost: localhost\r\n\r\n`;
      const head = await connection.write(new TextEncoder().encode(text)).then(
        () => reader.next(),
        () => undefined,
      );
      if (head === undefined) {
        lost++;
        return;
      }
      const status = Number(head.split(" ")[1]);
      answered.set(status, (answered.get(status) ?? 0) + 1);
      if (/^connection: close\r?$/im.test(head)) {
        closing++;
        return;
      }
    }
  };
  await Promise.all(Array.from({ length: clients }, async () => {
    while (true) {
      const connection = await Deno.connect({ hostname: "127.0.0.1", port }).catch(() => undefined);
      if (!connection) return;
      await converse(connection);
      connection.close();
    }
  }));
  return { answered, closing, lost };
}

/** Reads the answers on a connection. It always reads, and so knows at once of the connection's end. */
class AnswerReader {
  ended = false;
  #received = "";
  #news = Promise.withResolvers<void>();

  constructor(connection: Deno.Conn) {
    this.#read(connection);
  }

  async #read(connection: Deno.Conn): Promise<void> {
    const buffer = new Uint8Array(65_536);
    while (!this.ended) {
      const length = await connection.read(buffer).catch(() => null);
      if (length === null) this.ended = true;
      else this.#received += new TextDecoder("latin1").decode(buffer.subarray(0, length));
      this.#news.resolve();
      this.#news = Promise.withResolvers();
    }
  }

  /** The head of the next answer when all of it has come; undefined where it does not. */
  async next(): Promise<string | undefined> {
    while (true) {
      const end = this.#received.indexOf("\r\n\r\n");
      if (end >= 0) {
        const head = this.#received.slice(0, end);
        const whole = end + 4 + Number(/^content-length: (\d+)/im.exec(head)?.[1] ?? 0);
        if (this.#received.length >= whole) {
          this.#received = this.#received.slice(whole);
          return head;
        }
      }
      if (this.ended) return undefined;
      await this.#news.promise;
    }
  }
}
