/** nginx with the project's configuration, on unprivileged ports of 127.0.0.1. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { inTemporaryDirectory } from "../train/directories.ts";
import { runTool, type Tools } from "../tools.ts";

/** Folder of the files under test. */
export const DEPLOY = fileURLToPath(new URL("../../../deploy/", import.meta.url));
/** The name that they have as an example. */
export const NAME = "images.example.org";

/** Programs that {@linkcode withNginx} needs. */
export const NGINX_TOOLS = ["nginx", "openssl", "curl"] as const;

/** Values in place of those of a configuration: what stands there, and what it becomes. */
export type Replacements = readonly (readonly [string, string])[];

/** Replaces each text wherever it occurs, and fails where it does not. */
export function replaceAll(text: string, replacements: Replacements): string {
  return replacements.reduce((text, [from, to]) => {
    assert.ok(text.includes(from), `${from} is not in:\n${text}`);
    return text.replaceAll(from, to);
  }, text);
}

/** Ports that are free now. */
export function freePorts(count: number): number[] {
  const listeners = Array.from({ length: count }, () => Deno.listen({ hostname: "127.0.0.1", port: 0 }));
  const ports = listeners.map(({ addr }) => (addr as Deno.NetAddr).port);
  for (const listener of listeners) listener.close();
  return ports;
}

/** A main configuration for an unprivileged nginx in `directory` that includes `site`. */
export function mainConfig(directory: string, site: string): string {
  const folders = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
    .map((kind) => `${kind}_temp_path ${directory}/${kind};`);
  return [
    ...Deno.uid() === 0 ? ["user root;"] : [],
    `worker_processes 1; daemon off; pid ${directory}/nginx.pid; error_log stderr warn;`,
    "events { worker_connections 512; }",
    `http { access_log off; ${folders.join(" ")} include ${site}; }`,
  ].join("\n");
}

/** Makes a certificate for {@linkcode NAME}, signed by itself, and returns the paths of certificate and key. */
export async function makeCertificate(openssl: string, directory: string): Promise<[string, string]> {
  const [certificate, key] = [join(directory, "fullchain.pem"), join(directory, "privkey.pem")];
  const { code, err } = await runTool(openssl, [
    ...["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"],
    ...[
      "-subj",
      `/CN=${NAME}`,
      "-addext",
      `subjectAltName=DNS:${NAME}`,
      "-addext",
      "basicConstraints=critical,CA:FALSE",
      "-keyout",
      key,
      "-out",
      certificate,
    ],
  ]);
  assert.equal(code, 0, err);
  return [certificate, key];
}

/** A running nginx. */
export interface Proxy {
  /** Port of HTTPS, and of HTTP. */
  readonly port: number;
  readonly plainPort: number;
  /** Base URL, which {@linkcode Proxy.curl} resolves to this machine. */
  readonly url: string;
  /** Its certificate, PEM. */
  readonly certificate: string;
  /**
   * Asks with curl.
   *
   * @param from address of this machine to ask from, in 127.0.0.0/8
   */
  curl(args: readonly string[], from?: string): Promise<CurlAnswer>;
}

/** An answer as curl received it. */
export interface CurlAnswer {
  readonly status: number;
  readonly version: string;
  readonly type: string;
  readonly redirect: string;
  readonly headers: string;
  readonly body: Uint8Array;
  readonly text: string;
}

/** Runs nginx with the project's configuration in front of 127.0.0.1:`upstream`. */
export async function withNginx(
  { nginx, openssl, curl }: Tools<typeof NGINX_TOOLS[number]>,
  upstream: number,
  changes: Replacements,
  run: (proxy: Proxy) => Promise<void>,
): Promise<void> {
  await inTemporaryDirectory(async (directory) => {
    const [plainPort, port] = freePorts(2);
    const [certificate, key] = await makeCertificate(openssl, directory);
    const site = join(directory, "denoise.conf");
    const text = await Deno.readTextFile(join(DEPLOY, "nginx.conf"));
    await Deno.writeTextFile(
      site,
      replaceAll(text, [
        ["127.0.0.1:8000", `127.0.0.1:${upstream}`],
        ["listen 80;", `listen 127.0.0.1:${plainPort};`],
        ["listen 443 ssl", `listen 127.0.0.1:${port} ssl`],
        ["  listen [::]:80;\n", ""],
        ["  listen [::]:443 ssl http2;\n", ""],
        ["/etc/ssl/denoise/fullchain.pem", certificate],
        ["/etc/ssl/denoise/privkey.pem", key],
        ...changes,
      ]),
    );
    const main = join(directory, "nginx.conf");
    await Deno.writeTextFile(main, mainConfig(directory, site));
    const child = new Deno.Command(nginx, { args: ["-p", directory, "-c", main], stderr: "piped" }).spawn();
    const errors = new Response(child.stderr).text();
    try {
      await untilListening(port, errors);
      const url = `https://${NAME}:${port}`;
      const own = ["--silent", "--show-error", "--max-time", "30", "--cacert", certificate];
      const resolve = ["--resolve", `${NAME}:${port}:127.0.0.1`];
      const resolvePlain = ["--resolve", `${NAME}:${plainPort}:127.0.0.1`];
      await run({
        port,
        plainPort,
        url,
        certificate: await Deno.readTextFile(certificate),
        curl: (args, from = "127.0.0.1") =>
          ask(curl, [...own, ...resolve, ...resolvePlain, "--interface", from, ...args], directory),
      });
    } finally {
      child.kill("SIGTERM");
      await child.status;
      await errors;
    }
  });
}

async function untilListening(port: number, errors: Promise<string>): Promise<void> {
  const end = performance.now() + 10_000;
  while (performance.now() < end) {
    const connection = await Deno.connect({ hostname: "127.0.0.1", port }).catch(() => undefined);
    connection?.close();
    if (connection) return;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  throw new Error(`nginx does not listen: ${await errors}`);
}

let answers = 0;

async function ask(curl: string, args: readonly string[], directory: string): Promise<CurlAnswer> {
  const [file, heads] = [join(directory, `answer-${++answers}`), join(directory, `headers-${answers}`)];
  const facts = "%{http_code}\n%{http_version}\n%{content_type}\n%{redirect_url}\n";
  const { out, err } = await runTool(curl, ["--output", file, "-D", heads, "--write-out", facts, ...args]);
  const [status, version, type, redirect] = out.split("\n");
  assert.notEqual(status, "000", err);
  const body = await Deno.readFile(file).catch(() => new Uint8Array());
  return {
    status: Number(status),
    version,
    type,
    redirect,
    headers: await Deno.readTextFile(heads),
    body,
    text: new TextDecoder().decode(body),
  };
}
