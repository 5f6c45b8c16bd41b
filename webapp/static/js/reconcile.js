// Reconcile by keys: one line is the present one; every key does what a button of it does.
import { toast } from "./toasts.js";

const KEYS = "ledgerwire:keys";
const work = () => document.getElementById("work");
const rows = () => [...document.querySelectorAll("#lines > .recon:not(.is-leaving)")];
const chooser = document.getElementById("chooser");
const help = document.getElementById("keys");
const undoForm = document.querySelector("[data-undo-form]");
const reopenForm = document.querySelector("[data-reopen-form]");
const spoken = document.getElementById("spoken");

let present = null;
// Where the present line stood, so that after it is gone the next one is.
let place = 0;
const done = [];

function say(words) {
  // The same words again are said again.
  spoken.textContent = "";
  requestAnimationFrame(() => { spoken.textContent = words; });
}

function focusOn(row, { speak = false } = {}) {
  for (const each of document.querySelectorAll(".recon[aria-current]")) if (each !== row) each.removeAttribute("aria-current");
  present = row?.dataset.line ?? null;
  if (!row) return;
  row.setAttribute("aria-current", "true");
  place = rows().indexOf(row);
  row.focus({ preventScroll: true });
  row.scrollIntoView({ block: "nearest" });
  if (speak) say(`Line ${place + 1} of ${rows().length}`);
}

function presentRow() {
  return rows().find((row) => row.dataset.line === present) ?? null;
}

/* After the list was drawn anew: the same line, or the one that stands where it stood. */
function settle() {
  const all = rows();
  if (!all.length) { present = null; return; }
  const row = presentRow() ?? (present === null ? null : all[Math.min(place, all.length - 1)]);
  // What somebody is doing elsewhere on the page is not interrupted.
  const idle = document.activeElement === document.body || document.activeElement?.closest?.("#lines") || !document.activeElement;
  if (!row) return;
  if (idle && !document.querySelector("dialog[open]")) focusOn(row);
  else { row.setAttribute("aria-current", "true"); present = row.dataset.line; place = all.indexOf(row); }
}

function move(step) {
  const all = rows();
  if (!all.length) return;
  const at = all.indexOf(presentRow());
  const to = at < 0 ? (step > 0 ? 0 : all.length - 1) : at + step;
  if (to >= all.length) {
    const more = document.querySelector("#list-more a");
    if (more) more.click();
    else say("That was the last line.");
  }
  focusOn(all[Math.max(0, Math.min(to, all.length - 1))], { speak: true });
}

function submit(verb) {
  const row = presentRow();
  const form = row?.querySelector(`form[data-verb="${verb}"]`);
  if (!form) return void say(row ? "Nothing is proposed for this line." : "Choose a line first.");
  form.requestSubmit();
}

function remember(entry) {
  done.push(entry);
  showUndo();
}

function showUndo() {
  const button = document.querySelector("[data-undo]");
  if (button) button.hidden = done.length === 0;
}

function undo() {
  const last = done.pop();
  if (!last) return void say("There is nothing to undo.");
  if (last.verb === "ignored" || last.verb === "rejected") {
    reopenForm.setAttribute("hx-post", `/reconcile/${last.ids[0]}/undo`);
    reopenForm.setAttribute("hx-swap", "none");
    reopenForm.action = `/reconcile/${last.ids[0]}/undo`;
    send(reopenForm);
    return;
  }
  undoForm.elements.at.value = last.at;
  send(undoForm);
}

/* A form that is sent beside the page. What the server says by HX-Trigger is told on <body>, as htmx does. */
async function send(form) {
  const answer = await fetch(form.action + (form.matches("[data-chooser]") ? "?fragment=f_choose" : ""), {
    method: "POST",
    body: new FormData(form),
    headers: { "HX-Request": "true" },
    redirect: "follow",
  });
  const told = answer.headers.get("HX-Trigger");
  if (told) {
    for (const [name, detail] of Object.entries(JSON.parse(told))) document.body.dispatchEvent(new CustomEvent(name, { detail, bubbles: true }));
  } else if (!answer.ok && !form.matches("[data-chooser]")) {
    toast({ title: "That did not work. Please try again.", tone: "bad" });
  }
  return answer;
}

