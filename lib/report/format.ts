/**
 * Numbers and durations as a report shows them.
 *
 * @module
 */

/** Four significant digits, with separators of thousands; small ones with an exponent. */
export function formatValue(value: number): string {
  if (!Number.isFinite(value)) return "not finite";
  if (Number.isInteger(value)) return value.toLocaleString("en-US");
  const size = Math.abs(value);
  if (size < 1e-3) return value.toExponential(2);
  if (size >= 1000) return Math.round(value).toLocaleString("en-US");
  return value.toPrecision(4);
}

/** A duration in its two largest units, such as `2 h 05 min`. */
export function formatSeconds(seconds: number): string {
  const whole = Math.round(seconds);
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  if (whole < 60) return `${whole} s`;
  const minutes = Math.floor(whole / 60);
  if (minutes < 60) return `${minutes} min ${pad(whole % 60)} s`;
  return `${Math.floor(minutes / 60)} h ${pad(minutes % 60)} min`;
}

/** A time in UTC to the minute, such as `2026-12-01 00:25 UTC`; the text itself if it is none. */
export function formatTime(time: string): string {
  const date = new Date(time);
  return Number.isNaN(date.getTime()) ? time : `${date.toISOString().slice(0, 16).replace("T", " ")} UTC`;
}

/** A count with its noun: `1 epoch`, `2 epochs`. */
export function countOf(count: number, noun: string, plural = `${noun}s`): string {
  return `${count.toLocaleString("en-US")} ${count === 1 ? noun : plural}`;
}

function pad(value: number): string {
  return String(value).padStart(2, "0");
}
