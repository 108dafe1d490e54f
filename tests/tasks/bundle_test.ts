import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { cifar10 } from "../../lib/data/cifar10.ts";
import { imageDataset } from "../../lib/data/image_dataset.ts";
import { ConfigError, DenoiseError } from "../../lib/errors.ts";
import { readBundleFlags } from "../../tasks/bundle.ts";
import { COMPRESSIONS, packPart } from "../../bundle/archive.ts";
import { imageEntries } from "../../bundle/images.ts";
import { pruneRegistryDocument, suitsPlatform } from "../../bundle/packages.ts";
import { isLeftOut, listProject, PROJECT_PARTS, projectEntries } from "../../bundle/project.ts";
import { type Part, writeBundle } from "../../bundle/write.ts";
import { inTemporaryDirectory } from "../support/train/directories.ts";
import { runTask } from "../support/command.ts";

const onLinux = { ignore: Deno.build.os !== "linux" };

async function run(program: string, args: string[], options: Deno.CommandOptions = {}): Promise<string> {
  const { success, stdout, stderr } = await new Deno.Command(program, { args, ...options }).output();
  const said = new TextDecoder().decode(stdout) + new TextDecoder().decode(stderr);
  assert.ok(success, said);
  return said;
}

function works(program: string, args: string[]): Promise<boolean> {
  return new Deno.Command(program, { args, stdout: "null", stderr: "null" }).output()
    .then(({ success }) => success, () => false);
}

async function names(folder: string): Promise<string[]> {
  return (await Array.fromAsync(Deno.readDir(folder), ({ name }) => name)).sort();
}

function put(folder: string, path: string, text = "", mode = 0o644): Promise<void> {
  return Deno.mkdir(join(folder, path, ".."), { recursive: true })
    .then(() => Deno.writeTextFile(join(folder, path), text, { mode }));
}

for (const compression of COMPRESSIONS) {
  Deno.test({
    name: `packPart: ${compression}: joined pieces are the archive, and have the digests that were told`,
    ignore: onLinux.ignore || compression !== "none" && !await works(compression, ["--version"]),
    fn: () =>
      inTemporaryDirectory(async (folder) => {
        await put(folder, "program", "#!/bin/sh\n", 0o755);
        const noise = crypto.getRandomValues(new Uint8Array(50_000));
        const { pieces, unpackedBytes } = await packPart(folder, "part", [
          { path: `${"long/".repeat(40)}noise`, source: noise },
          { path: "bin/program", source: join(folder, "program") },
          { path: "empty", source: new Uint8Array() },
        ], { compression, pieceBytes: 20_000 });
        assert.equal(unpackedBytes, 50_010);
        assert.ok(pieces.length >= 3 && pieces.slice(0, -1).every(({ bytes }) => bytes === 20_000));
        let whole = new Uint8Array();
        for (const [index, { file, bytes, sha256 }] of pieces.entries()) {
          assert.match(file, new RegExp(`^part\\.tar(\\.xz|\\.gz)?\\.00${index}$`));
          const piece = await Deno.readFile(join(folder, file));
          assert.equal(piece.length, bytes);
          assert.equal(createHash("sha256").update(piece).digest("hex"), sha256);
          whole = new Uint8Array([...whole, ...piece]);
        }
        await Deno.writeFile(join(folder, "whole"), whole);
        await run("tar", ["-x", "-f", "whole"], { cwd: folder });
        assert.deepEqual(await Deno.readFile(join(folder, "long/".repeat(40), "noise")), noise);
        assert.equal((await Deno.stat(join(folder, "bin/program"))).mode! & 0o777, 0o755);
        assert.equal((await Deno.stat(join(folder, "empty"))).size, 0);
      }),
  });
}

Deno.test("packPart: a program that is missing is named, with the others", () =>
  inTemporaryDirectory(async (folder) => {
    const path = Deno.env.get("PATH");
    Deno.env.set("PATH", folder);
    try {
      await assert.rejects(
        packPart(folder, "part", [], { compression: "xz" }),
        /^ConfigError: --compress: expected xz to be installed, or --compress gzip or none, got "xz"/,
      );
    } finally {
      Deno.env.set("PATH", path!);
    }
  }));

Deno.test("writeBundle: a failure or a signal half way leaves nothing, and a full folder is refused", () =>
  inTemporaryDirectory(async (folder) => {
    const out = join(folder, "bundle");
    const facts = { project: "1", deno: "2", machine: "x86_64", data: "none" };
    const good: Part = { name: "good", entries: [{ path: "a", source: new Uint8Array(9) }] };
    const bad: Part = { name: "bad", entries: [{ path: "b", source: join(folder, "missing") }] };
    await assert.rejects(
      writeBundle(out, [good, bad], facts, { compression: "none" }),
      (error) => error instanceof DenoiseError && /^cannot write .*bundle: .*missing/.test(error.message),
    );
    const interruption = new AbortController();
    await assert.rejects(
      writeBundle(out, [good, good], facts, {
        compression: "none",
        signal: interruption.signal,
        onPart: () => interruption.abort(new DenoiseError("stopped")),
      }),
      /^DenoiseError: stopped/,
    );
    assert.deepEqual(await names(folder), []);
    await writeBundle(out, [good], facts, { compression: "none" });
    assert.deepEqual(await names(out), ["good.tar", "manifest.txt", "start.sh"]);
    assert.match(
      await Deno.readTextFile(join(out, "manifest.txt")),
      /^denoise-bundle 1\nproject 1\ndeno 2\nmachine x86_64\ndata none\npiece good good\.tar \d+ [0-9a-f]{64}\n$/,
    );
    await assert.rejects(writeBundle(out, [good], facts, { compression: "none" }), ConfigError);
  }));

