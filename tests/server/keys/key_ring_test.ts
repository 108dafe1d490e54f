import assert from "node:assert/strict";
import { join } from "node:path";
import { KeyRing } from "../../../server/keys/key_ring.ts";
import { JsonLog } from "../../../server/log.ts";
import { FakeClock } from "../../support/server/fake_clock.ts";
import { makeKey, writeKeys } from "../../support/server/keys.ts";
import { inTemporaryDirectory } from "../../support/train/directories.ts";
import { until } from "../../support/until.ts";

Deno.test("the keys follow their file; one that cannot be taken changes nothing, and is logged once", async () => {
  await inTemporaryDirectory(async (directory) => {
    const file = join(directory, "keys.json");
    const [anna, bob] = [makeKey("anna"), makeKey("bob")];
    await writeKeys(file, [anna]);
    const clock = new FakeClock();
    const log: Record<string, unknown>[] = [];
    const ring = await KeyRing.open(file, new JsonLog((line) => log.push(JSON.parse(line))), { clock });
    const heard: string[][] = [];
    ring.listen(({ names }) => heard.push([...names]));
    const known = () => [anna, bob].map(({ secret }) => "key" in ring.find(secret));
    assert.deepEqual(known(), [true, false]);

    await writeKeys(file, [anna, bob]);
    clock.advance(1999);
    assert.deepEqual(known(), [true, false]);
    clock.advance(1); // reads the file in the background
    await until("the file read", () => heard.length > 0);
    assert.deepEqual([known(), ring.names], [[true, true], ["anna", "bob"]]);

    await Deno.writeTextFile(file, "{");
    await ring.refresh();
    await ring.refresh();
    await Deno.remove(file);
    await ring.refresh();
    assert.deepEqual(known(), [true, true]);
    const problems = log.filter(({ level }) => level === "error").map(({ problem }) => String(problem));
    assert.equal(problems.length, 2);
    assert.match(problems[0], /it is not JSON/);
    assert.match(problems[1], /a file that can be read/);

    await writeKeys(file, [bob]);
    await ring.refresh();
    await ring.refresh(); // unchanged
    assert.deepEqual([known(), ring.has(anna.key.id)], [[false, true], false]);
    assert.deepEqual(heard, [["anna", "bob"], ["bob"]]);
    const text = JSON.stringify(log);
    for (const { secret, key } of [anna, bob]) {
      assert.equal(text.includes(secret) || text.includes(key.sha256), false);
    }
    ring.close();
    assert.equal(clock.pending, 0);
  });
});

Deno.test("a server without any key warns that it refuses everything", async () => {
  await inTemporaryDirectory(async (directory) => {
    const file = join(directory, "keys.json");
    await writeKeys(file, []);
    const lines: string[] = [];
    const ring = await KeyRing.open(file, new JsonLog((line) => lines.push(line)), {
      clock: new FakeClock(),
    });
    assert.match(lines.join(), /no keys: all requests are refused/);
    assert.deepEqual(ring.find("dn_x"), { refused: "the API key is unknown or revoked" });
    ring.close();
  });
});

Deno.test("a listener that fails is logged, and the file is read on", async () => {
  await inTemporaryDirectory(async (directory) => {
    const file = join(directory, "keys.json");
    const [anna, bob] = [makeKey("anna"), makeKey("bob")];
    await writeKeys(file, [anna]);
    const lines: string[] = [];
    const clock = new FakeClock();
    const ring = await KeyRing.open(file, new JsonLog((line) => lines.push(line)), { clock });
    ring.listen(() => {
      throw new Error("disk full");
    });
    await writeKeys(file, [anna, bob]);
    await ring.refresh();
    assert.match(lines.join(), /a change of keys was not carried out everywhere.*disk full/);
    assert.ok(ring.has(bob.key.id));
    assert.equal(clock.pending, 1, "the next reading is due");
    ring.close();
  });
});
