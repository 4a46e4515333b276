// What a tab keeps over a reload: the token, which is never in an address, and the finals. It goes with the tab.

export function loadToken() {
  return sessionStorage.getItem("token") ?? "";
}

export function saveToken(token) {
  sessionStorage.setItem("token", token);
}

export function loadFinals() {
  const finals = [];
  for (let text; (text = sessionStorage.getItem(`final ${finals.length}`)); ) finals.push(JSON.parse(text));
  return finals;
}

export function saveFinal(index, final) {
  try {
    sessionStorage.setItem(`final ${index}`, JSON.stringify(final));
  } catch {
    // full, after a day of speech or so: the transcript is on the page, only a reload would lose the rest
  }
}

export function forgetFinals() {
  const token = loadToken();
  sessionStorage.clear();
  saveToken(token);
}
