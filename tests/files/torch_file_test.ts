import assert from "node:assert/strict";
import { CheckpointError } from "../../lib/errors.ts";
import { type SafeTensor, toFloat32 } from "../../lib/files/dtypes.ts";
import { decodeTorchFile } from "../../lib/files/torch_file.ts";
import { readTorchPickle } from "../../lib/files/torch_pickle.ts";
import {
  dictionary,
  pickleOf,
  type PicklePart,
  storage,
  tensor,
  torchZip,
  unicode,
  type ZipEntries,
  zipOf,
} from "../support/torch_files.ts";

const ZIP = Deno.readFileSync(new URL("../golden/torch_zip.pt", import.meta.url));
const LEGACY = Deno.readFileSync(new URL("../golden/torch_legacy.pt", import.meta.url));

/** The checkpoint of tests/golden/torch_files.py. */
const EXPECTED: Record<string, { shape: number[]; values: number[] }> = {
  float32: { shape: [2, 3], values: base(6) },
  float16: { shape: [3, 2], values: base(6) },
  bfloat16: { shape: [4], values: base(4) },
  float64: { shape: [3], values: base(3) },
  transposed: { shape: [3, 2], values: pick(6, [0, 3, 1, 4, 2, 5]) },
  sliced: { shape: [2, 2], values: pick(12, [5, 6, 9, 10]) },
  whole: { shape: [12], values: base(12) },
  permuted: {
    shape: [4, 2, 3],
    values: pick(
      24,
      [0, 4, 8, 12, 16, 20].flatMap((first) => first).concat(
        [1, 2, 3].flatMap((k) => [0, 4, 8, 12, 16, 20].map((i) => i + k)),
      ),
    ),
  },
  scalar: { shape: [], values: [2.5] },
  parameter: { shape: [2], values: base(2) },
  empty: { shape: [0, 3], values: [] },
};

function base(count: number): number[] {
  return Array.from({ length: count }, (_, i) => i / 4 - 1);
}

function pick(count: number, indices: readonly number[]): number[] {
  return indices.map((i) => base(count)[i]);
}

function asNumbers(tensors: ReadonlyMap<string, SafeTensor<ArrayBuffer>>) {
  return Object.fromEntries(
    [...tensors].map((
      [name, tensor],
    ) => [name, { shape: tensor.shape, values: [...toFloat32(tensor, name)] }]),
  );
}

/** The message of the error that decoding must end in. */
async function errorOf(bytes: Uint8Array<ArrayBuffer>): Promise<string> {
  let message = "";
  await assert.rejects(decodeTorchFile(bytes, "f.pt"), (error: Error) => {
    message = error.message;
    return error instanceof CheckpointError;
  });
  return message;
}

for (const [what, bytes] of [["a zip file", ZIP], ["the older format", LEGACY]] as const) {
  Deno.test(`tensors of every type, with strides, offsets and shared storages, are read from ${what}`, async () => {
    const { tensors, note } = await decodeTorchFile(bytes, "f.pt");
    assert.deepEqual(asNumbers(tensors), EXPECTED);
    assert.equal(note, 'f.pt: took the weights under "ema"; not those under "model"');
    const types = [...tensors.values()].slice(0, 4).map(({ dtype }) => dtype);
    assert.deepEqual(types, ["F32", "F16", "BF16", "F64"]);
  });

  Deno.test(`${what} that is cut anywhere is refused, not read in part`, async () => {
    for (let length = 0; length < bytes.length; length += 7) {
      const message = await errorOf(bytes.slice(0, length));
      assert.match(message, /^f\.pt/);
    }
  });

  Deno.test(`a changed byte anywhere in ${what} gives the same tensors, others, or an error of ours`, async () => {
    for (let at = 0; at < bytes.length; at += 5) {
      const changed = bytes.slice();
      changed[at] ^= 0xff;
      await decodeTorchFile(changed, "f.pt").catch((error: Error) => {
        assert.ok(error instanceof CheckpointError, `byte ${at}: ${error.stack}`);
      });
    }
  });
}

