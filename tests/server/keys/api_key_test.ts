import assert from "node:assert/strict";
import fc from "fast-check";
import { hasExpired, keyOfSecret, limitedSettings, rotateKey } from "../../../server/keys/api_key.ts";
import { RequestRate } from "../../../server/keys/request_rate.ts";
import { defaultSettings } from "../../../server/settings.ts";
import { makeKey } from "../../support/server/keys.ts";

Deno.test("a key has 256 random bits that a header may carry, and only its digest is kept", () => {
  const [first, second] = [makeKey("a"), makeKey("a")];
  assert.match(first.secret, /^dn_[A-Za-z0-9_-]{43}$/);
  assert.notEqual(first.secret, second.secret);
  assert.notEqual(first.key.id, second.key.id);
  assert.equal(JSON.stringify(first.key).includes(first.secret.slice(3, 20)), false);
});

Deno.test("a secret finds its own key, whole and unchanged alone", () => {
  const made = Array.from({ length: 5 }, (_, i) => makeKey(`key-${i}`));
  const keys = made.map(({ key }) => key);
  for (const { key, secret } of made) {
    assert.equal(keyOfSecret(secret, keys), key);
    for (const wrong of [secret.slice(0, -1), `${secret}x`, secret.toUpperCase(), "", key.sha256]) {
      assert.equal(keyOfSecret(wrong, keys), undefined);
    }
  }
  const { key, secret } = rotateKey(keys[2], new Date(5));
  assert.deepEqual({ ...key, sha256: "", created: "" }, { ...keys[2], sha256: "", created: "" });
  assert.equal(keyOfSecret(secret, [key]), key);
  assert.equal(keyOfSecret(made[2].secret, [key]), undefined);
});

Deno.test("a key ends at its time", () => {
  const { key } = makeKey("a", {}, { expires: "1970-01-01T00:00:10Z" });
  assert.deepEqual([hasExpired(key, 9999), hasExpired(key, 10_000)], [false, true]);
  assert.equal(hasExpired(makeKey("b").key, 1e15), false);
});

Deno.test("the limits of a key lower the server's and never raise them", () => {
  const settings = { ...defaultSettings, model: "m" };
  const limited = limitedSettings(settings, makeKey("a", { images: 4, steps: 99_999, work: 10 }).key);
  assert.deepEqual(
    [limited.maxImages, limited.maxSteps, limited.maxWork, limited.maxJobImages],
    [4, settings.maxSteps, 10, settings.maxJobImages],
  );
  assert.equal(limitedSettings(settings, undefined), settings);
});

Deno.test("in no minute are there more requests than the limit, and none waits longer than it must", () => {
  fc.assert(fc.property(
    fc.integer({ min: 1, max: 5 }),
    fc.array(fc.integer({ min: 0, max: 30_000 }), { minLength: 1, maxLength: 40 }),
    (limit, waits) => {
      const rate = new RequestRate();
      const taken: number[] = [];
      let now = 0;
      for (const wait of waits) {
        now += wait;
        const seconds = rate.take("a", limit, now);
        const recent = taken.filter((time) => time > now - 60_000).length;
        assert.equal(seconds === 0, recent < limit, `${recent} of ${limit}`);
        if (seconds === 0) taken.push(now);
        else assert.ok(Math.abs(now + 1000 * seconds - (taken.at(-limit)! + 60_000)) < 1e-6);
      }
    },
  ));
});

Deno.test("keys do not share a rate, and a lowered limit holds at once", () => {
  const rate = new RequestRate();
  assert.deepEqual([1, 2, 3].map((now) => rate.take("a", 3, now)), [0, 0, 0]);
  assert.equal(rate.take("b", 1, 3), 0);
  assert.equal(rate.take("a", 1, 4), (3 + 60_000 - 4) / 1000);
  rate.keep(new Set(["b"]));
  assert.deepEqual([rate.take("a", 1, 5), rate.take("b", 1, 5) > 0], [0, true]);
});
