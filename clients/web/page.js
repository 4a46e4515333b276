// The page: a microphone to captions. It draws what Connection, Microphone and Transcript tell it.

import { SegmentView, Transcript, placed } from "./captions.js";
import { Connection } from "./connection.js";
import { WORDS, obstacle } from "./door.js";
import { Microphone, explain, microphones } from "./microphone.js";
import { forgetFinals, loadFinals, loadHeard, loadToken, saveFinal, saveHeard, saveToken } from "./saved.js";
import * as subtitles from "./subtitles.js";

const $ = (id) => document.getElementById(id);
const captions = $("captions");
const METER_SECONDS = 0.35; // without new captions; with them the meter changes too: a new picture costs more than words
const GONE = "gone: "; // before the name of a microphone
const NEAR_THE_END = 80; // pixels: whoever has scrolled up further is reading, and is left alone

let transcript = new Transcript(loadFinals());
let open = null; // the segment that is being spoken: {view, partial, offset, stale}
let microphone = null; // while it listens
let connection = null; // until the last words are there
let starting = false; // until there are both
let fault = ""; // what was wrong with the connection when it was lost
let loudest = 0; // since the meter was drawn
let drawnSeconds = 0; // when it was
let full = false; // no more of it survives a reload
let farewell = ""; // why it stopped, if not because the user wanted it
let heardSeconds = Math.max(loadHeard(), transcript.end); // since the first start: a second one goes on behind the first
let following = true; // the captions, at their end
let scrolled = 0; // how far down they were at the last look, in pixels
let token = loadToken();

// --- what the user does ---

$("controls").addEventListener("submit", (event) => {
  event.preventDefault();
  if (microphone) stop();
  else start();
});

$("microphone").addEventListener("change", () => microphone?.use($("microphone").value));

$("mute").addEventListener("click", () => {
  microphone.muted = !microphone.muted;
  showStatus();
});

$("access").addEventListener("submit", (event) => {
  event.preventDefault();
  token = $("token").value.trim();
  saveToken(token);
  showLink();
  start();
});

captions.addEventListener("scroll", noticeScrolling);
new ResizeObserver(() => following && toTheEnd()).observe(captions);

$("clear").addEventListener("click", () => {
  if (!confirm("Forget these captions?")) return;
  forgetFinals();
  transcript = new Transcript();
  heardSeconds = 0;
  full = false;
  captions.replaceChildren();
  showElapsed();
  offer();
});

$("channel").addEventListener("input", showLink);

$("copy").addEventListener("click", async () => {
  try {
    await navigator.clipboard.writeText($("overlay").querySelector("a").href);
    $("copied").textContent = token ? "Copied, with the token in it." : "Copied.";
  } catch { // not allowed; or no clipboard at all, as for pages from http:// of another machine
    $("copied").textContent = "This browser does not let the page copy. Copy the link with a right click.";
  }
});

for (const button of document.querySelectorAll("[data-save]")) {
  button.addEventListener("click", () => save(button.dataset.save));
}

window.addEventListener("beforeunload", (event) => {
  if (microphone) event.preventDefault(); // closing the tab would end the captions
});

window.addEventListener("pagehide", () => {
  // if the page stays, its final takes that place
  for (const final of unfinished()) saveFinal(transcript.finals.length, final);
  saveHeard(heardSeconds);
});

// --- start and stop ---

async function start() {
  if (starting || connection) return; // there is a second button: "Use it"
  starting = $("start").disabled = true;
  say("Starting…");
  const why = (await hindrance()) || (await openMicrophone());
  starting = $("start").disabled = false;
  if (why) return say(why, "wrong");
  fault = "";
  connection = connect();
  microphone.listen(heard, (error) => (error ? stop(explain(error)) : showStatus()));
  $("start").textContent = "Stop";
  $("mute").disabled = false;
  offer();
  listMicrophones(); // only now does the browser tell their names
}

// Both give what is wrong in words; nothing: all is well.
async function hindrance() {
  const why = await obstacle(token);
  askForToken(why === "token");
  return why === "token" && !token ? "This server asks for a token." : why && WORDS[why];
}

async function openMicrophone() {
  try {
    microphone = await Microphone.open($("microphone").value);
  } catch (error) {
    return explain(error);
  }
}

function connect() {
  const channel = $("channel").value.trim();
  const made = new Connection({
    token,
    sampleRate: microphone.sampleRate,
    offset: heardSeconds,
    start: channel ? { channel } : {},
  });
  made.addEventListener("caption", ({ detail }) => show(detail.event, detail.offset));
  made.addEventListener("anew", ({ detail }) => (detail ? mark() : finish()));
  made.addEventListener("open", showStatus);
  made.addEventListener("lost", ({ detail }) => lost(detail));
  made.addEventListener("ended", ({ detail }) => ended(detail));
  return made;
}

function stop(why = "") {
  farewell = why;
  microphone.close();
  microphone = null;
  connection.stop();
  $("start").textContent = "Start";
  $("start").disabled = true; // until the last words are there
  $("mute").disabled = true;
  $("level").value = 0;
  showStatus();
}

function ended(why) {
  if (microphone) stop(why);
  connection = null;
  finish();
  offer();
  $("start").disabled = false;
  askForToken(why === WORDS.token);
  say(why || farewell || "Done.", why || farewell ? "wrong" : "");
}

// --- what happens ---

