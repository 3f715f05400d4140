// Elements and words. Titles and ids are hostile text: they enter the page as text nodes only.

const SVG = "http://www.w3.org/2000/svg";
const UNSHOWN = /[\p{Cc}\p{Cs}\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/gu;

/** An element; strings among the children become text nodes. */
export function el(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children.filter((child) => child !== null));
  return made;
}

/** A button that keeps the focus when its list is drawn anew (`key`), and takes a double click for one. */
export function button(text, label, key, act, enabled = true) {
  const made = el("button", { type: "button", "aria-label": label, title: label, "data-key": key }, text);
  if (!enabled) made.setAttribute("aria-disabled", "true");
  made.addEventListener("click", (event) => {
    if (enabled && event.detail <= 1) act();
  });
  return made;
}

/** Text fit to be shown: one line, no control or direction-changing characters, not too long. */
export function plain(text, longest = 120) {
  const shown = [...text.slice(0, 4 * longest).replace(/\s+/gu, " ").replace(UNSHOWN, "\ufffd").trim()];
  return shown.length > longest ? `${shown.slice(0, longest).join("")}…` : shown.join("") || "(empty)";
}

/** Title and id of an item; a direction within them cannot leak. */
export function name(item, title) {
  const first = el("bdi", { class: "title" }, plain(title || item));
  return title ? el("span", { class: "name" }, first, el("small", {}, el("bdi", {}, plain(item, 60)))) : el("span", { class: "name" }, first);
}

export function counted(n, one, many = `${one}s`) {
  return `${n.toLocaleString("en")} ${n === 1 ? one : many}`;
}

/** 0.312 → `31 %`, 0.042 → `4.2 %`; never rounded to none or to all. */
export function percent(share) {
  const size = 100 * share;
  if (size > 0 && size < 0.1) return "< 0.1\u00a0%";
  if (size < 100 && size > 99.5) return "> 99\u00a0%";
  return `${size.toFixed(size >= 9.95 || size === 0 ? 0 : 1)}\u00a0%`;
}

/** What is said of a noise probability: its shape, its class for the colour, its words. */
export function judged(noise) {
  if (noise === null) return ["○", "unjudged", "Cannot be judged"];
  if (noise >= 0.5) return ["▼", "noise", "More likely noise than not"];
  return noise >= 0.25 ? ["◆", "doubtful", "Doubtful"] : ["●", "fits", "Fits its history"];
}

/** Modality weights as one bar; the words beside it say the same. */
export function stack(weights) {
  const bar = document.createElementNS(SVG, "svg");
  bar.setAttribute("class", "stack");
  bar.setAttribute("aria-hidden", "true");
  let from = 0;
  weights.forEach(([, weight], k) => {
    const part = document.createElementNS(SVG, "rect");
    const sizes = { x: `${100 * from}%`, width: `${100 * (weight ?? 0)}%`, height: "100%", class: `part-${k % 6}` };
    for (const [key, value] of Object.entries(sizes)) part.setAttribute(key, value);
    bar.append(part);
    from += weight ?? 0;
  });
  return bar;
}

/** What counted of one interaction. */
export function marks(told, noisy) {
  const made = el("div", { class: "marks" });
  if (noisy) {
    const [shape, kind, words] = judged(told.noise);
    const figure = told.noise === null ? "" : `, ${percent(told.noise)} noise`;
    made.append(el("p", { class: `mark ${kind}` }, el("span", { "aria-hidden": "true" }, `${shape} `), `${words}${figure}`));
  }
  if (told.attention !== null) made.append(el("p", {}, `${percent(told.attention)} of the attention`));
  const weights = Object.entries(told.modalities);
  if (weights.length) {
    const words = weights.map(([modality, weight], k) =>
      el("li", { class: `key-${k % 6}` }, el("bdi", {}, plain(modality, 30)), ` ${weight === null ? "absent" : percent(weight)}`));
    made.append(stack(weights), el("ul", { class: "weights" }, ...words));
  }
  return made;
}

/** Draw a list anew; the focus stays with the control of the same key. */
export function redraw(list, rows, focus = null) {
  const key = focus ?? (list.contains(document.activeElement) ? document.activeElement.dataset.key : null);
  list.replaceChildren(...rows);
  if (key === null) return true;
  const found = [...list.querySelectorAll("[data-key]")].find((each) => each.dataset.key === key);
  found?.focus();
  return found !== undefined;
}
