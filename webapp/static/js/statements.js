// Bringing a statement: a file that is dropped, fields of a new account only where one is made, a button that says what it does.
const form = document.querySelector("[data-bring]");
const zone = form?.querySelector(".drop");
const input = form?.querySelector("input[type=file]");

function named() {
  const name = form.querySelector("[data-drop-name]");
  name.textContent = input.files[0]?.name ?? "Choose a file, or drop it here";
}

if (form) {
  input.addEventListener("change", named);
  for (const type of ["dragenter", "dragover"]) {
    zone.addEventListener(type, (event) => {
      event.preventDefault();
      zone.classList.add("is-over");
    });
  }
  for (const type of ["dragleave", "drop"]) zone.addEventListener(type, () => zone.classList.remove("is-over"));
  zone.addEventListener("drop", (event) => {
    event.preventDefault();
    if (!event.dataTransfer.files.length) return;
    input.files = event.dataTransfer.files;
    named();
  });
}

for (const select of document.querySelectorAll("[data-account]")) {
  const fields = select.form.querySelector("[data-new-account]");
  const fold = () => {
    fields.hidden = select.value !== "new";
    for (const field of fields.querySelectorAll("input")) field.disabled = fields.hidden;
  };
  select.addEventListener("change", fold);
  fold();
}

document.addEventListener("submit", (event) => {
  const button = event.target.querySelector("button[data-busy]");
  if (!button || event.defaultPrevented) return;
  button.textContent = button.dataset.busy;
  button.setAttribute("aria-disabled", "true");
});
// The page may come back out of the browser's memory.
addEventListener("pageshow", (event) => { if (event.persisted) location.reload(); });
