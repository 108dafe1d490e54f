/** A receiver of webhooks on loopback, whose answers a test chooses. */
import { Webhook } from "standardwebhooks";

/** A request that was received. */
export interface Received {
  readonly headers: Record<string, string>;
  readonly body: string;
}

/** A running receiver. */
export interface Receiver extends AsyncDisposable {
  /** Host and port, as `--webhook-hosts` lists it. */
  readonly host: string;
  readonly url: string;
  readonly received: Received[];
  /** Resolves when so many requests have been received. */
  readonly until: (count: number) => Promise<void>;
}

/** Starts a receiver; `answer` gets the number of the request, from 0. */
export function startReceiver(answer: (number: number) => Response | Promise<Response>): Receiver {
  const received: Received[] = [];
  let wake = Promise.withResolvers<void>();
  const server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen() {} }, async (request) => {
    const number = received.length;
    received.push({ headers: Object.fromEntries(request.headers), body: await request.text() });
    wake.resolve();
    wake = Promise.withResolvers();
    return await answer(number);
  });
  const host = `127.0.0.1:${server.addr.port}`;
  return {
    host,
    url: `http://${host}/hook?key=1`,
    received,
    async until(count) {
      while (received.length < count) await wake.promise;
    },
    async [Symbol.asyncDispose]() {
      await server.shutdown();
    },
  };
}

/**
 * Verifies a request by the reference library of Standard Webhooks, which also refuses timestamps that are not of the last five
 * minutes.
 *
 * @returns its body
 */
export function verify({ headers, body }: Received, secret: string): Record<string, unknown> {
  return new Webhook(secret).verify(body, headers) as Record<string, unknown>;
}
