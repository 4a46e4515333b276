// The way in to the server that this page came from.

const PROTOCOL = "granite-stream";
const TOKEN = /^([A-Za-z0-9._~-]{16,256})?$/; // others can be in no header, so no server knows them
const PATIENCE_MS = 5000; // for an answer

// Without a word from the server, which says something every few seconds: the connection is dead, and nobody said so.
export const SILENT_MS = 15000;

// Whether it may be a token, or is none.
export function fits(token) {
  return TOKEN.test(token);
}

export function dial(token) {
  const url = new URL("/v1/stream", location.href);
  url.protocol = url.protocol.replace("http", "ws");
  return new WebSocket(url, token ? [PROTOCOL, `bearer.${token}`] : [PROTOCOL]); // browsers cannot send it as a header
}

// What stands in the way, in a word: "token", "busy", "away"; "" if nothing does. A socket would not tell.
export async function obstacle(token) {
  if (!fits(token)) return "token";
  const signal = AbortSignal.timeout(PATIENCE_MS);
  const headers = token ? { Authorization: `Bearer ${token}` } : {};
  try {
    const answers = [fetch("/metrics", { method: "HEAD", headers, signal }), fetch("/ready", { method: "HEAD", signal })];
    const [door, ready] = await Promise.all(answers);
    if (door.status === 401) return "token";
    return ready.ok ? "" : "busy";
  } catch {
    return "away";
  }
}

export const WORDS = {
  token: "The server asks for a token, and does not know this one.",
  busy: "The server is still loading its model, or about to stop.",
  away: "The server cannot be reached. Is granite-stream serve running?",
  "":
    "The server takes no connection from here. Too many may be open; or this page has to be opened at localhost or at " +
    "a numeric address, or the server needs a token file.",
};
