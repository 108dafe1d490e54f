/** bundle/start.sh on bundles of stand-ins; `bundle_test.ts` runs it on a real one. */
import assert from "node:assert/strict";
import { join } from "node:path";
import type { Compression, Entry } from "../../bundle/archive.ts";
import { writeBundle } from "../../bundle/write.ts";
import { inTemporaryDirectory } from "../support/train/directories.ts";

/** All that the script may need of a machine, and what unpacks. */
const TOOLS = "cat chmod cut dirname grep ls mkdir mktemp mv rm rmdir sed sha256sum tar tr uname uniq".split(
  " ",
);
const UNPACKERS = ["gzip", "python3", "xz"];

/** Answers as Deno would: an adapter for the drivers named in `gpu` and `software`, the arguments for a task. */
const fakeDeno = (gpu: string, software: string) =>
  `#!/bin/sh
case $1 in
--version) echo deno 0 ;;
run)
  case $3 in */visit.ts) shift 2; for a; do printf '[%s]' "$a"; done; echo " in $PWD"; exit ;; esac
  case "\${VK_DRIVER_FILES:-search}" in
  ${gpu}) echo "adapter: Big One (GPU; shader-f16)" ;;
  ${software}) echo "adapter: Small One (software; none)" ;;
  *) echo "no adapter" >&2; exit 1 ;;
  esac ;;
*) for a; do printf '[%s]' "$a"; done; echo " in $PWD, $DENO_DIR, $VK_DRIVER_FILES, $LD_LIBRARY_PATH" ;;
esac
`;

interface Machine {
  compression?: Compression;
  /** Patterns of the shell's `case` on the driver's manifest, `search` for the loader's own search. */
  gpu?: string;
  software?: string;
  data?: string;
  /** Programs that are not installed. */
  without?: string[];
}

interface Bundle {
  /** The machine's folder: the bundle is in `bundle`, the system's files in `system`. */
  readonly folder: string;
  /** Runs start.sh; what it said has `FOLDER` for the folder. */
  start(args?: string[], env?: Record<string, string>): Promise<{ code: number; out: string; err: string }>;
}

/** Makes a bundle in pieces of 8 KiB and a machine for it. */
async function withBundle(machine: Machine, body: (bundle: Bundle) => Promise<void>): Promise<void> {
  const { compression = "none", gpu = "never", software = "search", data = "none", without = [] } = machine;
  await inTemporaryDirectory(async (folder) => {
    const bin = join(folder, "tools");
    await Deno.mkdir(bin);
    for (const tool of [...TOOLS, ...UNPACKERS]) {
      if (!without.includes(tool)) await Deno.symlink(`/usr/bin/${tool}`, join(bin, tool));
    }
    const deno = join(folder, "fake-deno");
    await Deno.writeTextFile(deno, fakeDeno(gpu, software), { mode: 0o755 });
    const noise = crypto.getRandomValues(new Uint8Array(20_000)); // no compression makes less than two pieces of it
    const images: Entry[] = data === "none" ? [] : [{ path: "data/my images/1.png", source: noise }];
    await writeBundle(
      join(folder, "bundle"),
      [
        { name: "runtime", entries: [{ path: "bin/deno", source: deno }, { path: "noise", source: noise }] },
        { name: "project", entries: [{ path: "project/deno.json", source: new TextEncoder().encode("{}") }] },
        { name: "data", entries: images, dense: true },
      ],
      { project: "1.2.3", deno: "0", machine: Deno.build.arch, data },
      { compression, pieceBytes: 8192 },
    );
    await body({
      folder,
      async start(args = [], env = {}) {
        const { code, stdout, stderr } = await new Deno.Command("/bin/sh", {
          args: [join(folder, "bundle/start.sh"), ...args],
          cwd: folder,
          env: { PATH: bin, DENOISE_START_ROOT: join(folder, "system"), ...env },
          clearEnv: true,
        }).output();
        const read = (bytes: Uint8Array) => new TextDecoder().decode(bytes).replaceAll(folder, "FOLDER");
        return { code, out: read(stdout), err: read(stderr) };
      },
    });
  });
}