function heard(samples, level) {
  connection.send(samples);
  heardSeconds += samples.length / microphone.sampleRate;
  loudest = Math.max(loudest, level);
  if (Math.abs(heardSeconds - drawnSeconds) > METER_SECONDS) showMeter();
}

function showMeter() {
  if (heardSeconds === drawnSeconds) return; // nothing was heard since
  $("level").value = Math.min(1, Math.sqrt(loudest) * 1.6); // quiet speech moves it visibly
  [loudest, drawnSeconds] = [0, heardSeconds];
  showElapsed();
}

function showElapsed() {
  const seconds = Math.floor(heardSeconds);
  const time = `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
  if ($("elapsed").textContent !== time) $("elapsed").textContent = time;
}

// Between start and end all that may be said follows from what is so.
function showStatus() {
  $("mute").ariaPressed = String(Boolean(microphone?.muted));
  if (microphone?.gone) say("The microphone is gone. Plug it in again, or choose another one.", "wrong");
  else if (microphone?.paused) say("The browser has paused the microphone. If that lasts, stop and start.", "wrong");
  else if (!connection.ready && fault) say(`${fault} ${kept()} Reconnecting…`, "wrong");
  else if (!connection.ready && microphone) say("Starting…");
  else if (microphone && full) say("Listening. Save the captions: this tab can keep no more of them.", "live");
  else if (microphone) say(microphone.muted ? "Muted." : "Listening.", "live");
  else say(farewell || "Writing the last words…", farewell && "wrong");
}

function kept() {
  return microphone ? "What you say is kept." : "The last words are still missing.";
}

function lost(why) {
  fault = why || "The connection is lost.";
  showStatus();
}

function show(event, offset) {
  if (event.type !== "partial" && event.type !== "final") return;
  if (open?.stale) drop();
  open ??= begin();
  if (event.type === "final") {
    close(event, offset);
  } else {
    open.view.show(event.committed, event.draft);
    Object.assign(open, { partial: event, offset });
    if (!transcript.finals.length) offer();
  }
  if (microphone) showMeter();
  if (following) toTheEnd(); // last: it asks for the layout of all that has changed
}

function toTheEnd() {
  captions.scrollTop = captions.scrollHeight;
}

// Whoever moves up is reading; a page that becomes smaller or whose lines break elsewhere moves nobody up.
function noticeScrolling() {
  const left = captions.scrollHeight - captions.scrollTop - captions.clientHeight;
  following = left <= NEAR_THE_END || (following && captions.scrollTop >= scrolled);
  scrolled = captions.scrollTop;
}

function begin() {
  const view = new SegmentView();
  captions.append(view.element);
  return { view };
}

function close(final, offset) {
  if (!final.text) return drop();
  open.view.show(final.text, "");
  open = null;
  full = !saveFinal(transcript.finals.length, transcript.take(final, offset));
  if (full && connection) showStatus();
  offer();
}

// What was committed of the open segment is promised: nothing that is kept or saved lacks it.
function unfinished() {
  return open?.partial?.committed ? [placed(promised(), open.offset)] : [];
}

function promised() {
  return { ...open.partial, text: open.partial.committed };
}

// Its words will come again; it stands until then.
function mark() {
  if (open) open.stale = true;
}

// Its final will never come: what was committed is all of it.
function finish() {
  if (open) close(promised(), open.offset);
}

function drop() {
  open.view.element.remove();
  open = null;
}

function say(text, kind = "") {
  $("status").textContent = text;
  $("status").className = kind;
}

function showLink() {
  const channel = $("channel").value.trim();
  const path = `/overlay?channel=${encodeURIComponent(channel)}`;
  const link = $("overlay").querySelector("a");
  link.href = token ? `${path}#token=${token}` : path;
  link.textContent = location.origin + path; // without the token: others may look at this screen
  $("overlay").hidden = !channel;
  $("copied").textContent = "";
}

function askForToken(asked) {
  if (asked === !$("access").hidden) return;
  $("access").hidden = !asked;
  (asked ? $("token") : $("start")).focus();
}

function offer() {
  const said = transcript.finals.length + unfinished().length;
  for (const button of document.querySelectorAll("[data-save]")) button.disabled = !said;
  $("clear").disabled = !transcript.finals.length || connection !== null;
  $("channel").disabled = connection !== null; // it counts from a start on
}

function save(kind) {
  const write = { txt: subtitles.text, srt: subtitles.srt, vtt: subtitles.vtt }[kind];
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([write([...transcript.finals, ...unfinished()])], { type: "text/plain;charset=utf-8" }));
  link.download = `captions.${kind}`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000); // the browser may still be reading
}

async function listMicrophones() {
  const [chosen] = $("microphone").selectedOptions;
  const options = (await microphones()).map((device) => new Option(device.label || "microphone", device.deviceId));
  let there = options.some((option) => option.value === chosen.value);
  if (microphone && !there && chosen.value) { // it is waited for
    options.push(new Option(GONE + chosen.text.replace(GONE, ""), chosen.value));
    there = true;
  }
  $("microphone").replaceChildren(new Option("default", ""), ...options);
  $("microphone").value = there ? chosen.value : "";
}

for (const { text } of transcript.finals) {
  const earlier = new SegmentView();
  earlier.show(text, "");
  captions.append(earlier.element);
}
showElapsed();
showLink(); // a browser may bring back what stood in the field
offer();
navigator.mediaDevices?.addEventListener("devicechange", listMicrophones);
listMicrophones();
