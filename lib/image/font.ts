/**
 * Proportional bitmap font for the labels of grids and strips. A bitmap font stays sharp at any integer scale, looks the
 * same on every machine and needs no font file.
 *
 * @module
 */

import type { Canvas } from "./canvas.ts";

/** Height in pixels of a line of text at scale 1: seven above the baseline, two below. */
export const LINE_HEIGHT = 9;

/** Height in pixels of a capital letter at scale 1. */
export const CAPITAL_HEIGHT = 7;

/** Glyph for characters that the font lacks. */
const MISSING = "□";

const SPACE_WIDTH = 3;

/** `#` is ink; a blank separates two glyphs. Rows run from the top of the capitals downwards. */
const STRIPS: { characters: string; rows: string[] }[] = [
  {
    characters: "ABCDEFGHIJKLM",
    rows: [
      ".###. ####. .###. ####. ##### ##### .###. #...# ### ..## #...# #... #...#",
      "#...# #...# #...# #...# #.... #.... #...# #...# .#. ...# #..#. #... ##.##",
      "#...# #...# #.... #...# #.... #.... #.... #...# .#. ...# #.#.. #... #.#.#",
      "##### ####. #.... #...# ####. ####. #.### ##### .#. ...# ##... #... #.#.#",
      "#...# #...# #.... #...# #.... #.... #...# #...# .#. ...# #.#.. #... #...#",
      "#...# #...# #...# #...# #.... #.... #...# #...# .#. #..# #..#. #... #...#",
      "#...# ####. .###. ####. ##### #.... .###. #...# ### .##. #...# #### #...#",
    ],
  },
  {
    characters: "NOPQRSTUVWXYZ",
    rows: [
      "#...# .###. ####. .###. ####. .###. ##### #...# #...# #...# #...# #...# #####",
      "##..# #...# #...# #...# #...# #...# ..#.. #...# #...# #...# #...# #...# ....#",
      "##..# #...# #...# #...# #...# #.... ..#.. #...# #...# #...# .#.#. .#.#. ...#.",
      "#.#.# #...# ####. #...# ####. .###. ..#.. #...# #...# #.#.# ..#.. ..#.. ..#..",
      "#..## #...# #.... #.#.# #.#.. ....# ..#.. #...# .#.#. #.#.# .#.#. ..#.. .#...",
      "#..## #...# #.... #..#. #..#. #...# ..#.. #...# .#.#. ##.## #...# ..#.. #....",
      "#...# .###. #.... .##.# #...# .###. ..#.. .###. ..#.. #...# #...# ..#.. #####",
    ],
  },
  {
    characters: "abcdefghijklm",
    rows: [
      "..... #.... ..... ....# ..... .## ..... #.... # ..# #... #. .....",
      "..... #.... ..... ....# ..... #.. ..... #.... . ... #... #. .....",
      ".###. ####. .###. .#### .###. ### .#### ####. # ..# #..# #. ##.#.",
      "....# #...# #...# #...# #...# #.. #...# #...# # ..# #.#. #. #.#.#",
      ".#### #...# #.... #...# ##### #.. #...# #...# # ..# ##.. #. #.#.#",
      "#...# #...# #...# #...# #.... #.. #...# #...# # ..# #.#. #. #.#.#",
      ".#### ####. .###. .#### .###. #.. .#### #...# # ..# #..# .# #.#.#",
      "..... ..... ..... ..... ..... ... ....# ..... . ..# .... .. .....",
      "..... ..... ..... ..... ..... ... .###. ..... . ##. .... .. .....",
    ],
  },
  {
    characters: "nopqrstuvwxyz",
    rows: [
      "..... ..... ..... ..... .... ..... .#. ..... ..... ..... ..... ..... .....",
      "..... ..... ..... ..... .... ..... .#. ..... ..... ..... ..... ..... .....",
      "####. .###. ####. .#### #.## .#### ### #...# #...# #...# #...# #...# #####",
      "#...# #...# #...# #...# ##.. #.... .#. #...# #...# #.#.# .#.#. #...# ...#.",
      "#...# #...# #...# #...# #... .###. .#. #...# #...# #.#.# ..#.. #...# ..#..",
      "#...# #...# #...# #...# #... ....# .#. #...# .#.#. #.#.# .#.#. #...# .#...",
      "#...# .###. ####. .#### #... ####. .## .#### ..#.. .#.#. #...# .#### #####",
      "..... ..... #.... ....# .... ..... ... ..... ..... ..... ..... ....# .....",
      "..... ..... #.... ....# .... ..... ... ..... ..... ..... ..... .###. .....",
    ],
  },
  {
    characters: "0123456789!?.,:;'\"",
    rows: [
      ".###. .#. .###. .###. ...#. ##### ..##. ##### .###. .###. # .###. . .. . .. # #.#",
      "#...# ##. #...# #...# ..##. #.... .#... ....# #...# #...# # #...# . .. . .. # #.#",
      "#...# .#. ....# ....# .#.#. ####. #.... ...#. #...# #...# # ....# . .. . .. . ...",
      "#...# .#. ...#. ..##. #..#. ....# ####. ..#.. .###. .#### # ...#. . .. # .# . ...",
      "#...# .#. ..#.. ....# ##### ....# #...# .#... #...# ....# # ..#.. . .. . .. . ...",
      "#...# .#. .#... #...# ...#. #...# #...# .#... #...# ...#. . ..... . .# . .. . ...",
      ".###. ### ##### .###. ...#. .###. .###. .#... .###. .##.. # ..#.. # .# # .# . ...",
      "..... ... ..... ..... ..... ..... ..... ..... ..... ..... . ..... . #. . #. . ...",
    ],
  },
  {
    characters: "+-=*/\\<>()[]{}|",
    rows: [
      "..... .... .... ..... ....# #.... ...# #... ..# #.. ## ## ..# #.. #",
      "..#.. .... .... ..#.. ....# #.... ..#. .#.. .#. .#. #. .# .#. .#. #",
      "..#.. .... #### #.#.# ...#. .#... .#.. ..#. #.. ..# #. .# .#. .#. #",
      "##### #### .... .###. ..#.. ..#.. #... ...# #.. ..# #. .# #.. ..# #",
      "..#.. .... #### #.#.# .#... ...#. .#.. ..#. #.. ..# #. .# .#. .#. #",
      "..#.. .... .... ..#.. #.... ....# ..#. .#.. .#. .#. #. .# .#. .#. #",
      "..... .... .... ..... #.... ....# ...# #... ..# #.. ## ## ..# #.. #",
    ],
  },
  {
    characters: "#$%&@^_`~σ□",
    rows: [
      ".#.#. ..#.. ##..# .##.. .###. ..#.. ..... #. ..... ..... #####",
      ".#.#. .#### ##..# #..#. #...# .#.#. ..... .# ..... ..... #...#",
      "##### #.#.. ...#. #.#.. #.### #...# ..... .. ..... .#### #...#",
      ".#.#. .###. ..#.. .#... #.#.# ..... ..... .. .##.# #..#. #...#",
      "##### ..#.# .#... #.#.# #.### ..... ..... .. #.##. #...# #...#",
      ".#.#. ####. #..## #..#. #.... ..... ..... .. ..... #...# #...#",
      ".#.#. ..#.. #..## .##.# .###. ..... ..... .. ..... .###. #####",
      "..... ..... ..... ..... ..... ..... ##### .. ..... ..... .....",
    ],
  },
];

