/**
 * Suggestions for mistyped words ("did you mean …").
 *
 * @module
 */
import { distance } from "fastest-levenshtein";

/** Longest word that is compared, which bounds the time for untrusted input. */
const MAX_CHARACTERS = 100;

/**
 * Appends ` (did you mean cat?)` to a message if any known word is close to the wrong one: within a Levenshtein distance of
 * 40 % of the longer word, or with two neighbouring letters swapped, ignoring case, but not all of several: the message names
 * those already.
 *
 * @param words the message
 * @param wrong the mistyped word
 * @param known the valid words
 */
export function withSuggestion(words: string, wrong: string, known: readonly string[]): string {
  const near = nearest(wrong, known);
  return near.length > 0 ? `${words} (did you mean ${near.join(" or ")}?)` : words;
}

/** The closest of the known words, several in case of a tie; empty if none is close, or all of several equally. */
function nearest(wrong: string, known: readonly string[]): string[] {
  if (wrong.length > MAX_CHARACTERS) return [];
  const measured = [...new Set(known)].map((word) => ({
    word,
    letters: edits(wrong.toLowerCase(), word.toLowerCase()),
    most: 0.4 * Math.max(wrong.length, word.length),
  })).filter(({ letters, most }) => letters <= most);
  const least = Math.min(...measured.map(({ letters }) => letters));
  const near = measured.filter(({ letters }) => letters === least).map(({ word }) => word);
  return near.length > 1 && near.length === new Set(known).size ? [] : near;
}

/** Levenshtein distance, but 1 if all that is wrong is a swap of two neighbouring letters: `cta` is as near to `cat` as `ct`. */
function edits(wrong: string, word: string): number {
  const start = [...wrong].findIndex((letter, index) => letter !== word[index]);
  const swapped = wrong.slice(0, start) + wrong.charAt(start + 1) + wrong.charAt(start) +
    wrong.slice(start + 2);
  return start >= 0 && swapped === word ? 1 : distance(wrong, word);
}
