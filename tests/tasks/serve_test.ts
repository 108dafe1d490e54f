import assert from "node:assert/strict";
import { dirname } from "node:path";
import { fileURLToPath } from "node:url";
import { ConfigError } from "../../lib/errors.ts";
import { TUNING_DIRECTORY } from "../../lib/tuning/tuning.ts";
import { defaultSettings } from "../../server/settings.ts";
import { readServeFlags } from "../../tasks/serve_flags.ts";
import { serverArguments } from "../../terminal/server_process.ts";
import { askUntil, metric, MODEL, watch, type Watched } from "../support/server/process.ts";
import { inTemporaryDirectory } from "../support/train/directories.ts";
import { runTask } from "../support/command.ts";

Deno.test("--help shows every flag, with its default and unit where it has them", async () => {
  await inTemporaryDirectory(async (directory) => {
    const { code, out } = await runTask("serve", ["--help"], directory);
    assert.equal(code, 0);
    const text = out.replace(/\s+/g, " ");
    for (
      const [flag, ...notes] of [
        ["--model <[NAME=]PATH>", "may be repeated", "default: the newest run under runs/, else"],
        ["--variant <NAME>", "fp16", "default: the one in full precision"],
        ["--memory <N>", "in MiB", "default: three quarters of what is free on a software adapter"],
        ["--guide <PATH>", "autoguidance", "default: none"],
        ["--host <ADDRESS>", "default: 127.0.0.1"],
        ["--port <N>", "default: 8000"],
        ["--max-batch <N>", "in network rows", "default: 16"],
        ["--queue <N>", "in requests", "default: 64"],
        ["--timeout <S>", "in seconds", "default: 120"],
        ["--grace <S>", "in seconds", "default: 25"],
        ["--steps <N>", "network evaluations per image", "default: 15"],
        ["--sampler <NAME>", "ddpm, ddim, euler", "default: the model's own, else unipc"],
        ["--guidance <F>", "from 0 to 100", "default: 2; 1 without a class"],
        ["--token-file <FILE>", "default: no token is required"],
        ["--keys <FILE>", "deno task keys", "default: no keys"],
        ["--cors <ORIGIN>", "default: only the server's own page"],
        ["--public-url <URL>", "default: the address that the request went to"],
        ["--trusted-proxy <ADDRESSES>", "default: none"],
        ["--max-images <N>", "in images", "default: 64"],
        ["--max-steps <N>", "in steps", "default: 10000"],
        ["--max-work <N>", "in network evaluations", "default: 1000000"],
        ["--max-upload <N>", "in MiB", "default: 4"],
        ["--jobs <FILE>", "SQLite database", "default: no jobs"],
        ["--max-jobs <N>", "in jobs", "default: 64"],
        ["--max-job-images <N>", "in images", "default: 10000"],
        ["--keep-jobs <HOURS>", "in hours", "default: 24"],
        ["--job-storage <N>", "in MiB", "default: 1024"],
        ["--webhook-hosts <HOSTS>", "default: none"],
        ["--precision <TYPE>", "float32, mixed", "default: mixed where", "matrix units"],
        [
          "--tune <WHEN>",
          "auto, on, off",
          "default: auto",
          TUNING_DIRECTORY,
          "bit-identical only with the same choices",
        ],
      ]
    ) {
      const entry = text.slice(text.indexOf(` ${flag} `)).slice(1).split(/ --[a-z]/)[0];
      for (const note of notes) assert.ok(entry.includes(note), `${flag}: ${note} is not in: ${entry}`);
    }
    assert.match(text, /SIGTERM and SIGINT .*SIGHUP/);
  });
});

