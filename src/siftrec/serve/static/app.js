// The page: a history that a person builds, what the model recommends for it, and why.

import * as address from "./address.js";
import * as api from "./api.js";
import { compare, moved, spoken, summary } from "./change.js";
import { button, counted, el, judged, marks, name, percent, plain, redraw } from "./view.js";

const FOUND = 20;
const PAUSE = 120; // ms without a change before the service is asked
const RETRY = 3; // s until the service is asked again, unless it says when

const at = (id) => document.getElementById(id);
const titles = new Map();
let rows = []; // the history, oldest first: {id, told, unknown, unread}
let k = 10;
let explains = true; // false: the method has no opinion of single interactions
let told = null; // of /v1/model
let shown = null; // the last recommendations: {items, k}
let done = null; // what the person did last, in words
let undoing = false;
let subject = null; // whose similar items are asked for
let opener = null; // key of the control that asked
let again = 0;
const problems = new Map(); // what is refused at the moment: source → refusal

const ids = () => rows.map((row) => row.id);
const title = (id) => titles.get(id) ?? null;
const called = (id) => plain(title(id) ?? id, 60);
const say = (text) => { at("live").textContent = text; };
const learn = (items) => items.forEach((each) => { if (each.title) titles.set(each.item, each.title); });

/** `work`, after a pause; an answer that a later call has overtaken is dropped. */
function latest(source, work, pause) {
  let timer = 0;
  let running = null;
  return () => {
    clearTimeout(timer);
    running?.abort();
    const mine = new AbortController();
    running = mine;
    timer = setTimeout(async () => {
      try {
        await work(mine.signal);
        if (!mine.signal.aborted) settle(source, null);
      } catch (error) {
        if (mine.signal.aborted) return;
        if (!(error instanceof api.Refusal)) throw error;
        settle(source, error);
      }
    }, pause);
  };
}

// Problems

/** Remember or forget a source's refusal, and say the gravest that is left. */
function settle(source, refusal) {
  const before = problems.values().next().value ?? null;
  problems.delete(source);
  if (refusal !== null) problems.set(source, refusal);
  const left = problems.values().next().value ?? null;
  const asking = left?.status === 401;
  at("problem").hidden = left === null;
  if (asking && at("token-form").hidden) setTimeout(() => at("token").focus());
  at("token-form").hidden = !asking;
  clearTimeout(again);
  if (left === null) return;
  const [words, wait] = worded(left);
  if (words !== before?.words) at("problem").replaceChildren(el("p", {}, words), button("Ask again now", "Ask again now", "again", refresh));
  left.words = words;
  if (wait) again = setTimeout(refresh, 1000 * wait);
}

/** A refusal in words, and the seconds until it is worth asking again; 0 = not by itself. */
function worded(refusal) {
  const wait = refusal.wait || RETRY;
  if (refusal.status === 401) return [api.hasToken() ? "The service refused the token." : "The service asks for a token.", 0];
  if (refusal.status === 0) return [`The service does not answer. Asking again every ${wait} seconds.`, wait];
  if (refusal.status === 503 || refusal.status === 429)
    return [`The service is busy or not ready (${refusal.status}). Asking again every ${wait} seconds.`, wait];
  return [`The service refused this: ${plain(refusal.message, 300)}`, 0];
}

// The model

const model = latest("model", async (signal) => {
  const answer = await api.model();
  if (signal.aborted) return;
  told = answer;
  const parts = [answer.method, counted(answer.items, "item")];
  if (answer.added) parts.push(`${answer.added.toLocaleString("en")} of them added`);
  for (const each of answer.modalities) parts.push(`${plain(each.name, 30)}: ${percent(each.coverage)}`);
  at("model").textContent = parts.join(" · ");
  at("model").title = `model ${answer.model}, siftrec ${answer.siftrec}`;
}, 0);

// Items

