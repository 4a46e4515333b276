// Captions only, for OBS and other compositors: follows a channel that somebody on this server speaks on.
//
// /overlay?channel=NAME&font=Inter&size=48&color=fff&draft=ffffffa8&background=000000b0&lines=2&position=bottom&hide=6
// `position` is up to two of top, middle, bottom, left, right; `hide` the seconds after which an old text goes, 0: never.
// A server that asks for a token gets it from the fragment (#token=…), which browsers never send or log.

import { SILENT_MS, WORDS, dial, fits, obstacle } from "./door.js";
import { Roll } from "./roll.js";
import { apart } from "./scripts.js";

const $ = (id) => document.getElementById(id);
const FIRST_WAIT_MS = 500;
const LONGEST_WAIT_MS = 4000;
const POSITIONS = ["top", "middle", "bottom", "left", "right"];

const wanted = new URLSearchParams(location.search);
const channel = wanted.get("channel") ?? "";
const token = new URLSearchParams(location.hash.slice(1)).get("token") ?? "";
const hideSeconds = number("hide") ?? 6;
const lines = Math.max(1, Math.round(number("lines") ?? 2));

let before = ""; // finals, as far as they have not rolled out of sight
let open = ""; // what is committed of the open segment
let skip = 0; // characters of it that have rolled out of sight
let seen = false; // a caption: from then on nothing but captions may be on the picture
let hiding;
let silence;
let wait = FIRST_WAIT_MS;

function number(name) {
  return /^\d+(\.\d+)?$/.test(wanted.get(name) ?? "") ? Number(wanted.get(name)) : null;
}

function color(name) {
  const value = wanted.get(name) ?? "";
  const color = value === "none" ? "transparent" : value.replace(/^(?=([0-9a-f]{3,4}){1,2}$)/i, "#");
  return CSS.supports("color", color) ? color : null;
}

function dress() {
  const size = number("size");
  const font = wanted.get("font");
  const values = {
    "--color": color("color"),
    "--draft": color("draft") ?? (color("color") && `color-mix(in srgb, ${color("color")} 65%, transparent)`),
    "--back": color("background"),
    "--size": size && `${size}px`,
    "--font": font && `${JSON.stringify(font)}, system-ui, sans-serif`,
    "--lines": lines,
  };
  for (const [name, value] of Object.entries(values)) if (value) document.documentElement.style.setProperty(name, value);
  document.body.classList.add(...(wanted.get("position") ?? "").split(/[^a-z]+/).filter((word) => POSITIONS.includes(word)));
}

// Lines in whole pixels, with backgrounds that neither overlap nor leave a slit between them, whatever the font.
function rule() {
  const size = parseFloat(getComputedStyle(document.body).fontSize);
  const line = Math.round(1.36 * size);
  $("draft").textContent = "x";
  const spare = line - $("draft").getBoundingClientRect().height;
  $("draft").textContent = "";
  const values = { "--line": `${line}px`, "--above": `${Math.floor(spare / 2)}px`, "--below": `${Math.ceil(spare / 2)}px` };
  for (const [name, value] of Object.entries(values)) document.documentElement.style.setProperty(name, value);
}

function show(committed, draft) {
  const first = apart(before, committed + draft) ? `${before} ` : before;
  const forgotten = roll.show(first + committed.slice(skip), draft);
  before = before.slice(forgotten);
  skip += Math.max(forgotten - first.length, 0);
  seen ||= committed + draft !== "";
  clearTimeout(hiding);
  if (hideSeconds) hiding = setTimeout(clear, hideSeconds * 1000);
}

function clear() {
  before = open = "";
  skip = 0;
  roll.clear();
}

function take({ type, committed, draft, text }) {
  if (type === "speech_started") goOn("");
  if (type === "partial") {
    goOn(committed);
    show((open = committed), draft);
  }
  if (type === "final") {
    goOn(text);
    settle(text);
  }
}

// A text that does not begin with what was committed is another segment's: a connection was lost in between.
function goOn(text) {
  if (!text.startsWith(open)) settle(open);
}

function settle(text) {
  show(text, "");
  before = $("committed").textContent;
  open = "";
  skip = 0;
}

function say(text) {
  if ($("notice").textContent !== text) $("notice").textContent = text;
  $("notice").hidden = !text || seen;
}

function follow() {
  const socket = dial(token);
  let [greeted, refused] = [false, ""];
  listen();
  socket.onopen = () => {
    greeted = true;
    socket.send(JSON.stringify({ type: "watch", channel }));
  };
  socket.onmessage = ({ data }) => {
    listen();
    const event = JSON.parse(data);
    if (event.type === "error") refused = event.message;
    else if (event.type === "watching") wait = FIRST_WAIT_MS;
    say(event.type === "watching" ? `Waiting for somebody to speak on ${channel}.` : "");
    take(event);
  };
  socket.onclose = ({ code, reason }) => lost(code === 1013 ? `The server says: ${reason}.` : "");

  function listen() {
    clearTimeout(silence);
    silence = setTimeout(() => lost(""), SILENT_MS);
  }

  async function lost(told) {
    clearTimeout(silence);
    socket.onopen = socket.onmessage = socket.onclose = null;
    socket.close(); // of a dead connection the browser would not tell for long
    if (refused) return say(refused); // the address is wrong: trying again would not make it right
    const why = greeted ? "away" : await obstacle(token);
    say(`${told || WORDS[why]} Trying again…`);
    setTimeout(follow, wait);
    wait = Math.min(2 * wait, LONGEST_WAIT_MS);
  }
}

dress();
rule();
const roll = new Roll($("roll"), $("committed"), $("draft"), lines);
if (!channel) {
  say("Name a channel: /overlay?channel=NAME. The page at / can speak on one, and granite-stream connect --channel NAME.");
} else if (!fits(token)) say(WORDS.token);
else follow();
