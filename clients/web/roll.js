// Text that grows at its end, a few lines of which are seen. No word in sight moves but upwards: lines that are full stay
// as they are, also when a draft gets shorter or the oldest lines are forgotten.

export class Roll {
  // `element` holds the text, `committed` and `draft` its two parts, of which `lines` lines are seen.
  constructor(element, committed, draft, lines) {
    Object.assign(this, { element, committed, draft, lines });
    this.clear();
  }

  clear() {
    this.rows = 0; // that the text has had at most
    this.write("", "");
  }

  // Shows a text that begins like the one before it. Gives the number of characters that were forgotten at its beginning.
  show(committed, draft) {
    this.write(committed, draft);
    const height = parseFloat(getComputedStyle(this.element).lineHeight);
    this.element.style.minHeight = "0";
    const rows = Math.round(this.element.getBoundingClientRect().height / height);
    this.rows = rows && Math.max(rows, Math.min(this.rows, rows + this.lines - 1)); // some words stay in sight
    const forgotten = this.rows > this.lines + 2 ? this.forget(this.rows - this.lines, height) : 0;
    this.element.style.minHeight = `${this.rows * height}px`;
    return forgotten;
  }

  // Takes whole lines away above, as far as they are committed.
  forget(rows, height) {
    const text = this.committed.firstChild;
    const top = this.element.getBoundingClientRect().top + rows * height;
    let [from, to] = [0, text?.length ?? 0]; // the first character behind those lines is in between
    while (from < to) {
      const middle = (from + to) >> 1;
      if (middleOf(text, middle) < top) from = middle + 1;
      else to = middle;
    }
    if (!text || from === text.length) return 0; // the draft begins there: a later text will do
    text.deleteData(0, from);
    this.rows -= rows;
    return from;
  }

  write(committed, draft) {
    if (this.committed.textContent !== committed) this.committed.textContent = committed;
    if (this.draft.textContent !== draft) this.draft.textContent = draft;
  }
}

// The height at which a character stands.
function middleOf(text, at) {
  const range = document.createRange();
  range.setStart(text, at);
  range.setEnd(text, at + 1);
  const { top, bottom } = range.getBoundingClientRect();
  return (top + bottom) / 2;
}