const search = latest("search", async (signal) => {
  const text = at("search").value.trim();
  const { items } = await api.search(text, FOUND, signal);
  if (signal.aborted) return;
  learn(items);
  let words = text ? counted(items.length, "match", "matches") : "The most popular; ↓ and ↑ go through them";
  if (items.length === FOUND && text) words = `The ${FOUND} most popular matches`;
  if (!items.length) words = text ? "No item has this in its title or id." : "The catalog is empty: there is nothing to recommend.";
  at("found-note").textContent = words;
  if (text) say(words);
  const drawn = items.map((each, n) =>
    el("li", {}, name(each.item, each.title),
      el("small", { class: "popularity" }, counted(each.popularity, "interaction")),
      el("span", { class: "acts" }, like(each.item, `like-found:${n}`), pick(each.item, `found:${n}`))));
  redraw(at("found"), drawn);
  rove();
}, PAUSE);

/** Arrow keys walk through what was found, from the field and back. */
function walk(event) {
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  const enters = event.key === "Enter" && event.target === at("search");
  if (!step && !enters) return;
  event.preventDefault();
  const stops = [at("search"), ...at("found").querySelectorAll("[data-key^=found]")];
  const here = document.activeElement.closest("#found > li")?.querySelector("[data-key^=found]") ?? at("search");
  const next = stops.indexOf(here) + (step ?? 1);
  stops[Math.max(0, Math.min(next, stops.length - 1))].focus();
}

/** Of what was found only one row is in the way of the Tab key: the one that has the focus, else the first. */
function rove() {
  const drawn = [...at("found").children];
  const here = drawn.find((row) => row.contains(document.activeElement)) ?? drawn[0];
  for (const row of drawn) for (const each of row.querySelectorAll("button")) each.tabIndex = row === here ? 0 : -1;
}

// The history

function change(next, words, focus = null) {
  rows = next;
  done = words;
  history.pushState(null, "", address.format(ids(), k));
  drawHistory(focus);
  at("recommended").setAttribute("aria-busy", "true");
  recommend();
}

function add(id) {
  at("similar").close();
  change([...rows, { id, told: null, unknown: false, unread: false }], `Added ${called(id)}`);
}

const pick = (id, key) => button("Add", `Add ${called(id)} to the history`, key, () => add(id));
const like = (id, key, known = true) => button("Similar", `Similar to ${called(id)}`, key, () => open(id, key), known);

function remove(n) {
  const gone = called(rows[n].id);
  change(rows.filter((_, m) => m !== n), `Removed ${gone}`, `remove:${Math.min(n, rows.length - 2)}`);
}

function move(n, by) {
  const next = [...rows];
  [next[n], next[n + by]] = [next[n + by], next[n]];
  change(next, `Moved ${called(rows[n].id)}`, `${by < 0 ? "earlier" : "later"}:${n + by}`);
}

function drawHistory(focus = null) {
  const noisy = rows.some((row) => row.told !== null && row.told.noise !== null);
  const drawn = rows.map((row, n) => {
    const what = called(row.id);
    const acts = [
      like(row.id, `like-past:${n}`, !row.unknown),
      button("↑", `Move ${what} earlier`, `earlier:${n}`, () => move(n, -1), n > 0),
      button("↓", `Move ${what} later`, `later:${n}`, () => move(n, 1), n < rows.length - 1),
      button("✕", `Remove ${what}`, `remove:${n}`, () => remove(n)),
    ];
    let why = row.told === null ? null : marks(row.told, noisy);
    if (row.unknown) why = el("div", { class: "marks" }, el("p", { class: "mark doubtful" }, "Not in the catalog; skipped."));
    else if (row.unread) why = el("div", { class: "marks" }, el("p", {}, "Older than what the model reads."));
    const kind = row.told && noisy ? judged(row.told.noise)[1] : "plain";
    return el("li", { class: kind }, name(row.id, title(row.id)), el("span", { class: "acts" }, ...acts), why);
  });
  at("clear").hidden = !rows.length;
  at("history-note").replaceChildren(...noteOfHistory(noisy));
  if (!redraw(at("history"), drawn, focus)) at("history-title").focus();
}

