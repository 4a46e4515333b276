// A stream that survives its connections: what the server may not have understood yet is kept and said again.

import { SILENT_MS, WORDS, dial, obstacle } from "./door.js";
import { Kept } from "./kept.js";

const MOST_KEPT_SECONDS = 300; // of sound while the server is away; what is older is lost, and said to be
const GIVE_UP_SECONDS = 10; // at once, so that there is time to connect between two losses
const UNHEARD_SECONDS = 15; // of sound that the server has taken may not have been listened to yet
const FIRST_WAIT_MS = 250;
const LONGEST_WAIT_MS = 4000;
const STEADY_MS = 10000; // a connection that lasted so long was a good one
const LAST_WORDS_MS = 10000; // after the stop, for a server that is away

// Events: "caption" (detail: {event, offset}), "anew" (detail: whether the open segment will be said again), "open",
// "lost" (detail: why), "ended" (detail: why, or "" if all is well).
export class Connection extends EventTarget {
  constructor({ token = "", sampleRate, offset = 0, start = {} }) {
    super();
    this.token = token;
    this.rate = sampleRate;
    this.offset = offset; // seconds, where this stream begins
    this.first = { type: "start", sample_rate: sampleRate, ...start };
    this.kept = new Kept();
    this.session = null;
    this.seq = 0; // of the last event
    this.base = 0; // place of the session's first sample: a server that has forgotten us begins another one
    this.taken = 0; // place up to which the server has the sound
    this.settled = 0; // place up to which all words are final
    this.segment = null; // place where the open segment begins
    this.stopping = null; // when, in ms
    this.away = null; // since when there is no connection
    this.ended = false;
    this.failures = 0; // handshakes refused in a row
    this.wait = FIRST_WAIT_MS;
    this.watch = setInterval(() => this.check(), 1000);
    this.open();
  }

  // Takes the next samples (Int16Array); while there is no connection they are kept.
  send(samples) {
    if (this.stopping || this.ended) return;
    this.kept.put(samples);
    if (this.ready) this.write(samples);
    if (this.kept.end - this.kept.from > MOST_KEPT_SECONDS * this.rate) this.giveUpOldest();
  }

  // No more will come; the last captions follow, then "ended".
  stop() {
    if (this.stopping) return;
    this.stopping = performance.now();
    if (this.ready) this.sendStop();
  }

  open() {
    this.ready = this.refused = false;
    this.opened = this.heard = performance.now();
    const socket = dial(this.token);
    this.socket = socket;
    let greeted = false;
    socket.onopen = () => {
      greeted = true;
      const resume = this.session ? { resume: this.session, after: this.seq } : {};
      socket.send(JSON.stringify({ ...this.first, ...resume }));
    };
    socket.onmessage = ({ data }) => this.take(JSON.parse(data));
    socket.onclose = (close) => this.closed(close, greeted);
  }

  // --- what the server says ---

  take(message) {
    this.heard = performance.now();
    if (message.type === "ready") this.begin(message);
    else if (message.type === "ack") this.acknowledged(message.audio_seconds);
    else if (message.seq === undefined) this.complained(message);
    else if (message.seq > this.seq) this.said(message);
  }

  begin({ session, audio_seconds }) {
    this.session = session;
    this.failures = 0;
    this.acknowledged(audio_seconds);
    for (const piece of this.kept.since(this.taken)) this.write(piece);
    this.ready = true;
    this.away = null;
    if (this.stopping) this.sendStop();
    this.tell("open");
  }

  acknowledged(seconds) {
    this.taken = this.place(seconds);
    this.forget();
  }

  said(event) {
    this.seq = event.seq;
    // It may begin within the pause before it, of which the sound was not kept: the words there are final.
    if (event.type === "speech_started") this.segment = Math.max(this.settled, this.place(event.start));
    if (event.type === "final") [this.segment, this.settled] = [null, this.place(event.end)];
    if (event.type === "done") [this.segment, this.settled] = [null, this.taken];
    this.forget();
    if (event.type === "error") return this.beginAnew(); // this stream broke: another one says its open segment again
    this.tell("caption", { event, offset: this.offset + this.base / this.rate });
    if (event.type !== "done") return;
    if (this.stopping && this.taken === this.kept.end) this.end();
    else this.beginAnew(); // the server restarts, or the stream was as long as one may be
  }

