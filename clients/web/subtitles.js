// Transcripts as files: plain text, SubRip, WebVTT. The same cues as clients/subtitles.py makes; a test compares them.

import { columns, joined } from "./scripts.js";

const LINE_COLUMNS = 42; // what broadcasters allow: so many Latin characters, half as many Japanese or Chinese ones
const CUE_SECONDS = 7; // the longest; then the eye begins to read again
const SHORTEST_CUE_SECONDS = 1; // if the next one leaves the time
const PAUSE_SECONDS = 0.5; // as good a place to break as a full stop
const SILENCE_SECONDS = 1; // no cue spans a longer one: nobody wants to read what is said only later
const BREATH_SECONDS = 0.2; // as good as a comma

export function text(finals) {
  return finals.map((final) => `${final.text}\n`).join("");
}

export function srt(finals) {
  const cues = timed(finals).map(
    ({ start, end, lines }, index) => `${index + 1}\n${clock(start, ",")} --> ${clock(end, ",")}\n${lines.join("\n")}\n\n`,
  );
  return cues.join("");
}

export function vtt(finals) {
  const escaped = (line) => line.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
  const cues = timed(finals).map(
    ({ start, end, lines }) => `${clock(start, ".")} --> ${clock(end, ".")}\n${lines.map(escaped).join("\n")}\n\n`,
  );
  return `WEBVTT\n\n${cues.join("")}`;
}

// All cues in whole milliseconds, so that rounding cannot make two overlap or one last no time.
function timed(finals) {
  const cues = finals.flatMap(cuesOf);
  let lastEnd = 0;
  return cues.map(({ start, end, lines }, index) => {
    const room = cues[index + 1]?.start ?? Infinity;
    const from = Math.max(Math.round(start * 1000), lastEnd);
    const to = Math.max(end, Math.min(start + SHORTEST_CUE_SECONDS, room));
    lastEnd = Math.max(Math.round(to * 1000), from + 1);
    return { start: from, end: lastEnd, lines };
  });
}

// The words of a final in cues: few, broken at sentences and pauses rather than anywhere, none almost empty.
function cuesOf(final) {
  const words = shortWords(final);
  const best = [{ cost: 0, start: 0 }]; // best[end]: the cheapest way to cut words[0..end], and where its last cue begins
  for (let end = 1; end <= words.length; end++) {
    let cheapest = { cost: Infinity, start: 0 };
    for (let start = end - 1; start >= 0; start--) {
      const lines = layout(words.slice(start, end));
      if (!lines || (start < end - 1 && tooLong(words, start, end))) break; // longer ones do not fit either
      const emptiness = 1 - columns(lines.join("")) / (2 * LINE_COLUMNS);
      const cost = best[start].cost + 1 + breakCost(words, end) + emptiness ** 2;
      if (cost <= cheapest.cost) cheapest = { cost, start };
    }
    best.push(cheapest);
  }
  const cues = [];
  for (let end = words.length; end; end = best[end].start) {
    const cue = words.slice(best[end].start, end);
    cues.unshift({ start: cue[0].start, end: cue.at(-1).end, lines: layout(cue) });
  }
  return cues;
}

// The words on one line or two, the second if possible beginning after a pause; null if they do not fit.
function layout(words) {
  const texts = words.map(({ word }) => word);
  const whole = joined(texts);
  if (columns(whole) <= LINE_COLUMNS) return [whole];
  let best = null;
  for (let middle = 1; middle < words.length; middle++) {
    const lines = [joined(texts.slice(0, middle)), joined(texts.slice(middle))];
    const [first, second] = lines.map(columns);
    if (Math.max(first, second) > LINE_COLUMNS) continue;
    const cost = breakCost(words, middle) + Math.abs(first - second) / LINE_COLUMNS;
    if (!best || cost < best.cost) best = { cost, lines };
  }
  return best && best.lines;
}

// Whether words[start..end], known to be fine without the first, cannot be on screen together.
function tooLong(words, start, end) {
  const silence = words[start + 1].start - words[start].end;
  return silence > SILENCE_SECONDS || words[end - 1].end - words[start].start > CUE_SECONDS;
}

// How bad it is to break before words[at]: 0 where a sentence, a speaker or the final ends, 1 within a phrase.
function breakCost(words, at) {
  if (at === words.length || words[at].speaker !== words[at - 1].speaker) return 0;
  const before = words[at - 1];
  const pause = words[at].start - before.end;
  if (/[.?!…。？！]$/.test(before.word) || pause >= PAUSE_SECONDS) return 0;
  return /[,;:、，]$/.test(before.word) || pause >= BREATH_SECONDS ? 0.5 : 1;
}

// The final's words, or its text spread over its time if it has none, cut to what fits a line.
function shortWords(final) {
  const texts = final.text.split(/\s+/).filter(Boolean);
  const step = (final.end - final.start) / Math.max(texts.length, 1);
  const spread = (word, index) => ({ word, start: final.start + index * step, end: final.start + (index + 1) * step });
  const words = final.words.length ? final.words : texts.map(spread);
  let before = null;
  return words.flatMap(({ word, start, end, speaker = null }) => {
    const turn = speaker !== null && speaker !== before ? `[Speaker ${speaker}]: ` : "";
    before = speaker;
    const parts = partsOf(turn + word.split(/\s+/).filter(Boolean).join(" "));
    const each = (end - start) / Math.max(parts.length, 1);
    return parts.map((part, index) => ({ word: part, start: start + index * each, end: start + (index + 1) * each, speaker }));
  });
}

// Text in pieces that each fit a line.
function partsOf(text) {
  const parts = [];
  for (const character of text) {
    if (parts.length && columns(parts.at(-1) + character) <= LINE_COLUMNS) parts[parts.length - 1] += character;
    else parts.push(character);
  }
  return parts;
}

function clock(milliseconds, point) {
  const two = (value) => String(value).padStart(2, "0");
  const seconds = Math.floor(milliseconds / 1000);
  const parts = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60, seconds % 60].map(two).join(":");
  return `${parts}${point}${String(milliseconds % 1000).padStart(3, "0")}`;
}