async function names(folder: string): Promise<string[]> {
  return (await Array.fromAsync(Deno.readDir(folder), ({ name }) => name)).sort();
}

function isInstalled(program: string): boolean {
  try {
    return Deno.statSync(`/usr/bin/${program}`).isFile;
  } catch {
    return false;
  }
}

function test(name: string, machine: Machine, body: (bundle: Bundle) => Promise<void>): void {
  Deno.test({
    name: `start.sh ${name}`,
    ignore: Deno.build.os !== "linux" || !UNPACKERS.every(isInstalled),
    fn: () => withBundle(machine, body),
  });
}

test(
  "unpacks once, says the adapter, and runs the task with its arguments as they are",
  {},
  async ({ start }) => {
    const first = await start(["--into", "it's here", "train", "--out", "a b", "--help"]);
    assert.equal(first.code, 0, first.err);
    assert.match(
      first.out,
      /^\[task\]\[train\]\[--out\]\[a b\]\[--help\] in FOLDER\/it's here\/project, FOLDER\/it's here\/cache/,
    );
    assert.match(
      first.err,
      /unpacking runtime\n.*unpacking project\n.*\nstart: adapter: Small One \(software; none\)\n$/,
    );
    const second = await start(["--into", "FOLDER/it's here".replace("FOLDER/", ""), "--", "-x"]);
    assert.equal(second.err, "start: adapter: Small One (software; none)\n");
    assert.match(second.out, /^\[task\]\[-x\] in/);
  },
);

test(
  "prints its usage, and nothing but that, for --help and unknown options",
  {},
  async ({ start, folder }) => {
    const help = await start(["--help"]);
    assert.deepEqual([help.code, help.err], [0, ""]);
    assert.match(
      help.out,
      /^usage: sh start\.sh \[--into DIR\] \[--without-data\] \[TASK \[ARGUMENT\.\.\.\]\]/,
    );
    assert.equal((await start(["--int", "x"])).code, 2);
    assert.match((await start(["--into"])).err, /--into needs a folder/);
    assert.deepEqual(await names(folder), ["bundle", "fake-deno", "tools"]);
  },
);

test(
  "trains on the bundle's data set unless the caller names another",
  { data: "data/my images" },
  async ({ start }) => {
    const said = async (...args: string[]) =>
      (await start(["--into", "there", ...args])).out.split(" in ")[0];
    const own = "[--data][FOLDER/there/data/my images]";
    assert.equal(await said("train", "--preset", "tiny"), `[task][train]${own}[--preset][tiny]`);
    assert.equal(await said("train", "--data", "b c"), "[task][train][--data][b c]");
    assert.equal(await said("train", "--data=b"), "[task][train][--data=b]");
    assert.equal(await said("bench", "--quick"), "[task][bench][--quick]");
    assert.equal(
      (await start(["--into", "bare", "--without-data", "train"])).out.split(" in ")[0],
      "[task][train]",
    );
  },
);

for (const compression of ["xz", "gzip"] as const) {
  test(`joins and unpacks what ${compression} has packed`, { compression }, async ({ start, folder }) => {
    const { code, err } = await start();
    assert.equal(code, 0, err);
    assert.equal((await Deno.stat(join(folder, "denoise/noise"))).size, 20_000);
    assert.match(err, /ready; to use it in a shell of your own: \. 'FOLDER\/denoise\/env\.sh'/);
  });
}

test(
  "unpacks xz with Python where there is no xz",
  { compression: "xz", without: ["xz"] },
  async ({ start, folder }) => {
    const { code, err } = await start();
    assert.equal(code, 0, err);
    assert.equal((await Deno.stat(join(folder, "denoise/noise"))).size, 20_000);
  },
);