/** Letters that have no accent to drop, written with others. */
const SPELLED: Readonly<Record<string, string>> = {
  ...{ ß: "ss", ẞ: "SS", æ: "ae", Æ: "AE", œ: "oe", Œ: "OE", ø: "o", Ø: "O", đ: "d", Đ: "D", ð: "d", Ð: "D" },
  ...{ ł: "l", Ł: "L", þ: "th", Þ: "Th", ħ: "h", Ħ: "H", ı: "i" },
};

/** Rows of one glyph, top first; all of one width. */
type Glyph = string[];

let glyphs: Map<string, Glyph> | undefined;

/** Width in pixels of a line of text at scale 1. */
export function textWidth(text: string): number {
  return layOut(text).width;
}

/**
 * A label without what the font lacks: its first character that is not there is replaced by words, the others are left out.
 *
 * @param words such as `row 2`
 */
export function writable(label: string, words: string): string {
  let replaced = "";
  let lacks = false;
  for (const character of spell(label)) {
    if (isKnown(character)) replaced += character;
    else if (!lacks) {
      lacks = true;
      replaced += words;
    }
  }
  return lacks ? replaced : label;
}

/**
 * Draws one line of text, clipped to the canvas.
 *
 * @param canvas the canvas to draw on
 * @param text accents are dropped, letters such as ß are spelled; other characters that the font lacks become hollow boxes
 * @param x left edge of the text, in pixels
 * @param y top of the capitals, in pixels
 * @param scale pixels of the canvas per pixel of the font
 * @param grey brightness of the text, 0 to 255
 */
export function drawText(
  canvas: Canvas,
  text: string,
  x: number,
  y: number,
  scale: number,
  grey: number,
): void {
  for (const { left, glyph } of layOut(text).placed) {
    for (const [row, line] of glyph.entries()) {
      for (let column = 0; column < line.length; column++) {
        if (line[column] !== "#") continue;
        canvas.fill(x + (left + column) * scale, y + row * scale, scale, scale, grey);
      }
    }
  }
}

function layOut(text: string): { width: number; placed: { left: number; glyph: Glyph }[] } {
  glyphs ??= cutGlyphs();
  const placed = [];
  let left = 0;
  for (const character of spell(text)) {
    if (/\s/u.test(character)) {
      left += SPACE_WIDTH;
      continue;
    }
    const glyph = glyphs.get(character) ?? glyphs.get(MISSING)!;
    placed.push({ left, glyph });
    left += glyph[0]!.length + 1;
  }
  // No gap after the last glyph.
  return { width: Math.max(0, left - 1), placed };
}

/** Text without accents, and with letters that the font has for those that are like them. */
function spell(text: string): string {
  const plain = text.normalize("NFD").replace(/\p{M}/gu, "");
  return [...plain].map((character) => SPELLED[character] ?? character).join("");
}

function isKnown(character: string): boolean {
  glyphs ??= cutGlyphs();
  return /\s/u.test(character) || glyphs.has(character);
}

function cutGlyphs(): Map<string, Glyph> {
  const cut = new Map<string, Glyph>();
  for (const { characters, rows } of STRIPS) {
    const columns = rows.map((row) => row.split(" "));
    for (const [index, character] of [...characters].entries()) {
      cut.set(character, columns.map((row) => row[index]!));
    }
  }
  return cut;
}
