/**
 * Fewer points for long curves: neighbours are combined.
 *
 * @module
 */

/** A curve's points, ascending in x. */
export interface Points {
  readonly x: readonly number[];
  readonly y: readonly number[];
}

/** Value that stands for several neighbours. */
export type Aggregate = "mean" | "max";

/**
 * Combines neighbours until at most `limit` points are left. The last point's x is kept; y is the neighbours' mean, or their
 * maximum so that no peak is lost.
 */
export function thinOut({ x, y }: Points, limit: number, combine: Aggregate): Points {
  const size = Math.ceil(x.length / limit);
  if (size <= 1) return { x, y };
  const groups = Array.from(
    { length: Math.ceil(x.length / size) },
    (_, i) => y.slice(i * size, (i + 1) * size),
  );
  return {
    x: groups.map((group, i) => x[i * size + group.length - 1]!), // within the curve
    y: groups.map((group) =>
      combine === "max" ? Math.max(...group) : group.reduce((sum, value) => sum + value, 0) / group.length
    ),
  };
}

/**
 * Leaves items out until their sizes sum to at most `limit`: early ones, since the later matter more, but not the first unless it
 * must be. The last is kept whatever its size.
 *
 * @param items in the order of time
 */
export function thinEarly<T>(items: readonly T[], sizeOf: (item: T) => number, limit: number): T[] {
  const kept = [...items];
  let total = kept.reduce((sum, item) => sum + sizeOf(item), 0);
  // Every second one of the older half goes, again and again, so that gaps are widest at the beginning.
  while (total > limit && kept.length > 2) {
    const half = Math.max(2, Math.ceil(kept.length / 2));
    for (let i = 1; i < Math.min(half, kept.length - 1) && total > limit; i++) {
      const [removed] = kept.splice(i, 1);
      total -= sizeOf(removed!); // i is within the list
    }
  }
  return total > limit ? kept.slice(-1) : kept;
}
