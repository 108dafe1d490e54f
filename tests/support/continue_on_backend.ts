/** Child process of permissions_test.ts: prints the state of the permission to start programs, by task. */
import { continueOnBackend } from "../../terminal/backend.ts";

const state = async () => (await Deno.permissions.query({ name: "run" })).state;
await continueOnBackend("bench", [], "deno", true);
const bench = await state();
await continueOnBackend("train", [], "deno");
console.log(JSON.stringify({ bench, train: await state() }));