Deno.test("without flags the settings are the defaults; every flag becomes its setting", () => {
  assert.deepEqual(readServeFlags([]), defaultSettings);
  const args =
    "--model m --model n=runs/n --memory 900 --variant fp16 --guide w --host ::1 --port 0 --max-batch 2 --queue 0 --timeout 0.5 --grace 0 --steps 7 --sampler ddpm " +
    "--guidance 0 --token-file t --cors https://example.org:8443/ --max-images 1 --max-steps 9 --max-work 99 --max-upload 8 " +
    "--public-url https://example.org/images --trusted-proxy 10.0.0.1,[fd00::1] --precision mixed --tune on " +
    "--jobs j.db --max-jobs 3 --max-job-images 7 --keep-jobs 1.5 --job-storage 2 --webhook-hosts Hooks.example.org,[fd00::1]:90";
  assert.deepEqual(readServeFlags(args.split(" ")), {
    model: [{ name: "m", path: "m" }, { name: "n", path: "runs/n" }],
    memory: 900,
    variant: "fp16",
    guide: "w",
    host: "::1",
    port: 0,
    maxBatch: 2,
    queue: 0,
    timeout: 0.5,
    grace: 0,
    steps: 7,
    sampler: "ddpm",
    guidance: 0,
    tokenFile: "t",
    cors: "https://example.org:8443",
    maxImages: 1,
    maxSteps: 9,
    maxWork: 99,
    maxUpload: 8,
    publicUrl: "https://example.org/images",
    trustedProxy: ["10.0.0.1", "fd00::1"],
    precision: "mixed",
    tune: "on",
    jobs: "j.db",
    maxJobs: 3,
    maxJobImages: 7,
    keepJobs: 1.5,
    jobStorage: 2,
    webhookHosts: ["hooks.example.org:443", "[fd00::1]:90"],
  });
  assert.equal(readServeFlags(["--host", "[fe80::1]"]).host, "fe80::1");
  assert.equal(readServeFlags(["--host", "box-1.local"]).host, "box-1.local");
  assert.equal(readServeFlags(["--cors", "*"]).cors, "*");
});

Deno.test("wrong values are refused with the flag and what is allowed, before anything starts", async () => {
  await inTemporaryDirectory(async (directory) => {
    const cases: [string, string, RegExp][] = [
      ["--port", "65536", /from 0 to 65535/],
      ["--max-batch", "1", /from 2 to 512/],
      ["--timeout", "0", /from 0.1/],
      ["--webhook-hosts", "https://example.org", /comma-separated hosts, such as/],
      ["--webhook-hosts", "a,b/c", /comma-separated hosts, such as/],
      ["--keep-jobs", "0", /from 0.01/],
      ["--max-job-images", "1000001", /from 1 to 1000000/],
      ["--host", "a b", /a host name or an IP address/],
      ["--host", "127.0.0.1:80,evil.org", /a host name or an IP address/],
      ["--host", "", /a host name or an IP address/],
      ["--cors", "example.org", /an origin such as/],
      ["--cors", "https://example.org/path", /an origin such as/],
      ["--cors", "null", /an origin such as/],
      ["--sampler", "eulr", /ddpm, ddim/],
      ["--precision", "half", /float32, mixed/],
      ["--precision", "float16", /Allowed: float32, or mixed with backend dawn .* 0\.53 x float32/],
      ["--public-url", "example.org", /a URL such as/],
      ["--public-url", "https://example.org/?a=1", /a URL such as/],
      ["--trusted-proxy", "10.0.0.1,proxy", /comma-separated IP addresses/],
      ["--trusted-proxy", "10.0.0.0/8", /comma-separated IP addresses/],
    ];
    const outcomes = await Promise.all(
      cases.map(([flag, value]) => runTask("serve", [`${flag}=${value}`], directory)),
    );
    for (const [i, { code, out, err }] of outcomes.entries()) {
      const [flag, value, allowed] = cases[i];
      assert.match(err, allowed, `${flag} ${value}`);
      assert.ok(err.includes(flag) && err.includes(`'${value}'`), err);
      assert.deepEqual([code, out], [2, ""]);
    }
  });
});

