import assert from "node:assert/strict";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const SETUP = fileURLToPath(new URL("../../tasks/setup.sh", import.meta.url));
const TOOLS = "basename cat chmod dirname env grep head mkdir mktemp rm sed sh sleep sort tail tar tee".split(
  " ",
);

interface Machine {
  /** Contents of `/etc/os-release`, e.g. `debian 12`. */
  system?: string;
  driver?: boolean;
  loader?: boolean;
  deno?: boolean;
  npm?: boolean;
  root?: boolean;
  sudo?: boolean;
  /** `broken`: it installs nothing. */
  apt?: boolean | "broken";
  backports?: boolean;
  /** Name of a browser's command. */
  browser?: string;
  /** nginx, promtool and Jupyter are there. */
  tools?: boolean;
}

interface Result {
  code: number;
  /** Commands that change the machine, in order; `deno` is the task itself. */
  calls: string[];
  said: string;
  /** The files in apt's `sources.list.d`. */
  sources: string[];
}

/** Runs setup.sh on a made-up machine of stand-ins, `times` times. */
async function setup(machine: Machine, times = 1, args = ["train", "--epochs", "2 3"]): Promise<Result[]> {
  const { system = "debian 12", root = true, apt = true, backports = true } = machine;
  const top = await Deno.makeTempDir({ prefix: "denoise-setup-" });
  const [bin, log, home] = [join(top, "bin"), join(top, "log"), join(top, "home")];
  const put = async (path: string, text = "", mode = 0o644) => {
    const file = join(top, path);
    await Deno.mkdir(join(file, ".."), { recursive: true });
    await Deno.writeTextFile(file, text, { mode });
  };
  const stub = (name: string, script: string, folder = "bin") =>
    put(join(folder, name), `#!/bin/sh\n${script}\n`, 0o755);
  const deno =
    `[ "$1" = --version ] && { echo "deno 2.9.6"; exit; }; for a; do printf "[%s]" "$a"; done >>${log}; echo >>${log}`;
  try {
    const [id, version] = system.split(" ");
    await put("etc/os-release", `ID=${id}\nVERSION_ID="${version}"\n`);
    await put("etc/apt/sources.list.d/debian.sources", "Suites: bookworm\n");
    await put("home/keep");
    if (machine.driver) await put("usr/share/vulkan/icd.d/driver.json", "{}");
    if (machine.loader) await put("usr/lib/x86_64-linux-gnu/libvulkan.so.1");
    await Deno.mkdir(bin);
    // nothing else of the real machine is within reach of the script
    for (const tool of TOOLS) await Deno.symlink(`/usr/bin/${tool}`, join(bin, tool));
    await stub("uname", "echo Linux");
    await stub("id", `echo ${root ? 0 : 1000}`);
    if (machine.deno) await stub("deno", deno);
    await stub("new-deno", deno);
    if (machine.browser) await stub(machine.browser, "");
    await stub("openssl", "");
    if (machine.tools) { for (const name of INSTALLED) await stub(name, ""); }
    if (machine.tools) await stub("nginx", "", "usr/sbin");
    if (machine.sudo) await stub("sudo", `echo "sudo" >>${log}; exec "$@"`);
    if (machine.npm) {
      await stub(
        "npm",
        `[ "$1" = prefix ] && { echo ${top}/nowhere; exit; }; echo "npm $*" >>${log}; ` +
          `mkdir -p "$4/bin"; cat ${bin}/new-deno >"$4/bin/deno"; chmod 755 "$4/bin/deno"`,
      );
    }
    await stub("unzip", "");
    await stub(
      "curl",
      `echo 'echo "installer $*" >>${log}; mkdir -p $DENO_INSTALL/bin; cat ${bin}/new-deno >$DENO_INSTALL/bin/deno; ` +
        `chmod 755 $DENO_INSTALL/bin/deno'`,
    );
    if (apt) {
      const files = "usr/share/vulkan/icd.d/lvp.json usr/lib/x86_64-linux-gnu/libvulkan.so.1";
      await stub(
        "apt-get",
        // apt takes "-o NAME=VALUE" that is one argument for an option whose name begins with a space
        `for each in "$@"; do case "$each" in *" "*) echo "apt-get: unknown option $each"; exit 100;; esac; done; ` +
          `echo "$DEBIAN_FRONTEND apt-get $*" >>${log}; case "$*" in ` +
          `*install* | *download*) ${
            apt === "broken" ? "echo no such package; exit 100" : ":"
          };; esac; case "$*" in ` +
          `*download*) shift 2; echo >"$1_1_amd64.deb";; ` +
          `*"install "*chromium) echo >${bin}/chromium; chmod 755 ${bin}/chromium;; ` +
          `*"install "*jupyter*) echo >${bin}/jupyter-nbconvert; chmod 755 ${bin}/jupyter-nbconvert;; ` +
          `*"install "*openmpi-bin) echo >${bin}/mpirun.openmpi; chmod 755 ${bin}/mpirun.openmpi;; ` +
          `*"install "*mpich) echo >${bin}/mpirun.mpich; chmod 755 ${bin}/mpirun.mpich;; ` +
          `*install*) for f in ${files}; do mkdir -p "$(dirname "${top}/$f")"; echo {} >"${top}/$f"; done;; esac`,
      );
      const found =
        `grep -qs bookworm-backports ${top}/etc/apt/sources.list.d/* && echo " release n=bookworm-backports"`;
      await stub("apt-cache", backports ? found : "true");
      // a package with both programs
      await stub("dpkg-deb", `cd ${top}/package && exec tar -c ./usr`);
      await stub("nginx", "", "package/usr/sbin");
      await stub("promtool", "", "package/usr/bin");
    }
    const results: Result[] = [];
    for (let run = 0; run < times; run++) {
      await Deno.writeTextFile(log, "");
      const env = { PATH: bin, HOME: home, DENOISE_SETUP_ROOT: top };
      const { code, stderr, stdout } = await new Deno.Command("/bin/sh", {
        args: [SETUP, ...args],
        env,
        clearEnv: true,
      })
        .output();
      const calls = (await Deno.readTextFile(log)).replaceAll(top, "").split("\n").filter((line) =>
        line !== ""
      );
      const said = new TextDecoder().decode(stdout) + new TextDecoder().decode(stderr);
      const sources = await Array.fromAsync(
        Deno.readDir(join(top, "etc/apt/sources.list.d")),
        ({ name }) => name,
      );
      results.push({ code, calls: calls.filter((call) => !call.includes("indextargets")), said, sources });
    }
    return results;
  } finally {
    await Deno.remove(top, { recursive: true });
  }
}