// ── What was decided ──

document.body.addEventListener("reconciled", ({ detail }) => {
  const words = {
    accept: "Matched.", rejected: "Rejected.", ignored: "Set aside.", reopened: "It waits again.", restored: "Proposed again.", undone: "Taken back.", sure: "All that was sure is matched.",
  };
  say(words[detail.verb] ?? "");
  if (["accept", "rejected", "ignored", "sure"].includes(detail.verb)) remember(detail);
  if (detail.verb === "sure" && detail.left) document.querySelector('form[data-verb="sure"]')?.requestSubmit();
  if (detail.verb === "undone" && detail.left && undoForm.elements.at.value) return void send(undoForm);
  if (chooser?.open) chooser.close();
  if (["undone", "reopened", "restored"].includes(detail.verb) && detail.ids.length) {
    // Who takes a decision back goes on with that line: it is here already, or comes with the list that is drawn anew.
    [present] = detail.ids;
    if (presentRow()) focusOn(presentRow());
  }
  const leaving = document.getElementById(`line-${detail.ids[0]}`);
  if (leaving && ["accept", "rejected", "ignored"].includes(detail.verb)) {
    const all = rows();
    const at = all.indexOf(leaving);
    leaving.classList.add("is-leaving");
    if (leaving.dataset.line === present || present === null) {
      const next = all[at + 1] ?? all[at - 1] ?? null;
      place = at;
      focusOn(next);
    }
  }
});

document.body.addEventListener("htmx:after:swap", () => { showUndo(); settle(); });

// ── Finding and splitting ──

let asked = 0;

function left() {
  const form = chooser?.querySelector("[data-chooser]") ?? document.querySelector("[data-chooser]");
  if (!form) return;
  const ticked = [...form.querySelectorAll('input[name="invoice"]:checked')];
  const places = (form.dataset.amount.split(".")[1] ?? "").length;
  const unit = 10 ** places;
  const minor = (text) => Math.round(Number(text || 0) * unit);
  let rest = minor(form.dataset.amount);
  for (const box of ticked) {
    const field = form.elements[`amount-${box.value}`];
    if (ticked.length > 1 && !field.value) field.value = (Math.max(0, Math.min(minor(box.dataset.due), rest)) / unit).toFixed(places);
    rest -= minor(field.value);
  }
  const line = form.querySelector("[data-left]");
  line.textContent = ticked.length > 1
    ? rest < 0 ? `${(-rest / unit).toFixed(places)} more than came in.` : rest > 0 ? `${(rest / unit).toFixed(places)} is left, and stays the customer's credit.` : "It comes out even."
    : "One invoice takes all of it, and what is too much stays the customer's credit.";
}

async function look(form) {
  const mine = ++asked;
  const values = new URLSearchParams(new FormData(form));
  for (const name of ["csrf_token", "next"]) values.delete(name);
  values.set("fragment", "f_found");
  const answer = await fetch(`${form.dataset.look}?${values}`, { headers: { "HX-Request": "true" } });
  // A slower answer to fewer letters comes too late.
  if (!answer.ok || mine !== asked) return;
  form.querySelector("[data-found]").innerHTML = await answer.text();
  left();
  say(`${form.querySelectorAll('input[name="invoice"]').length} invoices`);
}

function wire(form) {
  let timer = 0;
  form.querySelector("#look").addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(() => look(form), 150);
  });
  form.querySelector("#look").addEventListener("keydown", (event) => {
    if (event.key !== "Enter") return;
    // Enter in the search takes the only one found, and never sends the form half read.
    event.preventDefault();
    const boxes = [...form.querySelectorAll('input[name="invoice"]')];
    if (boxes.length === 1) { boxes[0].checked = true; left(); form.querySelector('button[type="submit"].btn-primary').focus(); }
    else boxes[0]?.focus();
  });
  form.addEventListener("change", left);
  left();
}