Deno.test("Deno gets leave to listen on one port, to read the model and the program, to keep chosen kernels, and nothing else", () => {
  const settings = { ...defaultSettings, models: [{ name: "a", path: "runs/a" }], tokenFile: "/etc/token" };
  const root = fileURLToPath(new URL("../../", import.meta.url));
  const args = serverArguments(settings);
  const main = args.indexOf(`${root}server/main.ts`);
  assert.deepEqual(args.slice(main + 1), [JSON.stringify(settings)]);
  assert.deepEqual(args.slice(0, main), [
    "run",
    "--unstable-no-legacy-abort",
    "--no-prompt",
    "--allow-net=127.0.0.1:8000",
    `--allow-read=runs/a,/etc/token,${root}server,${root}lib,${root}kernels,${root}deno.json,${TUNING_DIRECTORY}`,
    `--allow-write=${TUNING_DIRECTORY}`,
    "--allow-sys=systemMemoryInfo",
    `--config=${root}deno.json`,
  ]);
  const [guided] = serverArguments({
    ...settings,
    models: [{ name: "a", path: "runs/a", guide: "runs/weak" }, { name: "b", path: "runs/b" }],
  }).filter((arg) => arg.startsWith("--allow-read"));
  assert.ok(guided.startsWith("--allow-read=runs/a,runs/weak,runs/b,/etc/token,"), guided);
  const file = fileURLToPath(
    new URL("../golden/tiny_pipeline/unet/diffusion_pytorch_model.safetensors", import.meta.url),
  );
  const [read] = serverArguments({ ...settings, models: [{ name: "a", path: file }] }).filter((arg) =>
    arg.startsWith("--allow-read")
  );
  assert.ok(read.startsWith(`--allow-read=${root}tests/golden/tiny_pipeline,`), read);
  const dawn = { binary: "/cache/dawn.node", toggles: ["skip_validation" as const] };
  assert.deepEqual(
    serverArguments({ ...settings, dawn }).slice(0, main + 1).filter((arg) => !args.includes(arg)),
    ["--allow-ffi=/cache/dawn.node"],
  );
  const off = serverArguments({ ...settings, tune: "off" }).join(" ");
  assert.ok(!off.includes("--allow-write") && !off.includes(TUNING_DIRECTORY), off);
  const net = (host: string, port: number) =>
    serverArguments({ ...settings, host, port }).find((arg) => arg.startsWith("--allow-net"));
  assert.equal(net("::1", 8000), "--allow-net=[::1]:8000");
  // Some ports of which the server takes the first that is free, and may listen on again.
  const free = serverArguments({ ...settings, host: "::", port: 0 });
  const { freePorts, ...rest } = JSON.parse(free.at(-1)!);
  assert.deepEqual(rest, { ...settings, host: "::", port: 0 });
  assert.equal(new Set(freePorts).size, 8);
  assert.ok(freePorts.every((port: number) => port >= 61_000 && port <= 65_535), String(freePorts));
  assert.ok(free.includes(`--allow-net=${freePorts.map((port: number) => `[::]:${port}`).join(",")}`));
});

Deno.test("a path with a comma, which would be leave for two others, is refused", () => {
  for (
    const paths of [
      { models: [{ name: "a", path: "runs/a,/" }] },
      { models: [{ name: "a", path: "runs/a" }, { name: "b", path: "b,c" }] },
      { models: [{ name: "a", path: "runs/a", guide: "b,c" }] },
      { models: [{ name: "a", path: "runs/a" }], tokenFile: "/,token" },
    ]
  ) {
    assert.throws(
      () => serverArguments({ ...defaultSettings, ...paths }),
      (error) => error instanceof ConfigError && /^path: .*without a comma/.test(error.message),
    );
  }
  const dawn = { binary: "/a,b/dawn.node", toggles: [] };
  assert.throws(
    () => serverArguments({ ...defaultSettings, models: [{ name: "a", path: "runs/a" }], dawn }),
    (error) => error instanceof ConfigError && /^DENO_DIR: .*without a comma/.test(error.message),
  );
});

Deno.test({
  name: "a model in shared memory is served, with a warning that this takes all permissions",
  ignore: Deno.build.os !== "linux",
  async fn() {
    // This process may not write there either.
    const name = `denoise-test-${crypto.randomUUID()}`;
    const copy = await new Deno.Command("cp", { args: ["-r", MODEL, `/dev/shm/${name}`] }).output();
    try {
      assert.ok(copy.success);
      await served(async ({ child, ended }, url) => {
        const answer = await fetch(`${url}/generate?steps=1`);
        assert.equal(answer.status, 200);
        await answer.body?.cancel();
        child.kill("SIGTERM");
        const { code, err } = await ended();
        assert.equal(code, 0);
        assert.match(err, /^warning: Deno opens files in \/dev, .* all permissions/m);
      }, ["task", "serve", "--port", "0", "--model", `/dev/shm/${name}`]);
    } finally {
      await new Deno.Command("rm", { args: ["-r", `/dev/shm/${name}`] }).output();
    }
  },
});

