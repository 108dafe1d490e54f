/**
 * Kernels with an invocation per item of a layer, such as a weight, in two forms: for one layer, and for the ranges of several
 * layers in the same buffers, in one dispatch.
 *
 * @module
 */
import { cachedKernel } from "./gemm.ts";
import { type Combine, grid1d, type Launch, launch } from "../source.ts";

/** Kernel text for the items of a layer. */
export interface ItemKernel {
  readonly name: string;
  /** WGSL type of the elements of both buffers. */
  readonly element: keyof typeof ELEMENT_BYTES;
  /** Buffer that is read. */
  readonly source: string;
  /** Buffer that is written. */
  readonly result: string;
  /**
   * WGSL statements for the item `id`. They read `work.items` and `work.parts`; the layer's elements start at `work.source`
   * and `work.result` of the two buffers.
   */
  body(): string;
}

/** Size of a layer's work. */
export interface ItemWork {
  /** Items, an invocation each. */
  readonly items: number;
  /** Terms of the sum that an item is. */
  readonly parts: number;
}

const ELEMENT_BYTES = { f32: 4, vec4f: 16 } as const;

const GROUP_ITEMS = 64;
/** Workgroups per record of a combined dispatch. */
const BLOCK_GROUPS = 16;
const BLOCK_ITEMS = GROUP_ITEMS * BLOCK_GROUPS;
/** Fields of a record, all u32; `first` is the first item of the block. */
const FIELDS = ["items", "parts", "first", "source", "result"] as const;

/**
 * Launch for one layer.
 *
 * @param combines true if it may be combined with those of other layers
 */
export function itemLaunch<B>(
  kernel: ItemKernel,
  { items, parts }: ItemWork,
  buffers: Readonly<Record<string, B>>,
  { label, combines }: { label: string; combines: boolean },
): Launch<B> {
  const text = cachedKernel(kernel.name, () => ofLayer(kernel));
  const groups = grid1d(items, GROUP_ITEMS);
  const single = launch<B, typeof text>(text, "main", { items, parts }, buffers, groups, { label });
  return combines ? { ...single, combine: combineItems(kernel) } : single;
}

/** Combination of launches of a kernel. */
function combineItems(kernel: ItemKernel): Combine {
  const bytes = ELEMENT_BYTES[kernel.element];
  return (launches) => {
    const records = launches.flatMap(({ params: { items, parts }, offsets }) =>
      Array.from({ length: Math.ceil(items! / BLOCK_ITEMS) }, (_, i): Record<string, number> => ({
        items: items!,
        parts: parts!,
        first: i * BLOCK_ITEMS,
        source: offsets[kernel.source]! / bytes,
        result: offsets[kernel.result]! / bytes,
      }))
    );
    const text = cachedKernel(`${kernel.name}_combined`, () => ofLayers(kernel));
    const params = { blocks: records.length };
    const groups = grid1d(records.length * BLOCK_GROUPS, 1);
    return {
      records: Uint32Array.from(records.flatMap((record) => FIELDS.map((field) => record[field]!))),
      bind: (blocks, buffers) =>
        launch(text, "main", params, { ...buffers, blocks }, groups, { label: "combined layers" }),
    };
  };
}

function declarations({ element, source, result }: ItemKernel, params: string): string {
  return `
struct Work { ${FIELDS.map((field) => `${field}: u32`).join(", ")} }
struct Params { ${params} }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> ${source}: array<${element}>;
@group(0) @binding(2) var<storage, read_write> ${result}: array<${element}>;`;
}

const ENTRY_POINT = `
@compute @workgroup_size(${GROUP_ITEMS})
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) thread: u32,
) {
  let index = group.y * groups.x + group.x;`;

function ofLayer(kernel: ItemKernel): string {
  return `${declarations(kernel, "items: u32, parts: u32")}
${ENTRY_POINT}
  let work = Work(params.items, params.parts, 0u, 0u, 0u);
  let id = index * ${GROUP_ITEMS}u + thread;
  if (id >= work.items) { return; }
  ${kernel.body()}
}`;
}

function ofLayers(kernel: ItemKernel): string {
  return `${declarations(kernel, "blocks: u32")}
@group(0) @binding(3) var<storage, read> blocks: array<Work>;
${ENTRY_POINT}
  let block = index / ${BLOCK_GROUPS}u;
  if (block >= params.blocks) { return; }
  let work = blocks[block];
  let id = work.first + index % ${BLOCK_GROUPS}u * ${GROUP_ITEMS}u + thread;
  if (id >= work.items) { return; }
  ${kernel.body()}
}`;
}
