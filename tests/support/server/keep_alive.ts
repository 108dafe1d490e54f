/** Clients with keep-alive connections. */

/** Results of keep-alive clients. */
export interface Outcome {
  /** Number of responses by status. */
  readonly answered: ReadonlyMap<number, number>;
  /** Number of responses with `Connection: close`. */
  readonly closing: number;
  /** Number of requests sent on an open connection without a response. */
  readonly lost: number;
}

/**
 * Sends requests on `clients` concurrent connections, one at a time on each, until connections are refused. After
 * `Connection: close`, a client opens a new connection.
 *
 * @param path path by the number of the request
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

/** Reads responses continuously, so that the end of a connection is noticed at once. */
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

  /** Head of the next complete response; undefined if the connection ends before. */
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