const FLAGS = ["--port", "0", "--model", MODEL];

/** Runs `body` with the task once it is ready, in a process group of its own, as a shell starts it. */
async function served(
  body: (task: Watched, url: string) => Promise<void>,
  args: readonly string[] = ["task", "serve", ...FLAGS],
): Promise<void> {
  const task = watch(
    new Deno.Command(Deno.execPath(), {
      args: [...args],
      cwd: new URL("../../", import.meta.url),
      env: { PATH: `${dirname(Deno.execPath())}:${Deno.env.get("PATH")}` },
      detached: true,
      stdin: "null",
      stdout: "piped",
      stderr: "piped",
    }).spawn(),
  );
  try {
    await body(task, String((await task.logged("ready")).url));
  } finally {
    try {
      Deno.kill(-task.child.pid, "SIGKILL");
    } catch {
      // all have ended
    }
    await task.ended();
  }
}

/** Starts drawing what takes longer than any test, and resolves when it has begun. */
async function drawForLong(url: string): Promise<void> {
  fetch(`${url}/generate?steps=1000&sampler=ddpm&count=64`).catch(() => {});
  await askUntil(`${url}/metrics`, (_, text) => metric(text, "batch_images") > 0);
}

Deno.test("one Ctrl-C, which every process of the task gets and passes on, is one wish to stop; exit 0", async () => {
  await served(async ({ child, log, ended }, url) => {
    const answer = fetch(`${url}/generate?steps=100`);
    await askUntil(`${url}/metrics`, (_, text) => metric(text, "batch_images") > 0);
    Deno.kill(-child.pid, "SIGINT");
    assert.equal((await answer).status, 200);
    await (await answer).body?.cancel();
    assert.equal((await ended()).code, 0);
    assert.deepEqual(log.slice(-1).map(({ message }) => message), ["stopped"]);
    assert.equal(log.filter(({ message }) => String(message).startsWith("stopping")).length, 1);
  });
});

Deno.test("a second Ctrl-C ends it at once, and the task with the server's status", async () => {
  await served(async ({ child, logged, ended }, url) => {
    await drawForLong(url);
    Deno.kill(-child.pid, "SIGINT");
    await logged("stopping");
    await new Promise((resolve) => setTimeout(resolve, 600)); // longer than the signals of one Ctrl-C are apart
    Deno.kill(-child.pid, "SIGINT");
    assert.equal((await ended()).code, 130);
  });
});

Deno.test("a signal to the task alone reaches the server, SIGHUP as well", async () => {
  await served(async ({ child, logged, ended }) => {
    child.kill("SIGHUP");
    await logged("model reloaded");
    child.kill("SIGTERM");
    assert.equal((await ended()).code, 0);
    assert.equal((await logged("stopping")).why, "SIGTERM");
  });
});

Deno.test("no server is left behind by a launcher that was killed", async () => {
  await served(async ({ child, logged, ended }) => {
    child.kill("SIGKILL");
    await logged("stopped");
    await ended(); // its output is also the server's, and ends when both have
  }, ["run", "-A", "tasks/serve.ts", ...FLAGS]);
});

Deno.test({
  name: "a server that crashes in native code is reported, and ends the task with its status",
  ignore: Deno.build.os !== "linux",
  fn: () =>
    served(async ({ child, ended }) => {
      // This process may not read there.
      const kill = `kill -ABRT $(cat /proc/${child.pid}/task/*/children)`;
      assert.ok((await new Deno.Command("sh", { args: ["-c", kill] }).output()).success);
      const { code, err } = await ended();
      assert.equal(code, 134);
      assert.match(err, /^error: the server crashed \(SIGABRT\)$/m);
    }, ["run", "-A", "tasks/serve.ts", ...FLAGS]),
});

Deno.test("a server that cannot start ends the task with its message and status", async () => {
  await inTemporaryDirectory(async (directory) => {
    const { code, err } = await runTask("serve", ["--port", "0", "--model", "nowhere"], directory);
    assert.equal(code, 1);
    assert.match(err, /^error: nowhere: no such file or directory; expected .*\n$/);
  }, { onDisk: true }); // Deno cannot be given leave to read below /dev
});
