// The list of invoices: what is chosen, and searching while one types. Both work without this script, by their buttons.

const bar = document.querySelector("[data-bulk]");
const chosen = new Set();

function boxes() {
  return [...document.querySelectorAll("[data-pick]")];
}

// The list is made again when something in it changes: what was chosen stays so.
function show() {
  if (!bar) return;
  const present = boxes();
  for (const id of [...chosen]) if (!present.some((box) => box.value === id)) chosen.delete(id);
  for (const box of present) {
    box.checked = chosen.has(box.value);
    box.closest("tr").classList.toggle("picked", box.checked);
  }
  const all = document.querySelector("[data-pick-all]");
  if (all) {
    all.checked = present.length > 0 && chosen.size === present.length;
    all.indeterminate = chosen.size > 0 && chosen.size < present.length;
  }
  const everything = bar.elements.everything.checked;
  bar.classList.toggle("bulk--idle", chosen.size === 0 && !everything);
  bar.querySelector("[data-count]").textContent = everything ? "All that these filters show" : `${chosen.size} chosen`;
}

document.addEventListener("change", (event) => {
  const box = event.target;
  if (box.matches?.("[data-pick]")) {
    if (box.checked) chosen.add(box.value);
    else chosen.delete(box.value);
  } else if (box.matches?.("[data-pick-all]")) {
    for (const each of boxes()) {
      if (box.checked) chosen.add(each.value);
      else chosen.delete(each.value);
    }
  } else if (box.name !== "everything") return;
  show();
});
document.addEventListener("htmx:after:swap", show);
document.addEventListener("htmx:afterSwap", show);
if (bar) {
  // What a browser restores on the way back.
  for (const box of boxes()) if (box.checked) chosen.add(box.value);
  show();
}

const form = document.querySelector("[data-search-list]");
if (form && globalThis.htmx) watch(form);
else if (form) addEventListener("load", () => globalThis.htmx && watch(form));

function watch(search) {
  let timer;
  search.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(() => {
      const values = new URLSearchParams(new FormData(search));
      for (const [name, value] of [...values]) if (!value) values.delete(name);
      if (![...values].length) values.set("all", "1");
      const address = `${search.action.split("?")[0]}?${values}`;
      history.replaceState(history.state, "", address);
      globalThis.htmx.ajax("GET", `${address}&fragment=f_list`, { target: "#list", swap: "outerHTML" });
    }, 250);
  });
}