/** Programs of the tests. */
const INSTALLED = ["promtool", "jupyter-nbconvert", "mpirun.openmpi", "mpirun.mpich"];
const TASK = "[task][train][--epochs][2 3]";
const APT = "noninteractive apt-get -q -y -o DPkg::Lock::Timeout=600";
const INSTALL = `${APT} install --no-install-recommends`;

function test(name: string, fn: () => Promise<void>): void {
  Deno.test({ name: `setup.sh ${name}`, ignore: Deno.build.os !== "linux", fn });
}

test("changes and says nothing where nothing is missing", async () => {
  const [{ code, calls, said }] = await setup({ driver: true, loader: true, deno: true, root: false });
  assert.deepEqual({ code, calls, said }, { code: 0, calls: [TASK], said: "" });
});

test("takes Debian 12's driver from the backports, once", async () => {
  const [first, second] = await setup({ deno: true }, 2);
  const install = `${INSTALL} -t bookworm-backports mesa-vulkan-drivers libvulkan1`;
  assert.deepEqual(first.calls, [`${APT} update`, `${APT} update`, install, TASK], first.said);
  assert.deepEqual(first.sources.sort(), ["bookworm-backports.sources", "debian.sources"]);
  assert.match(first.said, /adding Debian 12's backports[^]*installing Mesa's software driver/);
  assert.deepEqual([second.calls, second.said], [[TASK], ""]);
});

test("takes the release's driver where the backports cannot be reached, and removes its sources file", async () => {
  const [{ code, calls, said, sources }] = await setup({ deno: true, backports: false });
  assert.deepEqual(calls.slice(-2), [`${INSTALL} mesa-vulkan-drivers libvulkan1`, TASK], said);
  assert.deepEqual([code, sources], [0, ["debian.sources"]]);
  assert.match(said, /backports cannot be used/);
});

test("takes the plain packages on Debian 13 and Ubuntu, through sudo where it is not root", async () => {
  for (const system of ["debian 13", "ubuntu 24.04"]) {
    const [{ calls }] = await setup({ system, deno: true, root: false, sudo: true });
    const install = `${INSTALL} mesa-vulkan-drivers libvulkan1`;
    assert.deepEqual(calls, ["sudo", `${APT} update`, "sudo", install, TASK]);
  }
});

