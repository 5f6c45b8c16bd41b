// Small behaviours that are bound once to the document, so that refreshed fragments need nothing.
import { toast } from "./toasts.js";

async function copy(button) {
  const label = button.querySelector("span");
  try {
    await navigator.clipboard.writeText(button.dataset.copy);
  } catch {
    // No permission, or no secure context: select it, so that the keyboard can copy it.
    const code = button.previousElementSibling;
    getSelection().selectAllChildren(code);
    toast({ title: "Press Ctrl+C to copy", tone: "accent" });
    return;
  }
  label.textContent = "Copied";
  setTimeout(() => { label.textContent = "Copy"; }, 2000);
  toast({ title: "Copied", tone: "good" });
}

// Of tabs that do not fit side by side, the chosen one is in view.
for (const tab of document.querySelectorAll(".tabs [aria-current]")) {
  const tabs = tab.parentElement;
  tabs.scrollLeft = tab.offsetLeft - tabs.offsetLeft - (tabs.clientWidth - tab.offsetWidth) / 2;
}

document.addEventListener("click", (event) => {
  const target = event.target instanceof Element ? event.target : null;
  if (!target) return;
  const copier = target.closest("[data-copy]");
  if (copier) return void copy(copier);
  const opener = target.closest("[data-dialog]");
  if (opener) {
    const dialog = document.getElementById(opener.dataset.dialog);
    if (dialog?.showModal) {
      event.preventDefault();
      dialog.showModal();
    }
    return;
  }
  if (target.closest("[data-close]")) return void target.closest("dialog")?.close();
  if (target instanceof HTMLDialogElement) target.close();
  const filler = target.closest("[data-fill]");
  if (filler) {
    event.preventDefault();
    const form = document.querySelector("form[data-sign-in]");
    form.elements.email.value = filler.dataset.fill;
    form.elements.password.value = filler.dataset.password;
    form.requestSubmit();
  }
});

// A menu closes when something else is clicked, or by Escape.
document.addEventListener("click", (event) => {
  for (const menu of document.querySelectorAll("details[data-drop][open]")) if (!menu.contains(event.target) || event.target.closest("[data-dialog]")) menu.open = false;
});
document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  const menu = document.querySelector("details[data-drop][open]");
  if (!menu) return;
  menu.open = false;
  menu.querySelector("summary").focus();
});

// A list's filter answers as it is changed; without JavaScript its button does.
document.addEventListener("change", (event) => {
  const form = event.target.closest?.("form[data-auto-submit]");
  if (form && event.target.matches("select")) form.requestSubmit();
});
// Somebody may have chosen before this script was there to hear it. What a browser restores on the way back is no choice.
if (performance.getEntriesByType("navigation")[0]?.type === "navigate") {
  for (const field of document.querySelectorAll("form[data-auto-submit] select")) {
    const given = [...field.options].findIndex((option) => option.defaultSelected);
    if (field.selectedIndex !== Math.max(given, 0)) {
      field.form.requestSubmit();
      break;
    }
  }
}

// A list that is all there is narrowed as one types; without JavaScript there is no field for it.
for (const box of document.querySelectorAll("[data-narrow]")) {
  const list = document.querySelector(box.dataset.narrow);
  const none = document.querySelector(`[data-none="${box.dataset.narrow}"]`);
  box.hidden = false;
  box.querySelector("input").addEventListener("input", (event) => {
    const wanted = event.target.value.toLowerCase().split(/\s+/).filter(Boolean);
    let left = 0;
    for (const entry of list.children) {
      entry.hidden = !wanted.every((word) => entry.dataset.words.includes(word));
      left += entry.hidden ? 0 : 1;
    }
    none.hidden = left > 0;
  });
}

// What failed on the way (no network, a 5xx): say so and leave the page as it was.
document.body.addEventListener("htmx:before:swap", (event) => {
  const { ctx } = event.detail;
  if ((ctx?.response?.status ?? 200) >= 400) event.preventDefault();
});
document.body.addEventListener("htmx:response:error", (event) => {
  const { response } = event.detail.ctx;
  if (response.status === 401) location.reload();
  else if (!response.headers.get("HX-Trigger")) {
    const title = response.status === 429 ? "Too many requests. Try again in a moment." : "That did not work. Please try again.";
    toast({ title, tone: "bad" });
  }
});

let postponed = false;
function catchUp() {
  if (!postponed) return;
  postponed = false;
  document.body.dispatchEvent(new CustomEvent("live:reset", { detail: { rooms: [] } }));
}
document.addEventListener("close", catchUp, true);
document.addEventListener("toggle", (event) => { if (event.target.matches("details[data-drop]:not([open])")) catchUp(); }, true);

// A list that refreshes itself asks for as many rows as it shows by now, so that "Load more" is not undone.
const MOST_ROWS = 100;
document.body.addEventListener("htmx:config:request", (event) => {
  const { ctx } = event.detail;
  // What somebody is answering is not taken from under their hands: it is looked at again when they are done.
  if (ctx.sourceElement.querySelector("dialog[open], details[data-drop][open]") && ctx.sourceElement.getAttribute("hx-swap") === "outerMorph") {
    postponed = true;
    event.preventDefault();
    return;
  }
  // A form that refreshes with what is around it keeps what somebody has begun to type.
  if (ctx.sourceElement.matches("[data-keep]")) {
    for (const field of ctx.sourceElement.querySelectorAll("input.form-control")) {
      if (field.value !== field.defaultValue) ctx.request.body.set(field.name, field.value);
    }
  }
  const rows = ctx.sourceElement.dataset?.rows;
  if (!rows) return;
  const shown = ctx.sourceElement.querySelectorAll(rows).length;
  if (shown > MOST_ROWS) event.preventDefault();
  else if (shown > 25) ctx.request.body.set("limit", String(shown));
});