test(
  "says how to pack where it cannot unpack",
  { compression: "xz", without: ["xz", "python3"] },
  async (bundle) => {
    const { code, err } = await bundle.start();
    assert.equal(code, 1);
    assert.match(err, /neither xz nor python3 is installed here: make the bundle with --compress gzip/);
  },
);

test(
  "names every piece that is missing or damaged, and leaves nothing behind",
  {},
  async ({ start, folder }) => {
    const piece = join(folder, "bundle/runtime.tar.001");
    const bytes = await Deno.readFile(piece);
    bytes[5000] ^= 1;
    await Deno.writeFile(piece, bytes);
    const damaged = await start();
    assert.equal(damaged.code, 1);
    assert.match(damaged.err, /damaged in FOLDER\/bundle \(SHA-256 .*\): runtime\.tar\.001: copy them again/);
    await Deno.remove(piece);
    await Deno.remove(join(folder, "bundle/project.tar.000"));
    const missing = await start();
    assert.equal(missing.code, 1);
    assert.match(
      missing.err,
      /missing in FOLDER\/bundle: runtime\.tar\.001 project\.tar\.000: copy them here too/,
    );
    assert.deepEqual(await names(folder), ["bundle", "fake-deno", "tools"]);
  },
);

test("leaves nothing behind where unpacking fails half way", {}, async ({ start, folder }) => {
  const tar = join(folder, "tools/tar");
  await Deno.remove(tar);
  await Deno.writeTextFile(tar, '#!/bin/sh\n/usr/bin/tar "$@"; [ ! -e "$6/project" ]\n', { mode: 0o755 });
  const { code, err } = await start();
  assert.equal(code, 1);
  assert.match(err, /unpacking project failed/);
  assert.deepEqual(await names(folder), ["bundle", "fake-deno", "tools"]);
});

test("does not touch a folder that holds something else", {}, async ({ start, folder }) => {
  await Deno.mkdir(join(folder, "denoise"));
  await Deno.writeTextFile(join(folder, "denoise/thesis.tex"), "");
  const { code, err } = await start();
  assert.equal(code, 1);
  assert.match(
    err,
    /FOLDER\/denoise exists, and is not this bundle unpacked: choose another folder \(--into DIR\)/,
  );
  assert.deepEqual(await names(join(folder, "denoise")), ["thesis.tex"]);
  await Deno.mkdir(join(folder, "empty"));
  assert.equal((await start(["--into", "empty"])).code, 0);
});

test(
  "tells where the data set is, and does without it",
  { data: "data/my images" },
  async ({ start, folder }) => {
    assert.match((await start()).err, /data set: --data 'FOLDER\/denoise\/data\/my images'/);
    assert.deepEqual(await names(join(folder, "denoise/data/my images")), ["1.png"]);
    await Deno.remove(join(folder, "bundle/data.tar.000"));
    assert.match((await start(["--into", "other"])).err, /missing .*: data\.tar\.000: .*--without-data/);
    const without = await start(["--into", "other", "--without-data"]);
    assert.equal(without.code, 0, without.err);
    assert.doesNotMatch(without.err, /data/);
    assert.equal((await start(["--into", "other"])).code, 1);
  },
);

test("refuses a machine of another kind", {}, async ({ start, folder }) => {
  const manifest = join(folder, "bundle/manifest.txt");
  const text = await Deno.readTextFile(manifest);
  await Deno.writeTextFile(manifest, text.replace(/^machine .*$/m, "machine riscv64"));
  assert.match((await start()).err, /this bundle is for Linux on riscv64, and this is Linux on /);
  await Deno.remove(manifest);
  assert.match((await start()).err, /FOLDER\/bundle\/manifest\.txt: expected "denoise-bundle 1"/);
});

const NVIDIA = "system/usr/local/nvidia";

async function install(folder: string, ...files: string[]): Promise<void> {
  for (const file of files) {
    await Deno.mkdir(join(folder, file, ".."), { recursive: true });
    await Deno.writeTextFile(join(folder, file), "");
  }
}