Deno.test("a zip file's damaged storage is found by its checksum", async () => {
  const changed = torchZip(dictionary({ a: tensor() }));
  const at = changed.findIndex((_, i) => changed[i + 2] === 0x80 && changed[i + 3] === 0x3f); // 1 as float32
  changed[at] ^= 1;
  assert.equal(await errorOf(changed), "f.pt: archive/data/0: damaged: its checksum differs");
});

Deno.test("state dicts are found at the top and under the keys of training programs", async () => {
  const dict = dictionary({ a: tensor() });
  const noteOf = async (pickle: PicklePart[]) => (await decodeTorchFile(torchZip(pickle), "f")).note;
  assert.equal(await noteOf(dict), undefined);
  for (const key of ["state_dict", "model", "ema"]) {
    assert.equal(
      await noteOf(dictionary({ epoch: ["K", 3], [key]: dict })),
      `f: took the weights under "${key}"`,
    );
  }
  const both = dictionary({ model: dictionary({ state_dict: dict }), ema: dictionary({ model: dict }) });
  assert.equal(
    await noteOf(both),
    'f: took the weights under "ema.model"; not those under "model.state_dict"',
  );
  assert.match(
    await errorOf(torchZip(dictionary({ epoch: ["K", 3], optimizer: dict }))),
    /^f\.pt: expected a state dict \(tensors by name\), at the top level or under ema, .*; found "epoch", "optimizer"$/,
  );
  assert.match(await errorOf(torchZip(tensor())), /found a tensor without a name$/);
  assert.match(await errorOf(torchZip(dictionary({ 0: tensor(), b: ["K", 1] }))), /found "0", "b"$/);
});

/** Pickles that would run code if `pickle.load` read them, and the global that each is refused for. */
const ATTACKS: readonly [what: string, parts: PicklePart[], global: string][] = [
  ["os.system", ["cos\nsystem\n", ...unicode("true"), 0x85, "R"], "os system"],
  ["posix.system by protocol 2", ["cposix\nsystem\n", ...unicode("true"), 0x85, "R"], "posix system"],
  ["builtins.eval", ["cbuiltins\neval\n", ...unicode("1"), 0x85, "R"], "builtins eval"],
  ["__builtin__.getattr", ["c__builtin__\ngetattr\n)R"], "__builtin__ getattr"],
  ["a class with __reduce__", ["c__main__\nEvil\n)R"], "__main__ Evil"],
  ["copyreg._reconstructor", ["ccopyreg\n_reconstructor\n(c__main__\nModel\ntR"], "copyreg _reconstructor"],
  [
    "torch's own loader",
    ["ctorch.storage\n_load_from_bytes\n", "U\x01a", 0x85, "R"],
    "torch.storage _load_from_bytes",
  ],
  ["torch.hub", ["ctorch.hub\nload\n)R"], "torch.hub load"],
  [
    "a whole module",
    ["cdiffusers.models.unets.unet_2d\nUNet2DModel\n)R"],
    "diffusers.models.unets.unet_2d UNet2DModel",
  ],
  ["numpy's arrays", ["cnumpy.core.multiarray\n_reconstruct\n)R"], "numpy.core.multiarray _reconstruct"],
  ["a name of Object.prototype", ["cconstructor\n\n)R"], "constructor "],
];

for (const [what, parts, global] of ATTACKS) {
  Deno.test(`a pickle that names ${what} is refused by that name, wherever it is`, async () => {
    const message = new RegExp(
      `^f\\.pt: archive/data\\.pkl: byte \\d+: the pickle refers to ${
        JSON.stringify(global)
      }, which is refused$`,
    );
    const dict = { a: tensor() };
    for (
      const pickle of [
        parts,
        dictionary({ ...dict, b: parts }),
        dictionary({ x: parts, model: dictionary(dict) }),
      ]
    ) {
      assert.match(await errorOf(torchZip(pickle)), message);
    }
  });
}

