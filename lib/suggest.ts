/**
 * Suggestions for mistyped words ("did you mean …").
 *
 * @module
 */
import { distance } from "fastest-levenshtein";

/** Longest words that are compared: what comes from outside may be of any length. */
const MOST_CHARACTERS = 100;

/**
 * `words` and, where some of `known` are near to `wrong`, a question after them: ` (did you mean cat?)`. Near is what
 * differs in at most two fifths of the letters, by leaving out, putting in or changing one; case counts for nothing.
 */
export function withSuggestion(words: string, wrong: string, known: readonly string[]): string {
  const near = nearest(wrong, known);
  return near.length > 0 ? `${words} (did you mean ${near.join(" or ")}?)` : words;
}

/** The nearest of the known words, several where they are equally near; none where all are far. */
function nearest(wrong: string, known: readonly string[]): string[] {
  if (wrong.length > MOST_CHARACTERS) return [];
  const measured = [...new Set(known)].map((word) => ({
    word,
    letters: distance(wrong.toLowerCase(), word.toLowerCase()),
    most: 0.4 * Math.max(wrong.length, word.length),
  })).filter(({ letters, most }) => letters <= most);
  const least = Math.min(...measured.map(({ letters }) => letters));
  return measured.filter(({ letters }) => letters === least).map(({ word }) => word);
}