function noteOfHistory(noisy) {
  if (!rows.length) return ["Nothing yet. Add what somebody watched, bought or read."];
  const words = [`${counted(rows.length, "interaction")}, oldest first.`];
  if (rows.some((row) => row.told) && !noisy) words.push(" None has a noise probability: nothing here could vouch, or the model has no detector.");
  else if (!explains) words.push(" This method weighs the history as a whole: no noise marks.");
  const unknown = rows.filter((row) => row.unknown);
  if (!unknown.length) return words;
  words.push(` ${counted(unknown.length, "id is", "ids are")} not in the catalog. `);
  const known = () => change(rows.filter((row) => !row.unknown), "Removed unknown ids", "none");
  return [...words, button("Remove unknown", "Remove unknown ids", "known", known)];
}

// The recommendations

const recommend = latest("recommend", async (signal) => {
  const answer = await api.recommend(ids(), k, rows.length > 0, signal);
  if (signal.aborted) return;
  if (told !== null && answer.model !== told.model) model();
  if (rows.length) explains = answer.explanation !== null;
  learn(answer.items);
  tell(answer);
  drawRecommended(answer);
  drawHistory();
  named();
}, PAUSE);

/** Hand what the service told of each interaction to its row: of the known ones, the last are those that were read. */
function tell(answer) {
  const unknown = new Set(answer.unknown);
  const { explanation } = answer;
  learn(explanation?.interactions ?? []);
  const known = rows.filter((row) => !unknown.has(row.id));
  const skipped = known.length - (explanation?.interactions.length ?? known.length);
  rows = rows.map((row) => {
    const n = known.indexOf(row) - skipped;
    const read = explanation !== null && n >= 0;
    return {
      id: row.id,
      unknown: unknown.has(row.id),
      unread: explanation !== null && !read && !unknown.has(row.id),
      told: read ? explanation.interactions[n] : null,
    };
  });
}

function drawRecommended({ items, fallback }) {
  const comparable = shown !== null && shown.k === k && done !== null;
  const difference = comparable ? compare(shown.items, items, ids()) : null;
  let note = fallback ? "Nothing of this history is known; these are the most popular." : "The best first.";
  if (fallback && !rows.length) note = "There is no history yet; these are the most popular.";
  if (!items.length) note = "There is nothing left to recommend.";
  at("recommended-note").textContent = note;
  const drawn = items.map((each, n) => {
    const by = difference === null ? 0 : difference.moves.get(each.item);
    const [words, kind] = moved(by);
    const badge = difference === null ? null : el("span", { class: `move ${kind}` },
      el("span", { "aria-hidden": "true" }, words), el("span", { class: "hidden" }, spoken(by)));
    return el("li", {}, el("span", { class: "rank" }, String(each.rank)), name(each.item, each.title), badge ?? "",
      el("span", { class: "acts" }, like(each.item, `similar:${n}`), pick(each.item, `add:${n}`)));
  });
  at("recommended").removeAttribute("aria-busy");
  redraw(at("recommended"), drawn);
  drawChange(difference);
  const words = difference === null ? "" : ` ${done}: ${summary(difference)}.`;
  say(`${counted(items.length, "recommendation")}.${words}`);
  at("jump").textContent = difference === null ? "Recommendations ↓" : `${summary(difference)} ↓`;
  shown = { items, k };
  done = null;
}

function drawChange(difference) {
  at("change").hidden = difference === null;
  if (difference === null) return;
  const words = el("p", {}, el("strong", {}, el("bdi", {}, done)), `: ${summary(difference)}.`);
  const lines = [el("div", { class: "bar" }, words, done === "Undone" ? "" : button("Undo", `Undo: ${done}`, "undo", undo))];
  if (difference.gone.length) {
    const gone = difference.gone.map((each) => el("li", {}, el("bdi", {}, `${plain(each.title ?? each.item, 60)}`), ` (was ${each.rank})`));
    lines.push(el("p", { class: "muted" }, "Gone:"), el("ul", { class: "gone" }, ...gone));
  }
  if (!redraw(at("change"), lines)) at("recommended-title").focus();
}

function undo() {
  undoing = true;
  history.back();
}

