/** The commands of `deploy/README.md`, one after the other as an engineer would type them. */
import assert from "node:assert/strict";
import { canOverlay, runOnMachine } from "../support/deploy/machine.ts";
import { blocksOf, commandsOf } from "../support/documents.ts";
import { leaveOut, testsWith } from "../support/tools.ts";

/** They need a container engine and the network; tests/deploy/service_test.ts does what they would by hand. */
const CONTAINERS = /^podman /;

const test = canOverlay
  ? testsWith(["nginx", "promtool", "openssl", "curl"])
  : leaveOut("commands of deploy/README.md, as overlays cannot be mounted here");

test("every command of deploy/README.md works, in its order", async (tools) => {
  const commands = (await blocksOf("deploy/README.md")).flatMap(commandsOf).map(({ text }) => text)
    .filter((text) => !CONTAINERS.test(text));
  assert.ok(commands.length > 15);
  const last = [
    // the restart is awaited, the picture is one, and jobs are kept where the service says
    commands.find((text) => text.includes("/readyz"))!,
    "head -c 4 cat.png | grep -q PNG && test -f /var/lib/denoise/jobs.db",
    "test $(curl -so /dev/null -w '%{http_code}' http://127.0.0.1:8000/classes) = 401",
  ];
  const { code, out, err, calls, log } = await runOnMachine(tools, [...commands, ...last]);
  assert.equal(code, 0, `${err.slice(-3000)}\n${log.slice(-3000)}`);
  assert.deepEqual(calls, [
    "apt-get install --yes nginx",
    "systemctl daemon-reload",
    "systemctl enable --now denoise",
    "systemctl reload nginx",
    "systemctl reload denoise",
    "systemctl restart denoise",
    "systemctl restart denoise",
    "systemctl daemon-reload",
    "systemctl restart denoise",
    "apt-get install --yes --no-install-recommends prometheus",
    "systemctl restart prometheus",
  ]);
  assert.equal(out.match(/^event: preview$/gm)?.length, 4, out.slice(0, 500));
  assert.match(out, /^dn_\S+$/m, "the key of anna");
  assert.match(log, /"model reloaded"/);
  assert.match(log, /"stopped"/, "a restart is graceful");
  assert.match(log, /"client":"127\.0\.0\.1".*"route":"\/generate\/stream"/);
});
