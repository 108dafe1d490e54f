/**
 * A machine for the commands of `deploy/README.md`: /etc, /opt and /var of this one under overlays that vanish with the process, and
 * stand-ins for what would change the machine beyond them.
 */
import { join } from "node:path";
import { cp } from "node:fs/promises";
import { ROOT } from "../documents.ts";
import { runTool, type Tools } from "../tools.ts";
import { inTemporaryDirectory } from "../train/directories.ts";
import { freePorts, mainConfig, replaceAll, type Replacements } from "./nginx.ts";

const OVERLAID = ["/etc", "/opt", "/var"];

/** Command that runs a script in a mount namespace of its own. */
function inNamespace(script: string): [string, string[]] {
  const flags = Deno.build.os === "linux" && Deno.uid() === 0 ? "-m" : "-rm";
  return ["unshare", [flags, "bash", "-euo", "pipefail", "-c", script]];
}

/** Mounts the overlays, whose changes are kept in `directory`. */
function mounts(directory: string): string {
  const layers = OVERLAID.map((path) => {
    const [upper, work] = [`${directory}/layers${path}/upper`, `${directory}/layers${path}/work`];
    return `mkdir -p ${upper} ${work}; ` +
      `mount -t overlay overlay -o lowerdir=${path},upperdir=${upper},workdir=${work} ${path}`;
  });
  return [`mkdir ${directory}/layers; mount -t tmpfs none ${directory}/layers`, ...layers].join("\n");
}

/** True if this process may mount overlays. */
export const canOverlay: boolean = Deno.build.os === "linux" &&
  await inTemporaryDirectory((directory) => {
    return runTool(...inNamespace(mounts(directory))).then(({ code }) => code === 0, () => false);
  });

/** Stand-ins by name. `$UNIT` is the service, `$MAIN` nginx's main configuration, `$TOP` the folder of what they leave behind. */
const STANDINS: Readonly<Record<string, string>> = {
  sudo: 'exec "$@"',
  // nothing is to be installed, and HEAD may lack what is being tested
  "apt-get": 'echo "apt-get $*" >>$TOP/calls',
  git: '[ "$*" = "archive HEAD" ] && cd $TOP/clone && exec tar -ch *',
  promtool: 'exec $REAL_PROMTOOL "$@"',
  nginx: 'exec $REAL_NGINX -p $TOP -c $MAIN "$@"',
  systemctl: `
echo "systemctl $*" >>$TOP/calls
case "$*" in
  daemon-reload) ;;
  "enable --now denoise" | "restart denoise")
    if [ -f $TOP/pid ]; then kill -TERM $(cat $TOP/pid); while kill -0 $(cat $TOP/pid) 2>/dev/null; do sleep 0.1; done; fi
    mkdir -p /var/lib/denoise
    cd /var/lib/denoise
    command=$(sed -n '/^ExecStart=/,/[^\\\\]$/p' $UNIT | sed 's/^ExecStart=//; s/\\\\$//' | tr '\\n' ' ')
    nohup $command >>$TOP/log 2>&1 </dev/null &
    echo $! >$TOP/pid ;;
  "reload denoise") kill -HUP $(cat $TOP/pid); timeout 60 grep -q "model reloaded" <(tail -f -n +1 $TOP/log) ;;
  "reload nginx") nginx & ;;
  "restart prometheus") ;;
  *) echo "no stand-in for systemctl $*" >&2; exit 1 ;;
esac`,
};

/** What the commands left behind. */
export interface MachineOutcome {
  readonly code: number;
  readonly out: string;
  readonly err: string;
  /** Calls of stand-ins. */
  readonly calls: readonly string[];
  /** Log of the service. */
  readonly log: string;
}

/**
 * Runs commands one after the other, in a copy of the project, until one fails.
 *
 * @param commands on the ports 80, 443 and 8000, which become free ones of 127.0.0.1
 */
export async function runOnMachine(
  { nginx, promtool }: Tools<"nginx" | "promtool">,
  commands: readonly string[],
): Promise<MachineOutcome> {
  return await inTemporaryDirectory(async (top) => {
    const [plain, secure, server] = freePorts(3);
    const clone = join(top, "clone");
    const parts = ["deno.json", "mod.ts", "kernels", "lib", "server", "tasks", "terminal", "deploy"];
    for (const part of parts) await cp(join(ROOT, part), join(clone, part), { recursive: true });
    await Deno.symlink(join(ROOT, "checkpoints"), join(clone, "checkpoints"));
    const edit = async (file: string, replacements: Replacements) => {
      const path = join(clone, "deploy", file);
      await Deno.writeTextFile(path, replaceAll(await Deno.readTextFile(path), replacements));
    };
    await edit("nginx.conf", [
      ["127.0.0.1:8000", `127.0.0.1:${server}`],
      ["listen 80;", `listen 127.0.0.1:${plain};`],
      ["listen 443 ssl", `listen 127.0.0.1:${secure} ssl`],
      ["  listen [::]:80;\n", ""],
      ["  listen [::]:443 ssl http2;\n", ""],
    ]);
    await edit("denoise.service", [
      ["--trusted-proxy", `--port ${server} --trusted-proxy`],
      ["checkpoints/cifar10 ", "checkpoints/cifar10-tiny "],
    ]);
    await Deno.writeTextFile(join(top, "main.conf"), mainConfig(top, "/etc/nginx/conf.d/*.conf"));
    await Deno.mkdir(join(top, "bin"));
    for (const [name, script] of Object.entries(STANDINS)) {
      await Deno.writeTextFile(join(top, "bin", name), `#!/bin/bash\n${script}\n`, { mode: 0o755 });
    }
    await Deno.writeTextFile(join(top, "calls"), "");
    await Deno.writeTextFile(join(top, "log"), "");
    const local = (command: string) =>
      command.replaceAll("127.0.0.1:8000", `127.0.0.1:${server}`).replaceAll(":443:", `:${secure}:`)
        .replace(/(https:\/\/[\w.]+)\//g, `$1:${secure}/`);
    const script = [
      mounts(top),
      "mkdir -p /etc/nginx/conf.d /etc/prometheus",
      `trap 'kill $(cat ${top}/pid ${top}/nginx.pid 2>/dev/null) 2>/dev/null; wait' EXIT`,
      `cd ${clone}`,
      ...commands.flatMap((
        command,
      ) => [`echo ${JSON.stringify(`$ ${command}`).replaceAll("$", "\\$")} >&2`, local(command)]),
    ].join("\n");
    const [command, args] = inNamespace(script);
    const env = {
      PATH: `${join(top, "bin")}:${Deno.env.get("PATH")}:/usr/sbin`,
      TOP: top,
      REAL_NGINX: nginx,
      REAL_PROMTOOL: promtool,
      MAIN: join(top, "main.conf"),
      UNIT: "/etc/systemd/system/denoise.service",
      DENO_WEBGPU_BACKEND: "vulkan",
    };
    const outcome = await runTool(command, args, { env });
    const calls = await Deno.readTextFile(join(top, "calls"));
    return {
      ...outcome,
      calls: calls.split("\n").filter((line) => line !== ""),
      log: await Deno.readTextFile(join(top, "log")),
    };
  }, { onDisk: true });
}
