/**
 * Display of pictures in Jupyter notebooks with Deno's kernel.
 *
 * @module
 */

/**
 * Name of the method that Deno's Jupyter kernel calls to display a value: one that a cell ends with, or that is given to
 * `Deno.jupyter.display`.
 */
export const JUPYTER_DISPLAY: unique symbol = Symbol.for("Jupyter.display");

/** Representations of a value by media type, of which a notebook shows the richest that it can; binary ones in base64. */
export type JupyterMedia = Readonly<Record<string, string>>;
