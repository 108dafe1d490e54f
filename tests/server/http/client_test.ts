import assert from "node:assert/strict";
import { clientAddress } from "../../../server/http/client.ts";
import { harness } from "../../support/server/harness.ts";

const PROXIES = ["10.0.0.1", "10.0.0.2", "fd00::1"];

Deno.test("the client is whom the last of one's own proxies heard from", () => {
  const cases: [peer: string, forwarded: string | undefined, client: string][] = [
    ["192.0.2.7", undefined, "192.0.2.7"],
    ["192.0.2.7", "203.0.113.1", "192.0.2.7"], // no proxy of ours: what it says of others counts for nothing
    ["10.0.0.1", undefined, "10.0.0.1"],
    ["10.0.0.1", "203.0.113.1", "203.0.113.1"],
    ["10.0.0.1", "198.51.100.9, 203.0.113.1", "203.0.113.1"], // the first is what the client wrote
    ["10.0.0.1", "198.51.100.9, 203.0.113.1, 10.0.0.2", "203.0.113.1"],
    ["10.0.0.1", "10.0.0.2", "10.0.0.2"],
    ["::ffff:10.0.0.1", "203.0.113.1:4711", "203.0.113.1"],
    ["fd00::1", "[2001:DB8::5]:4711", "2001:db8::5"],
    ["10.0.0.1", "2001:db8::5", "2001:db8::5"],
    ["10.0.0.1", "203.0.113.1, <script>", "10.0.0.1"],
    ["10.0.0.1", "203.0.113.1,", "10.0.0.1"],
    ["10.0.0.1", "unknown", "10.0.0.1"],
    ["unknown", "203.0.113.1", "unknown"],
  ];
  for (const [peer, forwarded, client] of cases) {
    assert.equal(clientAddress(peer, forwarded, PROXIES), client, `${peer} ${forwarded}`);
  }
  assert.equal(clientAddress("10.0.0.1", "203.0.113.1"), "10.0.0.1");
});

Deno.test("behind a proxy of one's own, log and queue tell clients apart", async () => {
  const headers = { "X-Forwarded-For": "203.0.113.1" };
  const seen: unknown[] = [];
  for (const trustedProxy of [undefined, ["192.0.2.1"]]) {
    const { ask, log, context: { runner } } = harness({ settings: { trustedProxy } });
    const run = runner.run.bind(runner);
    runner.run = (job) => {
      seen.push(job.client);
      return run(job);
    };
    await (await ask("/generate", { headers })).body?.cancel();
    seen.push(log[0].client);
  }
  assert.deepEqual(seen, ["192.0.2.1", "192.0.2.1", "203.0.113.1", "203.0.113.1"]);
});
