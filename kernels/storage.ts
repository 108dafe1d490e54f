/**
 * Kernel variants with float16 activations: the same text with other aliases of `Stored` (storage.wgsl).
 *
 * @module
 */
import type { KernelSource, Launch } from "./source.ts";

/** Aliases of storage.wgsl, which mark kernels that access activations, and their replacements in the variant. */
const ALIASES = [
  ["alias Stored = f32;", "alias Stored = f16;"],
  ["alias Stored4 = vec4f;", "alias Stored4 = vec4<f16>;"],
] as const;

const variants = new WeakMap<KernelSource, KernelSource>();

/**
 * Variant of a kernel with float16 activations, always the same object for the same kernel; the kernel itself if it does
 * not include storage.wgsl.
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

/** Replaces kernels by their float16 variants if `half` is true. */
export function storedIn<B>(half: boolean | undefined, launches: Launch<B>[]): Launch<B>[] {
  return half ? launches.map((launch) => ({ ...launch, kernel: halfKernel(launch.kernel) })) : launches;
}
