/**
 * Activations in float16: the same kernels, with another meaning of `Stored` (storage.wgsl).
 *
 * @module
 */
import type { KernelSource, Launch } from "./source.ts";

/** What tells a kernel that moves activations, and what it says in the variant. */
const ALIASES = [
  ["alias Stored = f32;", "alias Stored = f16;"],
  ["alias Stored4 = vec4f;", "alias Stored4 = vec4<f16>;"],
] as const;

const variants = new WeakMap<KernelSource, KernelSource>();

/**
 * The variant of a kernel whose activations are float16, always the same object for the same kernel; the kernel itself where
 * it moves none (it does not include storage.wgsl).
 */
export function halfKernel(kernel: KernelSource): KernelSource {
  if (!ALIASES.every(([alias]) => kernel.code.includes(alias))) return kernel;
  let variant = variants.get(kernel);
  if (!variant) {
    const code = ALIASES.reduce((text, [alias, half]) => text.replace(alias, half), kernel.code);
    variant = { ...kernel, name: `${kernel.name}_half`, code: `enable f16;\n${code}` };
    variants.set(kernel, variant);
  }
  return variant;
}

/** Dispatches as they are where activations are float32, or with kernels that take them in float16. */
export function storedIn<B>(half: boolean | undefined, launches: Launch<B>[]): Launch<B>[] {
  return half ? launches.map((launch) => ({ ...launch, kernel: halfKernel(launch.kernel) })) : launches;
}
