import assert from "node:assert/strict";
import http2 from "node:http2";
import { hostCheck } from "../../../server/http/hosts.ts";
import { harness, problemOf } from "../../support/server/harness.ts";
import { overSocket, talk } from "../../support/server/raw.ts";

/** The status that a request for this host is refused with; 200 where it is not. */
function statusOf(
  host: string,
  settings: Partial<Parameters<typeof hostCheck>[0]> = {},
  token = false,
): number {
  const check = hostCheck({ host: "127.0.0.1", ...settings }, token);
  return check(new Request("http://localhost/", { headers: { Host: host } }))?.status ?? 200;
}

const OWN = [
  "localhost",
  "LocalHost",
  "localhost.",
  "localhost:8000",
  "app.localhost",
  "127.0.0.1:1",
  "127.1",
];
const ADDRESSES = ["192.168.1.5", "10.0.0.1:8000", "[::1]", "[::1]:8000", "[fe80::1]", "[::ffff:127.0.0.1]"];
const FOREIGN = [
  ...[
    "evil.example",
    "evil.example:8000",
    "evil.example.",
    "localhost.evil.example",
    "127.0.0.1.evil.example",
  ],
  ...["notlocalhost", "evil", "evil.local", "1.2.3.4.5", "localhost..", "denoise.example"],
];

Deno.test("without a token, loopback answers to its own names and to addresses, and to nothing else", () => {
  for (const settings of [{}, { host: "::1" }, { host: "localhost" }]) {
    for (const host of [...OWN, ...ADDRESSES]) assert.equal(statusOf(host, settings), 200, host);
    for (const host of FOREIGN) assert.equal(statusOf(host, settings), 421, host);
  }
});

Deno.test("the name that it listens on and that of --public-url are its own", () => {
  assert.equal(statusOf("Box.Example.:80", { host: "box.example" }), 200);
  assert.equal(statusOf("evil.example", { host: "box.example" }), 421);
  const publicUrl = "https://Denoise.example:8443/images";
  assert.equal(statusOf("denoise.example", { publicUrl }), 200);
  assert.equal(statusOf("denoise.example:8443", { publicUrl }), 200);
  assert.equal(statusOf("evil.example", { publicUrl }), 421);
});

Deno.test("on all addresses, names that only the local network knows will do, those of the internet not", () => {
  for (const host of ["0.0.0.0", "::", "192.168.1.5", "box"]) {
    for (const asked of [...OWN, ...ADDRESSES, "box", "denoise:8000", "box.local"]) {
      assert.equal(statusOf(asked, { host }), 200, asked);
    }
    for (const asked of ["evil.example", "box.evil.example", "local.example"]) {
      assert.equal(statusOf(asked, { host }), 421, asked);
    }
  }
});

Deno.test("with a token any name will do: a page of another site does not know it", () => {
  for (const host of FOREIGN) assert.equal(statusOf(host, {}, true), 200, host);
  for (const host of ["a b", "a/b", "a?b", "x@y", ""]) assert.equal(statusOf(host, {}, true), 400, host);
});

Deno.test("the refusal names the hosts there are, and the flag that adds one", async () => {
  const { ask, engine } = harness({ settings: { publicUrl: "https://draw.example" } });
  for (const path of ["/generate", "/", "/healthz", "/docs", "/nothing"]) {
    const answer = await ask(`http://evil.example:8000${path}`);
    assert.equal(answer.status, 421, path);
    const { title, detail, errors } = await problemOf(answer);
    assert.equal(title, "Misdirected Request");
    assert.match(
      detail,
      /localhost, 127\.0\.0\.1, \[::1\], draw\.example .*--public-url.*evil\.example:8000/,
    );
    assert.equal(errors![0].field, "Host");
  }
  const answer = await ask("http://evil.example/v1/models");
  assert.match((await answer.json()).error.message, /--public-url/);
  assert.equal(engine.added.length, 0);
});

Deno.test("over a socket: HTTP/1.0 without a host, absolute addresses, and HTTP/2's authority", async () => {
  await overSocket({}, async (_, port) => {
    const status = async (text: string) => Number((await talk(port, `${text}\r\n\r\n`)).split(" ")[1]);
    assert.equal(await status("GET /classes HTTP/1.0"), 200);
    assert.equal(await status("GET /classes HTTP/1.0\r\nHost: evil.example"), 421);
    const close = "Connection: close";
    assert.equal(await status(`GET http://localhost/classes HTTP/1.1\r\nHost: localhost\r\n${close}`), 200);
    assert.equal(
      await status(`GET http://evil.example/classes HTTP/1.1\r\nHost: localhost\r\n${close}`),
      421,
    );
    assert.equal(
      await status(`GET http://localhost/classes HTTP/1.1\r\nHost: evil.example\r\n${close}`),
      421,
    );

    const session = http2.connect(`http://127.0.0.1:${port}`);
    try {
      for (const [authority, expected] of [["localhost:1", 200], ["evil.example", 421]] as const) {
        const request = session.request({ ":path": "/classes", ":authority": authority });
        const { promise, resolve, reject } = Promise.withResolvers<unknown>();
        request.on("response", (headers) => resolve(headers[":status"])).on("error", reject).resume();
        assert.equal(await promise, expected, authority);
      }
    } finally {
      session.close();
    }
  });
});
