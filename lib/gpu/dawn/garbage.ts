/**
 * Collection of Dawn's garbage. Every step leaves a command encoder, a pass, a command buffer and the functions of Dawn's
 * polling behind, whose native memory V8 does not see: it collects them when their small wrappers fill its heap.
 *
 * @module
 */
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";

/** Encoders between two collections at least: 5 to 13 KiB of native memory each, with their pass and their polls. */
const ENCODERS = 512;
/** Share of the time that collections may take. */
const SHARE = 0.01;

/** Part of the class of devices. */
interface Encoding {
  createCommandEncoder(descriptor?: GPUCommandEncoderDescriptor): GPUCommandEncoder;
}

/** Substitutes for the collection, and the clock in milliseconds; for tests. */
export interface GarbageMeans {
  readonly collect?: () => void;
  readonly now?: () => number;
}

/** Collects garbage as encoders are created: after every {@linkcode ENCODERS}, unless it would take more than 1 % of the time. */
export function collectEncoders(
  device: Encoding,
  { collect = collector(), now = () => performance.now() }: GarbageMeans = {},
): void {
  const { createCommandEncoder } = device;
  let encoders = 0;
  let due = 0;
  device.createCommandEncoder = function (descriptor) {
    if (++encoders >= ENCODERS) {
      const start = now();
      if (start >= due) {
        collect();
        const end = now();
        due = end + (end - start) / SHARE;
        encoders = 0;
      }
    }
    return createCommandEncoder.call(this, descriptor);
  };
}

/** V8's own function, which scripts see only in contexts made while its flag is set. */
function collector(): () => void {
  setFlagsFromString("--expose-gc");
  try {
    return runInNewContext("gc") as () => void;
  } finally {
    setFlagsFromString("--no-expose-gc");
  }
}
