import assert from "node:assert/strict";
import { PickleArray, readPickle } from "../../lib/data/numpy_pickle.ts";
import { makePickle, makePlanes } from "../support/synthetic.ts";

const FIXTURE = Deno.readFileSync(new URL("./fixtures/data_batch_python2.pickle", import.meta.url));
const NAMES = ["frog_s_000001.png", "truck_s_000002.png", "plane_s_000003.png"];

/** A pickle of protocol 2 with the given opcodes. */
function pickle(...parts: (number | string)[]): Uint8Array {
  const bytes = parts.flatMap((part) =>
    typeof part === "number" ? [part] : [...part].map((letter) => letter.charCodeAt(0))
  );
  return Uint8Array.of(0x80, 2, ...bytes);
}

Deno.test("readPickle: reads what Python wrote", () => {
  const batch = readPickle(FIXTURE, "f");
  assert.ok(batch instanceof Map);
  assert.deepEqual([...batch.keys()], ["batch_label", "labels", "data", "filenames"]);
  assert.deepEqual(batch.get("labels"), [6, 9, 0]);
  const data = batch.get("data");
  assert.ok(data instanceof PickleArray);
  assert.deepEqual(data.shape, [3, 3072]);
  assert.equal(data.fortranOrder, false);
  assert.deepEqual([...data.data], [...makePlanes(3)]);
});

Deno.test("makePickle, which the tests of archives use, writes the same bytes as Python", () => {
  assert.deepEqual(makePickle([6, 9, 0], makePlanes(3), NAMES), FIXTURE);
});

Deno.test("readPickle: reads memo references and numbers of every width", () => {
  assert.deepEqual(readPickle(pickle("]q\x00(K\x05M\x01\x02J", 254, 255, 255, 255, "N", 0x88, "e."), "f"), [
    5,
    513,
    -2,
    null,
    true,
  ]);
  assert.deepEqual(readPickle(pickle("(U\x01aq\x01h\x01r\x00\x01\x00\x00j\x00\x01\x00\x00t."), "f"), [
    Uint8Array.of(97),
    Uint8Array.of(97),
    Uint8Array.of(97),
  ]);
});

Deno.test("readPickle: more than 256 memo entries and items need the long opcodes", () => {
  const names = Array.from({ length: 300 }, (_, i) => `name_${i}.png`);
  const batch = readPickle(makePickle([1], makePlanes(1), names), "f");
  assert.ok(batch instanceof Map);
  assert.deepEqual(
    batch.get("filenames"),
    names.map((name) => new TextEncoder().encode(name)),
  );
});

Deno.test("readPickle: cut short at any byte, it is refused with file and byte", () => {
  for (let length = 0; length < FIXTURE.length; length += length > 220 && length < 9400 ? 97 : 1) {
    assert.throws(() => readPickle(FIXTURE.subarray(0, length), "batch"), /^DataError: batch: byte \d+: /);
  }
});

Deno.test("readPickle: a byte changed anywhere never gives anything but a value or a DataError", () => {
  for (let at = 0; at < FIXTURE.length; at += at > 220 && at < 9400 ? 211 : 1) {
    for (const value of [0, 0x28, 0x2e, 0x52, 0x62, 0x65, 0x75, 0xff]) {
      const bytes = FIXTURE.slice();
      bytes[at] = value;
      try {
        readPickle(bytes, "batch");
      } catch (error) {
        assert.match(String(error), /^DataError: batch: byte \d+: /);
      }
    }
  }
});

Deno.test("readPickle: an array whose bytes do not fill its shape is refused", () => {
  const bytes = FIXTURE.slice();
  // The shape (3, 3072) is BININT1 3, BININT2 3072: make it (4, 3072).
  const at = bytes.findIndex((byte, i) => byte === 0x4b && bytes[i + 1] === 3 && bytes[i + 2] === 0x4d);
  bytes[at + 1] = 4;
  assert.throws(() => readPickle(bytes, "f"), /numpy array: 9216 bytes do not fill the shape \[4,3072\]$/);
});

/** NONE, again and again. */
const NONES = new Uint8Array(2 ** 22 + 10).fill(0x4e);
NONES.set([0x80, 2]);

const REFUSED: [string, Uint8Array, RegExp][] = [
  ["a call of os.system", pickle("cos\nsystem\nU\x02ls\x85R."), /byte 2: .*"os system", which is refused/],
  ["an object's own class", pickle("c__builtin__\neval\n."), /"__builtin__ eval"/],
  ["a name of Object.prototype", pickle("ctoString\n\n."), /refused/],
  ["NEWOBJ", pickle("N", 0x81, "."), /byte 3: opcode 0x81 \(NEWOBJ\)/],
  ["INST", pickle("(ios\nsystem\n."), /\(INST\)/],
  ["PERSID", pickle("Pabc\n."), /\(PERSID\)/],
  ["UNICODE of Python 3", pickle("X\x01\x00\x00\x00a."), /\(BINUNICODE\)/],
  ["LONG4", pickle(0x8b, 255, 255, 255, 127, "."), /\(LONG4\)/],
  ["an unknown opcode", pickle(0xff), /0xff \(unknown\)/],
  ["another protocol", Uint8Array.of(0x80, 4, 0x4e, 0x2e), /pickle protocol 4, expected 2/],
  ["text", new TextEncoder().encode("labels"), /not a pickle/],
  [
    "REDUCE of another type",
    pickle("cnumpy\ndtype\nU\x02f4\x85R."),
    /a numpy dtype other than unsigned bytes/,
  ],
  ["BUILD of a list", pickle("]Nb."), /BUILD without a tuple/],
  [
    "a length beyond the file",
    pickle("T\xff\xff\xff\x7fabc."),
    /expected 2147483647 bytes at byte 7/,
  ],
  ["a memo slot never stored", pickle("h\x05."), /memo 5/],
  ["a pop below the mark", pickle("N(", 0x85, "."), /a value is missing/],
  ["an odd number of items", pickle("}(U\x01au."), /a key without a value/],
  ["None as key", pickle("}NNs."), /a key that is not a string or number/],
  ["bytes after the end", pickle("N.N"), /1 bytes follow/],
  ["values left over", pickle("NN."), /left over/],
  ["more opcodes than a million images need", NONES, /more than 4194304 opcodes/],
  [
    "a key of 256 bytes",
    pickle("}T\x00\x01\x00\x00", "k".repeat(256), "Ns."),
    /a name of 256 bytes, expected/,
  ],
  ["a name of 256 bytes", pickle("c", "m".repeat(256), "\nx\n."), /a name of 256 bytes, expected/],
  [
    "an array of 33 dimensions",
    pickle(
      ...[
        "cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\n",
        0x85,
        "R(N(",
        ...new Array(33).fill("K\x01"),
      ],
      ...["tcnumpy\ndtype\nU\x02u1", 0x85, "R", 0x89, "U\x01atb."],
    ),
    /expected a shape of at most 32 numbers/,
  ],
];

for (const [what, bytes, message] of REFUSED) {
  Deno.test(`readPickle: refuses ${what}`, () => {
    assert.throws(() => readPickle(bytes, "f"), (error) => {
      assert.match(String(error), /^DataError: f: byte \d+: /);
      assert.match(String(error), message);
      return true;
    });
  });
}
