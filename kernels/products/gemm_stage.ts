/**
 * Workgroup memory of an operand's stages, free of bank conflicts and cheap to address.
 *
 * A warp accesses vectors in groups of eight threads (128 bytes), which costs one access if they hit different banks, or the
 * same element.
 * - An operand along `lines` is stored as [k][quad of lines]: neighbouring threads write and read neighbouring quads.
 * - An operand along `k` is stored as loaded, because in WGSL a write of one component may touch the others: rows of A as [quad
 *   of k][row], columns of B as [quad of k][column in its quad][quad of columns]. Of eight threads that write, some hold other
 *   k of the same line; padding moves those to other banks.
 *
 * Compilers clamp each dynamic index of an array: several instructions an access, and an address that is a variable of its
 * own, where one addition to a constant would do. So arrays are nested along the digits of an index: a thread's own part is a
 * dynamic index that is the same in all accesses, and the counter of an unrolled loop is a constant.
 *
 * @module
 */
import type { GemmOperand } from "./gemm_problem.ts";

/** An index in [0, `count`) times `stride`; all are powers of two. */
interface Part {
  /** WGSL expression without side effects. */
  readonly index: string;
  readonly stride: number;
  readonly count: number;
}

/** Index of an axis: a constant, plus a dynamic part whose digits are zero in the constant. */
interface Position {
  readonly constant: number;
  readonly part?: Part;
}

/** Axis of an array, as the digits of a mixed-radix index, most significant first. */
class Axis {
  readonly #digits: readonly { stride: number; size: number }[];

  /** @param boundaries strides between which an index may be dynamic */
  constructor(size: number, boundaries: readonly number[]) {
    const strides = [...new Set([1, ...boundaries])].filter((stride) => stride < size).sort((a, b) => b - a);
    this.#digits = strides.map((stride, i) => ({ stride, size: (strides[i - 1] ?? size) / stride }));
  }

  /** WGSL type of an array of `element` along the axis. */
  arrayOf(element: string): string {
    return this.#digits.reduceRight((type, { size }) => `array<${type}, ${size}>`, element);
  }

  /** WGSL subscripts. */
  at({ constant, part }: Position): string {
    return this.#digits.map(({ stride, size }) => {
      if (!part || stride < part.stride || stride >= part.stride * part.count) {
        return `[${Math.floor(constant / stride) % size}]`;
      }
      const shifted = stride === part.stride ? part.index : `(${part.index}) / ${stride / part.stride}u`;
      return stride * size === part.stride * part.count ? `[${shifted}]` : `[(${shifted}) % ${size}u]`;
    }).join("");
  }
}

/** Sizes of the stages of an operand. */
export interface StageShape {
  readonly stages: 1 | 2;
  /** Lines (rows of A, columns of B) in the tile. */
  readonly lines: number;
  /** Length along k. */
  readonly depth: number;
  readonly threads: number;
  /** Threads with different lines; each has every `readers`-th quad of lines, or row of A along k. */
  readonly readers: number;
  /** Quads of k per iteration of the loop that reads. */
  readonly unroll: number;
}

/** WGSL access to the stages of an operand; stage and index of the iteration are WGSL expressions. */
export interface StageAccess {
  readonly declarations: string;
  /** Size in vectors. */
  readonly vectors: number;
  /** Element that a thread writes with its `j`-th load. */
  written(stage: string, j: number): string;
  /**
   * Vector that a thread reads: of quad `quad` of an iteration and
   * - along `lines`: its `line`-th quad of lines at k `x` of that quad;
   * - along `k`: its `line`-th row of A, or column `x` of its `line`-th quad of columns of B.
   */
  read(stage: string, iteration: string, quad: number, line: number, x: number): string;
}

/** Vectors between quads of k, beyond the lines, and between columns of a quad (B): see the module. */
export function padding(quads: number): { quad: Record<"a" | "b", number>; column: number } {
  const conflictFree = 8 / quads;
  return { quad: { a: conflictFree, b: conflictFree % 4 }, column: 1 };
}

/** Bytes of the stages of an operand. */
export function stageBytes(
  name: "a" | "b",
  { along }: Pick<GemmOperand, "along">,
  { stages, lines, depth }: Pick<StageShape, "stages" | "lines" | "depth">,
): number {
  const quads = depth / 4;
  const { quad, column } = padding(quads);
  const padded = name === "a" ? quad.a : quad.b + 4 * column;
  return 16 * stages * quads * (lines + (along === "k" ? padded : 0));
}

