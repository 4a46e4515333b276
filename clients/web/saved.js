// What a tab keeps over a reload: the token, which is never in an address, the finals, and how much was heard. It goes
// with the tab.

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

// False: there is no more room, after ten hours of speech or so. All is on the page; a reload would lose the rest.
export function saveFinal(index, final) {
  return keep(`final ${index}`, JSON.stringify(final));
}

export function loadHeard() {
  return Number(storage.getItem("heard")) || 0;
}

export function saveHeard(seconds) {
  keep("heard", seconds); // or not: the finals tell nearly as much
}

function keep(name, value) {
  try {
    storage.setItem(name, value);
    return true;
  } catch {
    return false;
  }
}

export function forgetFinals() {
  const token = loadToken();
  storage.clear();
  saveToken(token);
}