Deno.test("of a package's native code, a bundle carries that for its own platform", () => {
  const files = [
    ...["/index.js", "/dist/linux-x64/dawn.node", "/dist/linux-arm64/dawn.node"],
    ...["/dist/darwin-universal/dawn.node", "/dist/win32-x64/dxcompiler.dll", "/docs/linux-x64.md"],
  ];
  const kept = files.filter((file) => suitsPlatform(file, "linux-x64"));
  assert.deepEqual(kept, ["/index.js", "/dist/linux-x64/dawn.node", "/docs/linux-x64.md"]);
});

Deno.test("pruneRegistryDocument: only what is carried is left, whoever names it", () => {
  const version = { dist: { tarball: "t" }, dependencies: { near: "^1", alias: "npm:@far/away@^2" } };
  const document = {
    name: "x",
    "dist-tags": { latest: "2.0.0", old: "1.0.0" },
    versions: {
      "1.0.0": {
        ...version,
        peerDependencies: { near: "*", optional: "*" },
        peerDependenciesMeta: { optional: { optional: true } },
      },
      "2.0.0": version,
    },
    time: { "1.0.0": "then", "2.0.0": "now" },
  };
  assert.deepEqual(pruneRegistryDocument(document, ["1.0.0"], new Set(["near"])), {
    name: "x",
    "dist-tags": { old: "1.0.0" },
    versions: {
      "1.0.0": {
        dist: { tarball: "t" },
        dependencies: { near: "^1" },
        peerDependencies: { near: "*" },
        peerDependenciesMeta: {},
      },
    },
    time: { "1.0.0": "then" },
  });
  const { versions } = pruneRegistryDocument(document, ["2.0.0"], new Set(["@far/away"]));
  assert.deepEqual(versions["2.0.0"].dependencies, { alias: "npm:@far/away@^2" });
});

Deno.test("listProject: no stray files: with git what it tracks, otherwise the project's own folders", () =>
  inTemporaryDirectory(async (folder) => {
    for (
      const path of [
        ...["deno.json", "lib/a.ts", "lib/b.ts", "lib/.env", "new.ts", "token.txt", ".env", ".gitignore"],
        ...["runs/1/x", "node_modules/p/x", ".idea/x"],
      ]
    ) {
      await put(folder, path);
    }
    assert.deepEqual(await listProject(folder), ["deno.json", "lib/a.ts", "lib/b.ts"]);
    assert.equal(await isLeftOut(folder, join(folder, "runs/bundle")), true);
    assert.equal(await isLeftOut(folder, join(folder, "bundle")), false);
    if (!await works("git", ["--version"])) return;
    await put(folder, ".gitignore", "/runs/\n");
    await run("git", ["init", "-q"], { cwd: folder });
    await run("git", ["add", "deno.json", "lib/a.ts", "lib/b.ts", "new.ts", ".gitignore"], { cwd: folder });
    await Deno.remove(join(folder, "lib/a.ts"));
    const listed = [".gitignore", "deno.json", "lib/b.ts", "new.ts"];
    assert.deepEqual(await listProject(folder), listed);
    assert.equal(await isLeftOut(folder, join(folder, "runs/bundle")), true);
    assert.equal(await isLeftOut(folder, join(folder, "carry")), false);
    const paths = (await projectEntries(folder, [join(folder, "runs")])).map(({ path }) => path);
    assert.deepEqual(paths, [...listed, "runs/1/x"].map((path) => `project/${path}`));
    const without = (await projectEntries(folder, [], ["lib"])).map(({ path }) => path);
    assert.deepEqual(without, listed.filter((path) => path !== "lib/b.ts").map((path) => `project/${path}`));
    await assert.rejects(
      projectEntries(folder, ["/etc"]),
      /^ConfigError: PATH: expected .*inside the project/,
    );
    await assert.rejects(
      projectEntries(folder, [join(folder, "no")]),
      /^ConfigError: PATH: .*does not exist/,
    );
  }));

Deno.test("all that git tracks, except hidden files, belongs to the parts of a copy without git", async () => {
  const root = fileURLToPath(new URL("../../", import.meta.url));
  const files = await listProject(root);
  const parts = new Set(files.map((path) => path.split("/")[0]).filter((part) => !part.startsWith(".")));
  assert.deepEqual([...parts].sort(), [...PROJECT_PARTS].sort());
});

