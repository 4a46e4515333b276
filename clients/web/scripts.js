// Scripts that put no spaces between words: Japanese and Chinese. As model/scripts.py has it.

const SPACELESS = /[\u3000-\u30ff\u3400-\u9fff\uf900-\ufaff\uff00-\uffef]/; // beside these no space is written

// Whether a space stands between two words.
export function apart(before, after) {
  return Boolean(before && after) && !SPACELESS.test(before.at(-1)) && !SPACELESS.test(after[0]);
}

// Words as a line of text, with spaces where their scripts have them.
export function joined(words) {
  return words.reduce((text, word) => text + (apart(text, word) ? " " : "") + word, "");
}

// How wide text is, in Latin letters: characters of these scripts are twice as wide.
export function columns(text) {
  return [...text].reduce((sum, character) => sum + (SPACELESS.test(character) ? 2 : 1), 0);
}
