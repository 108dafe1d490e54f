/**
 * Text tables of measurements.
 *
 * @module
 */

/** Lines of a table, first column left-aligned, the others right-aligned; none without rows. */
export function table<T>(
  heads: readonly string[],
  rows: readonly T[],
  cells: (row: T) => string[],
): string[] {
  if (rows.length === 0) return [];
  const body = rows.map(cells);
  const widths = heads.map((head, column) =>
    Math.max(head.length, ...body.map((row) => row[column]?.length ?? 0))
  );
  const show = (row: readonly string[]) =>
    row.map((cell, i) => i === 0 ? cell.padEnd(widths[i] ?? 0) : cell.padStart(widths[i] ?? 0)).join("  ");
  return [show(heads), widths.map((width) => "-".repeat(width)).join("  "), ...body.map(show)];
}

/** Three significant digits without an exponent; empty for undefined. */
export function figure(value: number | undefined): string {
  if (value === undefined) return "";
  if (!Number.isFinite(value)) return "?";
  if (value === 0) return "0";
  const decimals = Math.max(0, 2 - Math.floor(Math.log10(Math.abs(Number(value.toPrecision(3))))));
  return value.toFixed(Math.min(decimals, 6));
}

/** Formats a share, 0 to 1, as a percentage. */
export function percent(share: number): string {
  return `${figure(100 * share)} %`;
}
