import assert from "node:assert/strict";
import { launchLimited } from "../support/server/process.ts";

Deno.test({
  name: "--port 0: out of descriptors, it listens again on the port that it got, and draws",
  ignore: Deno.build.os === "windows",
  async fn() {
    const { child, logged, ended } = launchLimited(64);
    const silent: Deno.Conn[] = [];
    try {
      const url = String((await logged("ready")).url);
      const port = Number(new URL(url).port);
      for (let i = 0; i < 50; i++) {
        const connection = await Deno.connect({ port }).catch(() => undefined);
        if (connection) silent.push(connection);
      }
      await logged("cannot accept connections; listening again shortly");
      await logged("listening again");
      for (const connection of silent.splice(0)) connection.close();
      const answer = await fetch(`${url}/generate?steps=1`);
      assert.equal(answer.status, 200);
      await answer.body!.cancel();
      child.kill("SIGTERM");
      assert.equal((await ended()).code, 0);
    } finally {
      for (const connection of silent) connection.close();
      try {
        child.kill("SIGKILL");
      } catch {
        // it has ended
      }
      await ended();
    }
  },
});