/** Stages of an operand. */
export function stageAccess(
  name: "a" | "b",
  operand: Pick<GemmOperand, "along">,
  shape: StageShape,
  reader: string,
): StageAccess {
  const { stages, depth, unroll } = shape;
  const quads = depth / 4;
  const member = (type: string) => stages === 2 ? `array<${type}, 2>` : type;
  const base = (stage: string) => `stage_${name}${stages === 2 ? `[${stage}]` : ""}`;
  const iterations = (iteration: string, stride: number): Part | undefined =>
    unroll === quads ? undefined : { index: iteration, stride, count: quads / unroll };
  const vectors = stageBytes(name, operand, shape) / 16;
  return operand.along === "lines" ? alongLines() : name === "a" ? rowsAlongK() : columnsAlongK();

  function alongLines(): StageAccess {
    const { threads, readers, lines } = shape;
    const width = lines / 4;
    const perLoad = Math.min(depth, threads / width);
    const ks = new Axis(depth, [perLoad, 4 * unroll]);
    const positions = new Axis(width, [readers]);
    const own: Position = { constant: 0, part: { index: `thread % ${width}u`, stride: 1, count: width } };
    return {
      vectors,
      declarations: `var<workgroup> stage_${name}: ${member(ks.arrayOf(positions.arrayOf("vec4f")))};`,
      written: (stage, j) => {
        const k = { constant: j * perLoad, part: { index: `thread / ${width}u`, stride: 1, count: perLoad } };
        return base(stage) + ks.at(k) + positions.at(own);
      },
      read: (stage, iteration, quad, line, x) =>
        base(stage) + ks.at({ constant: 4 * quad + x, part: iterations(iteration, 4 * unroll) }) +
        positions.at({ constant: line * readers, part: { index: reader, stride: 1, count: readers } }),
    };
  }

  function rowsAlongK(): StageAccess {
    const { threads, readers, lines } = shape;
    const perLoad = threads / quads;
    const ks = new Axis(quads, [unroll]);
    const rows = new Axis(lines, [readers, perLoad]);
    return {
      vectors,
      declarations: `struct QuadA { rows: ${rows.arrayOf("vec4f")}, padding: array<vec4f, ${
        padding(quads).quad.a
      }> }
var<workgroup> stage_a: ${member(ks.arrayOf("QuadA"))};`,
      written: (stage, j) => {
        const k = ks.at({ constant: 0, part: { index: `thread % ${quads}u`, stride: 1, count: quads } });
        const part = { index: `thread / ${quads}u`, stride: 1, count: perLoad };
        return `${base(stage)}${k}.rows${rows.at({ constant: j * perLoad, part })}`;
      },
      read: (stage, iteration, quad, line) =>
        `${base(stage)}${ks.at({ constant: quad, part: iterations(iteration, unroll) })}.rows` +
        rows.at({ constant: line * readers, part: { index: reader, stride: 1, count: readers } }),
    };
  }

  function columnsAlongK(): StageAccess {
    const { threads, readers, lines } = shape;
    const perLoad = threads / quads / 4;
    const ks = new Axis(quads, [unroll]);
    const positions = new Axis(lines / 4, [readers, perLoad]);
    const { quad, column } = padding(quads);
    return {
      vectors,
      declarations: `struct ColumnB { quads: ${positions.arrayOf("vec4f")}, padding: array<vec4f, ${column}> }
struct QuadB { columns: array<ColumnB, 4>, ${quad.b > 0 ? `padding: array<vec4f, ${quad.b}>` : ""} }
var<workgroup> stage_b: ${member(ks.arrayOf("QuadB"))};`,
      written: (stage, j) => {
        const k = ks.at({ constant: 0, part: { index: `thread % ${quads}u`, stride: 1, count: quads } });
        const part = { index: `thread / ${4 * quads}u`, stride: 1, count: perLoad };
        return `${base(stage)}${k}.columns[thread / ${quads}u % 4u].quads` +
          positions.at({ constant: j * perLoad, part });
      },
      read: (stage, iteration, quad, line, x) =>
        `${base(stage)}${
          ks.at({ constant: quad, part: iterations(iteration, unroll) })
        }.columns[${x}].quads` +
        positions.at({ constant: line * readers, part: { index: reader, stride: 1, count: readers } }),
    };
  }
}
