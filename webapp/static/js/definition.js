// The scheme of a custom connection's definition is replaced by the one that is chosen; the rest stays as typed.
const form = document.querySelector("[data-definition]");
const starts = JSON.parse(form.dataset.starts);
const text = form.querySelector("#definition");
const box = form.querySelector("[data-start-box]");
box.hidden = false;
box.querySelector("select").addEventListener("change", (event) => {
  const scheme = starts[event.target.value];
  if (!scheme) return;
  try {
    text.value = JSON.stringify({ ...JSON.parse(text.value), scheme }, null, 2);
    text.setCustomValidity("");
  } catch {
    text.setCustomValidity("This is not JSON, so that the scheme cannot be put in.");
    text.reportValidity();
  }
});
text.addEventListener("input", () => text.setCustomValidity(""));