Deno.test("imageEntries: the first images of a data set, which a folder of them is read as", () =>
  inTemporaryDirectory(async (folder) => {
    const count = 7;
    const images = crypto.getRandomValues(new Uint8Array(count * 3072));
    const labels = Uint8Array.of(1, 0, 1, 1, 0, 0, 1);
    const data = imageDataset({
      name: "noise",
      images,
      labels,
      classes: ["cat", "dog"],
      height: 32,
      width: 32,
    });
    const entries = await imageEntries(data, 5, "data/first-5");
    const paths = entries.map(({ path }) => path);
    assert.deepEqual(paths.slice(0, 2), ["data/first-5/dog/00000.png", "data/first-5/cat/00001.png"]);
    for (const { path, source } of entries) {
      await Deno.mkdir(join(folder, path, ".."), { recursive: true });
      await Deno.writeFile(join(folder, path), source as Uint8Array);
    }
    const read = await cifar10({ data: join(folder, "data/first-5") });
    assert.deepEqual([read.classes, [...read.labels]], [["cat", "dog"], [0, 0, 1, 1, 1]]);
    const order = [1, 4, 0, 2, 3].flatMap((i) => [...images.subarray(3072 * i, 3072 * (i + 1))]);
    assert.deepEqual([...read.images.range()], order);
    assert.equal((await imageEntries(data, 100, "x")).length, count);
  }));

Deno.test("flags: defaults, and what is wrong is named", async () => {
  const defaults = { out: "o", data: "none", compress: "xz", more: [] };
  assert.deepEqual(readBundleFlags(["--out", "o"]), defaults);
  assert.deepEqual(readBundleFlags(["--out", "o", "--piece-size", "50", "runs/a", "runs/b"]), {
    ...defaults,
    pieceSize: 50,
    more: ["runs/a", "runs/b"],
  });
  await inTemporaryDirectory(async (directory) => {
    const root = fileURLToPath(new URL("../../", import.meta.url));
    for (
      const [args, message] of [
        [[], /^error: required option '--out <DIR>' not specified\n/],
        [["--out", `${root}carry`], /--out: expected a folder outside the project, or one that git ignores/],
        [["--out", root], /--out: expected a folder that does not exist yet or is empty; it holds /],
        [["--out", "o", "--data", "nowhere"], /--data: expected none, cifar10, or the path .*does not exist/],
        [["--out", "o", "--images", "9"], /--data: expected cifar10 or the path .*--images .*, got "none"/],
        [["--out", "o", "--piece-size", "0"], /--piece-size.* whole number, 1 or more/],
      ] as const
    ) {
      const { code, err } = await runTask("bundle", args, directory);
      assert.equal(code, 2, err);
      assert.match(err, message);
    }
    assert.deepEqual(await names(directory), []);
  });
});

Deno.test({
  name: "a bundle runs a task and tests on the adapter in an empty environment without a network",
  ...onLinux,
  fn: () =>
    inTemporaryDirectory(async (folder) => {
      await put(folder, "pictures/cat/1.png", "not read here");
      const args = ["--out", "carried", "--compress", "none", "--piece-size", "40", "--data", "pictures"];
      const { code, out, err } = await runTask("bundle", args, folder);
      assert.equal(code, 0, err);
      assert.match(
        out,
        /^runtime: \d+ files, [\d.]+ MB, packed [\d.]+ MB in [2-9] pieces\npackages: .*\nproject: .*\ndata: 1 file,/,
      );

      // `unshare` needs rights that not every machine gives; the proxy that nobody is serves nothing anywhere
      const isolate = await works("unshare", ["-n", "true"]) ? ["unshare", "-n"] : [];
      const nowhere = "http://127.0.0.1:9";
      const start = async (...args: string[]) => {
        const [program, ...rest] = [...isolate, "sh", "carried/start.sh", "--into", "there", ...args];
        await Deno.mkdir(join(folder, "home"), { recursive: true });
        const env = {
          HOME: join(folder, "home"),
          PATH: "/usr/bin:/bin",
          HTTPS_PROXY: nowhere,
          HTTP_PROXY: nowhere,
        };
        return await run(program, rest, { cwd: folder, env: { ...env, NO_COLOR: "1" }, clearEnv: true });
      };
      const checked = await start("gen", "--check");
      assert.match(checked, /start: unpacked into .*there\nstart: adapter: \S.*\((software|GPU); /);
      assert.match(checked, /data set: --data '.*there\/data\/pictures'/);
      const seen = await start("visit", "--out", "seen", "machine");
      assert.match(seen, /=== machine: ok, /);
      const looked = await Deno.readTextFile(join(folder, "seen/logs.txt"));
      // By Deno's WebGPU, then by Dawn, whose binary the bundle carries.
      assert.match(looked, /\nadapter: \S[^]*\n\$ env DENOISE_BACKEND=dawn [^]*\nadapter: \S/);
      const tested = await start(
        "test",
        "--no-check",
        "tests/gpu/program_test.ts",
        "tests/terminal/cli_test.ts",
      );
      assert.doesNotMatch(tested, /unpacking/);
      assert.match(tested, /\n[1-9]\d* passed, 0 failed\n/);
    }, { onDisk: true }),
});