/** Pickles that are refused for what they do with allowed globals. */
const MALFORMED: readonly [what: string, parts: PicklePart[], message: RegExp][] = [
  [
    "NEWOBJ",
    ["ccollections\nOrderedDict\n)", 0x81],
    /opcode 0x81 \(NEWOBJ\) does not occur in PyTorch checkpoints/,
  ],
  ["INST", ["(ios\nsystem\n"], /\(INST\)/],
  ["EXT1", [0x82, 1], /\(EXT1\)/],
  ["LONG4", [0x8b, 255, 255, 255, 127], /\(LONG4\)/],
  ["a persistent id as text", ["Pabc\n"], /\(PERSID\)/],
  ["a persistent id that is no storage", [...unicode("x"), "Q"], /a persistent id that is not a storage/],
  [
    "a storage of another kind",
    storage("0", 2, "ComplexFloatStorage"),
    /"torch ComplexFloatStorage", which is refused/,
  ],
  ["a storage of negative length", storage("0", -2), /a persistent id that is not a storage/],
  ["a call of a storage's class", ["ctorch\nFloatStorage\n)R"], /not a known function/],
  ["a call of a dictionary", ["})R"], /not a known function/],
  ["a state of a tensor", [...tensor(), "}b"], /BUILD of something that is not a dictionary/],
  ["an OrderedDict of pairs", ["ccollections\nOrderedDict\n]", 0x85, "R"], /built from arguments/],
  ["a tensor without arguments", ["ctorch._utils\n_rebuild_tensor_v2\n)R"], /a tensor without a storage/],
  [
    "a parameter of a number",
    ["ctorch._utils\n_rebuild_parameter\nK\x01", 0x85, "R"],
    /a parameter that is not a tensor/,
  ],
  ["a negative offset", tensor({ offset: -1 }), /offset, shape and strides/],
  ["a negative stride", tensor({ strides: [-1] }), /offset, shape and strides/],
  ["more sizes than strides", tensor({ shape: [1, 2] }), /offset, shape and strides/],
  [
    "65 dimensions",
    tensor({ shape: Array(65).fill(1), strides: Array(65).fill(0) }),
    /at most 64 dimensions/,
  ],
  ["a tensor longer than its storage", tensor({ shape: [3] }), /ends at element 2, its storage "0" has 2/],
  ["an offset behind the storage", tensor({ offset: 1 }), /ends at element 2, its storage "0" has 2/],
  ["strides out of the storage", tensor({ strides: [2] }), /ends at element 2/],
  [
    "sizes whose product overflows",
    tensor({ shape: Array(7).fill(2 ** 52), strides: Array(7).fill(0) }),
    /counted/,
  ],
  [
    "an empty tensor of endless others",
    tensor({ shape: [...Array(63).fill(2 ** 53 - 1), 0], strides: Array(64).fill(0) }),
    /counted/,
  ],
  ["a stride that overflows", tensor({ strides: [2 ** 53 - 1] }), /ends at element 9007199254740991/],
  [
    "a tensor that repeats its storage",
    tensor({ shape: [2 ** 30], strides: [0] }),
    /repeats elements of its storage/,
  ],
  [
    "one storage of two lengths",
    dictionary({ a: tensor(), b: tensor({ storage: storage("0", 4) }) }),
    /two types or lengths/,
  ],
  [
    "one storage of two types",
    dictionary({ a: tensor(), b: tensor({ storage: storage("0", 2, "IntStorage") }) }),
    /two types/,
  ],
  ["text that is not UTF-8", ["X\x01\x00\x00\x00\xff"], /not UTF-8/],
  ["a length beyond the file", ["X\xff\xff\xff\xff"], /cut short/],
  ["a list as key", ["}]Ns"], /a key that is not a string or number/],
];

for (const [what, parts, message] of MALFORMED) {
  Deno.test(`a pickle with ${what} is refused`, () => {
    assert.throws(() => readTorchPickle(pickleOf(...parts, "."), "f"), (error) => {
      assert.match(String(error), /^CheckpointError: f: byte \d+: /);
      assert.match(String(error), message);
      return true;
    });
  });
}