  complained({ code, message }) {
    if (code === "unknown_session") this.beginAnew(); // it was away for too long, or is another one
    else if (code !== "slow_reader") this.refused = message;
  }

  closed({ code, reason }, greeted) {
    if (this.ended) return;
    if (this.refused) return this.end(this.refused);
    if (code === 4001) return this.end("This stream goes on in another place.");
    if (!greeted) return this.turnedAway();
    this.reconnect(code === 1013 ? `The server says: ${reason}.` : "");
  }

  // The handshake failed, and a browser does not say why.
  async turnedAway() {
    this.ready = false;
    const { socket } = this;
    const why = await obstacle(this.token);
    if (this.ended || this.socket !== socket) return; // or another attempt has begun meanwhile
    this.failures += why === "";
    if (why === "token" || this.failures > 2) this.end(WORDS[why]);
    else this.reconnect(why === "away" ? "" : WORDS[why]);
  }

  // --- its own course ---

  reconnect(why) {
    this.ready = false;
    clearTimeout(this.retry); // of a loss that was noticed in another way
    this.away ??= performance.now();
    if (performance.now() - this.opened > STEADY_MS) this.wait = FIRST_WAIT_MS;
    this.retry = setTimeout(() => this.open(), this.wait * (0.75 + Math.random() / 2)); // not all clients at once
    this.wait = Math.min(2 * this.wait, LONGEST_WAIT_MS);
    this.tell("lost", why);
  }

  check() {
    const now = performance.now();
    const waiting = this.ready || this.socket.readyState <= WebSocket.OPEN; // also for a handshake or a greeting
    if (waiting && now - this.heard > SILENT_MS) {
      this.leave();
      this.reconnect("");
    } else if (!this.ready && this.stopping && now - Math.max(this.stopping, this.away ?? 0) > LAST_WORDS_MS) {
      this.end("The server is away: the last words are missing.");
    }
  }

  // The next connection begins another session, with everything that is not final yet.
  beginAnew() {
    const again = this.segment === null || this.segment >= this.kept.from;
    this.base = this.taken = this.settled = Math.max(this.needed, this.kept.from);
    this.session = this.segment = null;
    this.seq = 0;
    this.tell("anew", again);
  }

  // The place from which on a server that knows nothing would have to hear the sound.
  get needed() {
    return this.segment ?? Math.max(this.settled, this.taken - UNHEARD_SECONDS * this.rate);
  }

  forget() {
    this.kept.forget(Math.min(this.needed, this.taken));
  }

  // Too much for memory. What the server has is not missed; otherwise another session begins, so that times stay true.
  giveUpOldest() {
    this.kept.forget(this.kept.from + GIVE_UP_SECONDS * this.rate);
    if (this.taken >= this.kept.from) return;
    this.leave();
    this.beginAnew();
    this.reconnect(`Sound older than ${MOST_KEPT_SECONDS / 60} minutes is lost.`);
  }

  end(why = "") {
    this.ended = true;
    this.leave();
    this.tell("ended", why);
  }

  // Hears and says nothing any more on this connection.
  leave() {
    this.ready = false;
    clearTimeout(this.retry);
    if (this.ended) clearInterval(this.watch);
    this.socket.onopen = this.socket.onmessage = this.socket.onclose = null;
    this.socket.close(this.ended ? 1000 : undefined); // 1000: nobody will come back for the session
  }

  sendStop() {
    this.write(JSON.stringify({ type: "stop" }));
  }

  // Nothing into a connection that is closing: it would be lost there, and the next one is told everything again.
  write(data) {
    if (this.socket.readyState === WebSocket.OPEN) this.socket.send(data);
  }

  place(seconds) {
    return this.base + Math.round(seconds * this.rate);
  }

  tell(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}