test("leaves a driver that is there alone, and adds the loader where only that is missing", async () => {
  const [{ calls, said }] = await setup({ driver: true, deno: true });
  assert.deepEqual(calls, [`${APT} update`, `${INSTALL} libvulkan1`, TASK], said);
});

test("says what to install by hand without apt-get, root or sudo", async () => {
  const [noApt] = await setup({ system: "fedora 42", deno: true, apt: false });
  assert.deepEqual([noApt.code, noApt.calls], [1, []]);
  assert.match(noApt.said, /no apt-get here: install it yourself .*mesa-vulkan-drivers libvulkan1/);
  const [noRoot] = await setup({ deno: true, root: false });
  assert.deepEqual([noRoot.code, noRoot.calls], [1, []]);
  assert.match(noRoot.said, /needs root or sudo: .*apt-get install mesa-vulkan-drivers libvulkan1/);
});

test("installs Deno with npm, in the home folder where npm's own is not writable, and finds it again", async () => {
  const [first, second] = await setup({ driver: true, loader: true, npm: true, root: false }, 2);
  assert.deepEqual(first.calls, ["npm install --global --prefix /home/.local deno", TASK], first.said);
  assert.deepEqual([second.calls, second.said], [[TASK], ""]);
});

test("installs Deno with the official installer where there is no npm, and finds it again", async () => {
  const [first, second] = await setup({ driver: true, loader: true }, 2);
  assert.deepEqual(first.calls, ["installer -y --no-modify-path", TASK], first.said);
  assert.deepEqual([second.calls, second.said], [[TASK], ""]);
});

test("installs Chromium, Jupyter and MPI for the tests on Debian, and unpacks the programs for those of deploy/, once", async () => {
  const machine = { driver: true, loader: true, deno: true, root: false, sudo: true };
  const [first, second] = await setup(machine, 2, ["test"]);
  const download = (name: string) => ` apt-get -q download ${name}`;
  const calls = [
    ...["sudo", `${APT} update`, "sudo", `${INSTALL} chromium`],
    ...["sudo", `${INSTALL} jupyter-nbconvert jupyter-client python3-nbclient`],
    ...["sudo", `${INSTALL} openmpi-bin`, "sudo", `${INSTALL} mpich`],
    ...[download("nginx"), download("prometheus"), "[task][test]"],
  ];
  assert.deepEqual([first.code, first.calls], [0, calls], first.said);
  assert.match(first.said, /no Chromium here: installing it[^]*no Jupyter here: installing it/);
  assert.match(first.said, /no nginx here: unpacking it into .*\.cache\/tools\/ .*is not installed/);
  assert.deepEqual([second.calls, second.said], [["[task][test]"], ""]);
});

test("installs and unpacks nothing for other tasks, beside what is there, on Ubuntu or without root", async () => {
  const machine = { driver: true, loader: true, deno: true };
  const [train] = await setup(machine);
  assert.deepEqual([train.calls, train.said], [[TASK], ""]);
  const machines: Machine[] = [
    ...["chromium-browser", "google-chrome", "google-chrome-stable"].map((browser) => ({
      browser,
      tools: true,
    })),
    { system: "ubuntu 24.04" },
    { root: false, tools: true },
    { apt: false },
  ];
  for (const other of machines) {
    const [{ code, calls, said }] = await setup({ ...machine, ...other }, 1, ["test"]);
    assert.deepEqual([code, calls, said], [0, ["[task][test]"], ""], JSON.stringify(other));
  }
});

test("unpacks programs without root", async () => {
  const machine = { driver: true, loader: true, deno: true, root: false, browser: "chromium" };
  const [{ calls }] = await setup(machine, 1, ["test"]);
  assert.deepEqual(calls, [" apt-get -q download nginx", " apt-get -q download prometheus", "[task][test]"]);
});

test("runs the tests where Chromium and Jupyter cannot be installed, and nothing unpacked", async () => {
  const [{ code, calls, said }] = await setup(
    { driver: true, loader: true, deno: true, apt: "broken" },
    1,
    ["test"],
  );
  assert.deepEqual([code, calls.at(-1)], [0, "[task][test]"], said);
  assert.match(
    said,
    /no such package[^]*could not install Chromium: going on[^]*could not install Jupyter: going on[^]*could not install MPICH/,
  );
  assert.match(said, /no such package[^]*could not unpack nginx: going on[^]*could not unpack promtool/);
});

test("prints its usage without a task", async () => {
  const [{ code, said, calls }] = await setup({}, 1, []);
  assert.deepEqual([code, calls], [2, []]);
  assert.match(said, /usage: sh tasks\/setup\.sh TASK/);
});
