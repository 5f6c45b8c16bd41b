// Toasts: read out politely, gone after a while, kept while they are looked at or focused.
const ICONS = { good: "circle-check", bad: "alert-circle", warn: "alert-triangle", accent: "info-circle" };
const STAYS_MS = 7000;
const AT_MOST = 3;
const SVG = "http://www.w3.org/2000/svg";
const sprite = new URL("../vendor/icons.svg", import.meta.url).pathname;

function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  const use = document.createElementNS(SVG, "use");
  use.setAttribute("href", `${sprite}#${name}`);
  svg.append(use);
  return svg;
}

export function toast({ title, text = "", href = "", link = "View", tone = "accent" }) {
  const region = document.getElementById("toasts");
  if (!region || !title) return;
  const card = document.createElement("div");
  card.className = "toast-card";
  const glyph = document.createElement("span");
  glyph.className = `glyph glyph--${tone}`;
  glyph.append(icon(ICONS[tone] ?? ICONS.accent));
  const words = document.createElement("div");
  const strong = document.createElement("b");
  strong.textContent = title;
  words.append(strong);
  if (text) {
    const more = document.createElement("p");
    more.textContent = text;
    words.append(more);
  }
  if (href) {
    const anchor = document.createElement("a");
    anchor.href = href;
    anchor.textContent = link;
    words.append(anchor);
  }
  const close = document.createElement("button");
  close.type = "button";
  close.setAttribute("aria-label", "Dismiss");
  close.append(icon("x"));
  close.addEventListener("click", () => card.remove());
  card.append(glyph, words, close);
  while (region.children.length >= AT_MOST) region.firstElementChild.remove();
  region.append(card);

  let timer = 0;
  const start = () => { timer = setTimeout(() => card.remove(), STAYS_MS); };
  const stop = () => clearTimeout(timer);
  for (const name of ["pointerenter", "focusin"]) card.addEventListener(name, stop);
  for (const name of ["pointerleave", "focusout"]) card.addEventListener(name, start);
  start();
}

// Sent by the server in HX-Trigger.
document.body.addEventListener("toast", (event) => toast(event.detail));