/** Titles of ids that came with the address and that no answer has named; ids without one stay ids. */
async function named() {
  const wanted = [...new Set(rows.filter((row) => !row.unknown && !titles.has(row.id)).map((row) => row.id))].slice(0, FOUND);
  for (const id of wanted) titles.set(id, null);
  const answers = await Promise.allSettled(wanted.map((id) => api.search(id, FOUND)));
  for (const { value } of answers) learn((value?.items ?? []).filter((each) => titles.get(each.item) === null));
  if (wanted.some((id) => titles.get(id))) drawHistory();
}

// Similar items

function open(item, key) {
  if (at("similar").open) at("similar").close();
  else opener = key;
  at("similar-title").replaceChildren("Similar to ", el("bdi", {}, called(item)));
  at("similar-note").textContent = "…";
  at("similar-items").replaceChildren();
  at("similar").showModal();
  subject = item;
  similar();
}

const similar = latest("similar", async (signal) => {
  let items = [];
  try {
    items = (await api.similar(subject, k, signal)).items;
  } catch (error) {
    if (!(error instanceof api.Refusal) || signal.aborted) throw error;
    at("similar-note").textContent = worded(error)[0];
    if (error.status === 0 || error.status === 401) throw error;
    return;
  }
  if (signal.aborted) return;
  learn(items);
  at("similar-note").textContent = items.length ? "By the cosine of their vectors, 1 = the same direction." : "There is no other item.";
  const drawn = items.map((each, n) =>
    el("li", {}, el("span", { class: "rank" }, String(each.rank)), name(each.item, each.title),
      el("span", { class: "popularity" }, each.score.toFixed(2)),
      el("span", { class: "acts" }, like(each.item, `other:${n}`), pick(each.item, `pick:${n}`))));
  redraw(at("similar-items"), drawn);
}, 0);

function closed() {
  const back = [...document.querySelectorAll("[data-key]")].find((each) => each.dataset.key === opener);
  if (document.activeElement === document.body) back?.focus();
}

// Start, and whenever the address changes

function read() {
  const state = address.parse(location.hash);
  if (state.token !== null) {
    api.setToken(state.token); // and out of the address, where it would be shared along
    history.replaceState(null, "", address.format(state.history, state.k));
  }
  return state;
}

function restore(words) {
  const state = read();
  const before = new Map(rows.map((row) => [row.id, row]));
  rows = state.history.map((id) => ({ id, told: null, unknown: false, unread: false, ...before.get(id) }));
  k = state.k;
  at("k").value = k;
  done = words;
  at("unread").hidden = !state.unread.length;
  at("unread").textContent = `Of the address this could not be read: ${plain(state.unread.join(", "))}`;
  drawHistory();
  recommend();
}

function refresh() {
  model();
  search();
  recommend();
}

at("search").addEventListener("input", search);
at("search-form").addEventListener("submit", (event) => event.preventDefault());
at("search-form").parentElement.addEventListener("keydown", walk);
at("found").addEventListener("focusin", rove);
at("clear").addEventListener("click", () => change([], "Cleared the history", "none"));
at("similar-close").addEventListener("click", () => at("similar").close());
at("similar").addEventListener("close", closed);
at("token-form").addEventListener("submit", (event) => {
  event.preventDefault();
  api.setToken(at("token").value.trim());
  at("token").value = "";
  refresh();
});
at("k").addEventListener("change", () => {
  const wanted = Math.round(Number(at("k").value));
  k = Math.max(1, Math.min(address.MOST, wanted || 10));
  at("k").value = k;
  history.pushState(null, "", address.format(ids(), k));
  recommend();
});
// Plain links would write their target over the history in the address.
document.querySelector(".skip").addEventListener("click", (event) => {
  event.preventDefault();
  at("search").focus();
});
at("jump").addEventListener("click", () => {
  at("recommended-title").scrollIntoView();
  at("recommended-title").focus({ preventScroll: true });
});
new IntersectionObserver(([seen]) => { at("jump").hidden = seen.isIntersecting; }).observe(at("recommended-title"));
addEventListener("popstate", () => {
  restore(undoing ? "Undone" : "By the address");
  undoing = false;
});

restore(null);
model();
search();