test("uses the carried Vulkan loader only where there is none", {}, async ({ start, folder }) => {
  assert.match((await start(["x"])).out, /, FOLDER\/denoise\/lib\n$/);
  // values set by the first run must not be taken for the system's
  const again = await start(["x"], { LD_LIBRARY_PATH: join(folder, "denoise/lib") });
  assert.match(again.out, /, FOLDER\/denoise\/lib:FOLDER\/denoise\/lib\n$/);
  await install(folder, "system/usr/lib64/libvulkan.so.1");
  assert.match((await start(["x"])).out, /, \n$/);
});

test(
  "takes NVIDIA's manifest from beside the driver",
  { gpu: "*/nvidia_icd.json" },
  async ({ start, folder }) => {
    await install(
      folder,
      `${NVIDIA}/lib64/libGLX_nvidia.so.0`,
      `${NVIDIA}/share/vulkan/icd.d/nvidia_icd.json`,
    );
    const { out, err } = await start(["x"]);
    assert.match(err, /adapter: Big One \(GPU; shader-f16\)/);
    assert.match(
      out,
      /nvidia\/lib64\/\.\.\/share\/vulkan\/icd\.d\/nvidia_icd\.json, .*:FOLDER\/system\/usr\/local\/nvidia\/lib64\n$/,
    );
  },
);

test("writes a manifest for NVIDIA's driver without one, by the library that works", {
  gpu: "*/libEGL_nvidia.so.0.json",
}, async ({ start, folder }) => {
  await install(folder, `${NVIDIA}/lib64/libGLX_nvidia.so.0`, `${NVIDIA}/lib64/libEGL_nvidia.so.0`);
  const { out, err } = await start(["x"]);
  assert.match(err, /adapter: Big One/);
  assert.match(out, /, FOLDER\/denoise\/libEGL_nvidia\.so\.0\.json, /);
  const manifest = JSON.parse(await Deno.readTextFile(join(folder, "denoise/libEGL_nvidia.so.0.json")));
  assert.equal(manifest.ICD.library_path, "libEGL_nvidia.so.0");
});

test("takes a software adapter where no driver gives a GPU", {}, async ({ start, folder }) => {
  await install(folder, `${NVIDIA}/lib64/libGLX_nvidia.so.0`);
  const { out, err } = await start(["x"]);
  assert.match(err, /adapter: Small One/);
  assert.match(out, /cache, , /);
});

test(
  "keeps to the driver that somebody has chosen",
  { gpu: "*nvidia*", software: "/my.json" },
  async (bundle) => {
    await install(bundle.folder, `${NVIDIA}/lib64/libGLX_nvidia.so.0`);
    const { out, err } = await bundle.start(["x"], { VK_ICD_FILENAMES: "/my.json" });
    assert.match(err, /adapter: Small One/);
    assert.match(out, /, \/my\.json, /);
  },
);

test(
  "visits where it was called, even without an adapter",
  { software: "never" },
  async ({ start }) => {
    const { code, out, err } = await start(["--into", "there", "visit", "--out", "a b", "pytorch"]);
    assert.equal(code, 0, err);
    assert.equal(out, "[FOLDER/there/project/bundle/visit.ts][--out][a b][pytorch] in FOLDER\n");
    assert.match(err, /no adapter here; tried:\n/);
    assert.equal((await start(["--into", "there", "train"])).code, 1);
  },
);

test("says what it has tried where there is no adapter", { software: "never" }, async ({ start, folder }) => {
  await install(folder, `${NVIDIA}/lib64/libGLX_nvidia.so.0`);
  const { code, out, err } = await start(["x"]);
  assert.deepEqual([code, out], [1, ""]);
  assert.match(
    err,
    /no adapter here; tried:\n +search of the loader: no adapter\n +FOLDER.*libGLX_nvidia.so.0.json: no adapter\n/,
  );
  assert.match(err, /Set VK_DRIVER_FILES to the manifest of your driver/);
});
