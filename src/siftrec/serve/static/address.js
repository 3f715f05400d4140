// The state in the address: #history=ID,ID&k=10. Ids are any text, so each is encoded by itself.

export const MOST = 100;

/** The state that an address holds, its token if it brings one, and what of it could not be read. */
export function parse(hash) {
  const state = { history: [], k: 10, token: null, unread: [] };
  for (const part of hash.replace(/^#/, "").split("&").filter(Boolean)) {
    const [name, value] = [part.split("=", 1)[0], part.slice(part.indexOf("=") + 1)];
    const read = value.split(",").filter(Boolean).map(decoded);
    const known = read.filter((each) => each !== null);
    if (name === "history") state.history = known;
    else if (name === "token") state.token = decoded(value);
    else if (name === "k" && /^\d{1,3}$/.test(value) && value >= 1 && value <= MOST) state.k = Number(value);
    else state.unread.push(part);
    if (known.length < read.length) state.unread.push(name);
  }
  return state;
}

function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return null;
  }
}

export function format(history, k) {
  const ids = history.map((id) => encodeURIComponent(id.toWellFormed())).join(",");
  return `#history=${ids}&k=${k}`;
}
