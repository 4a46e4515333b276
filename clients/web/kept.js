// Sound that may have to be sent again, as pieces of 16-bit samples; places count from the first sample on.

export class Kept {
  constructor() {
    this.pieces = [];
    this.from = 0; // the place of the first sample that is kept
    this.end = 0; // behind the last one
  }

  put(piece) {
    this.pieces.push(piece);
    this.end += piece.length;
  }

  // Drops what lies before a place, as whole pieces.
  forget(place) {
    let whole = 0;
    while (whole < this.pieces.length && this.from + this.pieces[whole].length <= place) {
      this.from += this.pieces[whole++].length;
    }
    this.pieces.splice(0, whole);
  }

  // What is kept from a place on.
  *since(place) {
    let at = this.from;
    for (const piece of this.pieces) {
      if (at + piece.length > place) yield piece.subarray(Math.max(place - at, 0));
      at += piece.length;
    }
  }
}
