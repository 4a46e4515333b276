// What a tab keeps over a reload: the token, which is never in an address, and the finals. It goes with the tab.

const storage = found();

// Where a browser is told to keep no data of sites, even to ask for the storage is an error. A reload then loses all.
function found() {
  try {
    return sessionStorage;
  } catch {
    const kept = new Map();
    return {
      getItem: (key) => kept.get(key) ?? null,
      setItem: (key, value) => kept.set(key, value),
      clear: () => kept.clear(),
    };
  }
}

export function loadToken() {
  return storage.getItem("token") ?? "";
}

export function saveToken(token) {
  storage.setItem("token", token);
}

export function loadFinals() {
  const finals = [];
  for (let text; (text = storage.getItem(`final ${finals.length}`)); ) finals.push(JSON.parse(text));
  return finals;
}

export function saveFinal(index, final) {
  try {
    storage.setItem(`final ${index}`, JSON.stringify(final));
  } catch {
    // full, after a day of speech or so: the transcript is on the page, only a reload would lose the rest
  }
}

export function forgetFinals() {
  const token = loadToken();
  storage.clear();
  saveToken(token);
}