Deno.test("tensors of one storage cannot ask for more memory than the largest network", async () => {
  const names = Array.from({ length: 1025 }, (_, i) => `t${i}`);
  const view = tensor({ storage: storage("0", 2 ** 20), shape: [2 ** 20] });
  const pickle = dictionary(Object.fromEntries(names.map((name) => [name, view])));
  assert.equal(
    await errorOf(torchZip(pickle)),
    `f.pt: ${1025 * 2 ** 20} weights, at most ${2 ** 30} are supported`,
  );
});

/** Zip files that are refused. */
const PICKLE = pickleOf(...dictionary({ a: tensor() }), ".");
const DATA = new Uint8Array(8);
const ZIPS: readonly [what: string, entries: ZipEntries, message: RegExp][] = [
  ["without a pickle", { "archive/data/0": DATA }, /expected one data\.pkl in the zip file/],
  ["with two pickles", { "a/data.pkl": PICKLE, "b/data.pkl": PICKLE }, /expected one data\.pkl/],
  ["without a storage", { "archive/data.pkl": PICKLE }, /archive\/data\/0 is missing/],
  [
    "with a storage that is too short",
    { "archive/data.pkl": PICKLE, "archive/data/0": DATA.slice(1) },
    /has 7 bytes, 2 elements of F32 take 8/,
  ],
  ["of a big-endian machine", {
    "archive/data.pkl": PICKLE,
    "archive/data/0": DATA,
    "archive/byteorder": "big",
  }, /big-endian/],
  [
    "of TorchScript",
    { "archive/data.pkl": PICKLE, "archive/constants.pkl": PICKLE },
    /a TorchScript program/,
  ],
  [
    "with a path upwards",
    { "../data.pkl": PICKLE },
    /damaged zip file: invalid relative path: \.\.\/data\.pkl/,
  ],
  [
    "with an absolute path",
    { "/etc/passwd": DATA, "archive/data.pkl": PICKLE },
    /damaged zip file: absolute path/,
  ],
  [
    "with a path upwards inside",
    { "archive/../../x": DATA, "archive/data.pkl": PICKLE },
    /invalid relative path/,
  ],
];

for (const [what, entries, message] of ZIPS) {
  Deno.test(`a zip file ${what} is refused`, async () => {
    assert.match(await errorOf(zipOf(entries)), message);
  });
}

Deno.test("a storage's key is a name in the archive, never a path", async () => {
  const pickle = dictionary({ a: tensor({ storage: storage("../../../etc/passwd", 2) }) });
  assert.equal(await errorOf(torchZip(pickle)), "f.pt: archive/data/../../../etc/passwd is missing");
});

Deno.test("compressed entries are refused, so that no small file becomes a large one", async () => {
  assert.match(
    await errorOf(zipOf({ "archive/data.pkl": PICKLE }, 8)),
    /data\.pkl: compressed; expected entries/,
  );
});

Deno.test("the older format's lengths, keys and byte order are checked", async () => {
  const text = String.fromCharCode(...LEGACY);
  const changed = (from: string, to: string) => {
    assert.ok(text.includes(from), from);
    return Uint8Array.from(text.replace(from, to), (letter) => letter.charCodeAt(0));
  };
  assert.match(
    await errorOf(changed("little_endianq\x02\x88", "little_endianq\x02\x89")),
    /big-endian machine/,
  );
  const longer = changed("\x0c" + "\0".repeat(7), "\x0d" + "\0".repeat(7));
  assert.match(await errorOf(longer), /storage "\d+" has 13 elements, its tensors expect 12/);
});

Deno.test("other files are recognized", async () => {
  assert.match(
    await errorOf(new TextEncoder().encode("weights")),
    /not a PyTorch checkpoint: neither a zip file/,
  );
  assert.match(await errorOf(new Uint8Array(0)), /not a PyTorch checkpoint/);
  assert.match(await errorOf(new TextEncoder().encode("<html></html>")), /an HTML page, not the file/);
});