async function choose(row, where) {
  const link = row?.querySelector("a[data-choose]");
  if (!link) return void say(row ? "This line is decided." : "Choose a line first.");
  focusOn(row);
  const answer = await fetch(`${link.href}${link.search ? "&" : "?"}fragment=f_choose`, { headers: { "HX-Request": "true" } });
  if (!answer.ok) return void toast({ title: "That did not work. Please try again.", tone: "bad" });
  chooser.innerHTML = await answer.text();
  const form = chooser.querySelector("form");
  wire(form);
  chooser.showModal();
  (where === "search" ? form.querySelector("#look") : form.querySelector('input[name="invoice"]') ?? form.querySelector("#look")).focus();
}

if (chooser) {
  chooser.addEventListener("submit", async (event) => {
    event.preventDefault();
    const form = event.target;
    if (form.dataset.sending) return;
    form.dataset.sending = "yes";
    const answer = await send(form);
    delete form.dataset.sending;
    if (answer.status === 422) {
      chooser.innerHTML = await answer.text();
      wire(chooser.querySelector("form"));
      chooser.querySelector("[data-error-summary]")?.focus();
    } else if (answer.status === 409) chooser.close();
  });
  chooser.addEventListener("click", (event) => { if (event.target.closest("a[data-close]")) { event.preventDefault(); chooser.close(); } });
  chooser.addEventListener("close", () => { chooser.innerHTML = ""; presentRow()?.focus({ preventScroll: true }); });
} else {
  const form = document.querySelector("[data-chooser]");
  if (form) wire(form);
}

// ── Keys, clicks ──

function keysOn() {
  try {
    return localStorage.getItem(KEYS) !== "off";
  } catch {
    return true;
  }
}

const ACTS = {
  j: () => move(1), ArrowDown: () => move(1), k: () => move(-1), ArrowUp: () => move(-1),
  Enter: () => submit("accept"), x: () => submit("reject"), u: undo,
  s: () => choose(presentRow() ?? rows()[0], "split"), "/": () => choose(presentRow() ?? rows()[0], "search"),
  a: () => { const form = document.querySelector('form[data-verb="sure"]'); if (form) form.requestSubmit(); else say("Nothing is sure right now."); },
  "?": () => help.showModal(),
};

if (help) {
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing || document.querySelector("dialog[open]")) return;
    const target = event.target instanceof Element ? event.target : document.body;
    if (target.closest("input, textarea, select, [contenteditable]")) return;
    // On a button or a link Enter does what that one does.
    if (event.key === "Enter" && target.closest("a, button, summary")) return;
    if (event.repeat && !["j", "k", "ArrowDown", "ArrowUp"].includes(event.key)) return;
    const act = ACTS[event.key];
    if (!act || (event.key !== "?" && !keysOn())) return;
    event.preventDefault();
    act();
  });
  const box = help.querySelector("[data-keys-on]");
  box.checked = keysOn();
  box.addEventListener("change", () => {
    try {
      localStorage.setItem(KEYS, box.checked ? "on" : "off");
    } catch {
      // Without storage it holds for as long as nothing else does.
    }
  });
}

document.addEventListener("click", (event) => {
  const target = event.target instanceof Element ? event.target : null;
  if (!target) return;
  if (target.closest("[data-keys]")) return void help.showModal();
  if (target.closest("[data-undo]")) return void undo();
  const link = target.closest("a[data-choose]");
  if (link && chooser && !event.metaKey && !event.ctrlKey) {
    event.preventDefault();
    return void choose(link.closest(".recon"), "split");
  }
  const row = target.closest(".recon");
  if (row && !target.closest("a, button, summary, input")) focusOn(row);
});
document.addEventListener("focusin", (event) => {
  const row = event.target.closest?.(".recon");
  if (row && row.dataset.line !== present) {
    for (const each of document.querySelectorAll(".recon[aria-current]")) each.removeAttribute("aria-current");
    row.setAttribute("aria-current", "true");
    present = row.dataset.line;
    place = rows().indexOf(row);
  }
});
showUndo();
if (work()) document.documentElement.dataset.reconcile = "ready";
