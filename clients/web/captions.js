// What was said so far, folded from events. Pages draw it, subtitles write it; nothing here knows where it came from.

export class Transcript {
  constructor(finals = []) {
    this.finals = finals; // {start, end, text, words}, in seconds since the first start
  }

  // Takes a final of a stream that began `offset` seconds after the first one; gives what is kept of it.
  take(final, offset) {
    const kept = placed(final, offset);
    this.finals.push(kept);
    return kept;
  }

  get end() {
    return this.finals.at(-1)?.end ?? 0;
  }
}

// What is kept of a final, in milliseconds at most: what a tab may store is scarce.
export function placed({ start, end, text, words = [] }, offset) {
  const at = (seconds) => Math.round((seconds + offset) * 1000) / 1000;
  const place = (word) => ({ ...word, start: at(word.start), end: at(word.end), confidence: undefined }); // JSON drops it
  return { start: at(start), end: at(end), text, words: words.map(place) };
}

// Draws a segment as a paragraph. Committed text is only ever added to, as pieces of its own, so that a live region
// announces what is new and nothing twice; the draft stands apart and is replaced.
export class SegmentView {
  constructor() {
    this.element = document.createElement("p");
    this.draft = document.createElement("span");
    this.draft.className = "draft";
    this.draft.ariaHidden = "true";
    this.element.append(this.draft);
    this.said = "";
  }

  show(committed, draft) {
    if (committed.length > this.said.length) {
      const piece = document.createElement("span");
      piece.textContent = committed.slice(this.said.length);
      this.draft.before(piece);
      this.said = committed;
    }
    if (this.draft.textContent !== draft) this.draft.textContent = draft;
  }
}
