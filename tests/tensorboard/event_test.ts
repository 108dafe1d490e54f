import assert from "node:assert/strict";
import { crc32c, maskedCrc32c } from "../../lib/tensorboard/crc32c.ts";
import {
  imageValue,
  restartEvent,
  scalarValue,
  summaryEvent,
  textValue,
  versionEvent,
} from "../../lib/tensorboard/event.ts";
import { sessionEnd, sessionStart } from "../../lib/tensorboard/hparams.ts";
import { frameRecord } from "../../lib/tensorboard/record.ts";
import golden from "../golden/event_files.json" with { type: "json" };

const TIME = 1764547200.25;
const PNG = Uint8Array.from({ length: 40 }, (_, i) => i);

Deno.test("CRC-32C has the values of RFC 3720, and TensorBoard's mask", () => {
  assert.equal(crc32c(new Uint8Array(32)), 0x8a9136aa);
  assert.equal(crc32c(new Uint8Array(32).fill(0xff)), 0x62a8ab43);
  assert.equal(crc32c(Uint8Array.from({ length: 32 }, (_, i) => i)), 0x46dd794e);
  assert.equal(crc32c(new Uint8Array()), 0);
  assert.equal(maskedCrc32c(new TextEncoder().encode("123456789")), golden.masked_crc32c_of_123456789);
});

/** Values of the hyperparameters' case in the order of their names' bytes, as deterministic protocol buffers have them. */
const PARAMETERS = { batch: 32, flip: true, objective: "epsilon ε", plain: false };

const EVENTS: Record<keyof typeof golden.records, Uint8Array> = {
  version: versionEvent(TIME),
  restart: restartEvent({ wallTime: TIME, step: 201 }),
  scalars: summaryEvent({ wallTime: TIME, step: 2 ** 40 + 5 }, [
    scalarValue("loss/training", 0.1),
    scalarValue("loss/validation", -2.5),
  ]),
  image: summaryEvent({ wallTime: TIME, step: 7 }, [imageValue("samples", PNG, 300, 3)]),
  text: summaryEvent({ wallTime: TIME, step: 0 }, [textValue("settings/text_summary", "| ä | b |")]),
  start: summaryEvent({ wallTime: TIME, step: 0 }, [sessionStart(PARAMETERS, TIME)]),
  end: summaryEvent({ wallTime: TIME, step: 300 }, [sessionEnd("success", TIME)]),
};

for (const [name, event] of Object.entries(EVENTS)) {
  Deno.test(`an event is framed and encoded byte for byte as by TensorBoard itself: ${name}`, () => {
    assert.equal(frameRecord(event).toHex(), golden.records[name as keyof typeof golden.records]);
  });
}
