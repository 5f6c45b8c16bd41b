// Inline validation with the browser's own rules: said beside the field once it was left or sent, and taken
// back as soon as it is right. The server decides.
function missing(input) {
  if (input.type === "radio" || input.tagName === "SELECT") return "Choose one.";
  const text = input.labels?.[0]?.firstChild?.textContent.trim() ?? "";
  const label = /^[A-Z][^A-Z]/.test(text) ? text[0].toLowerCase() + text.slice(1) : text;
  // A label is a thing ("Name"), what is asked ("What is wrong"), or the middle of a sentence ("Is worth, in INR").
  if (/^(what|why|how|who|when|where)\b/.test(label)) return `Say ${label}.`;
  if (!label || /^(is|its|in|from|to|at|your|their|of|until)\b/.test(label)) return "Fill this in.";
  return `Enter ${/^([aeiou]|[AEFHILMNORSX][A-Z])/.test(label) ? "an" : "a"} ${label}.`;
}

function words(input) {
  const { validity } = input;
  if (validity.valueMissing) return missing(input);
  if (validity.typeMismatch && input.type === "email") return "Enter an e-mail address such as name@example.com.";
  if (validity.tooShort) return `Use at least ${input.minLength} characters.`;
  return input.validationMessage;
}

function slot(input) {
  return document.querySelector(`[data-error-for="${CSS.escape(input.name)}"]`);
}

function show(input) {
  const place = slot(input);
  if (!place) return;
  const text = input.validity.valid ? "" : words(input);
  if (place.textContent !== text) place.textContent = text;
  if (text) input.setAttribute("aria-invalid", "true");
  else input.removeAttribute("aria-invalid");
}

for (const form of document.querySelectorAll("form[data-validate]")) form.noValidate = true;

document.addEventListener("submit", (event) => {
  const form = event.target;
  if (!form.matches("form[data-validate]") || event.submitter?.formNoValidate) return;
  const wrong = [...form.elements].filter((input) => input.willValidate && !input.validity.valid);
  if (!wrong.length) return;
  event.preventDefault();
  wrong.forEach(show);
  wrong[0].focus();
});
document.addEventListener("focusout", (event) => {
  const input = event.target;
  if (input.form?.matches("form[data-validate]") && input.value && input.willValidate) show(input);
});
document.addEventListener("input", (event) => {
  const input = event.target;
  if (input.getAttribute?.("aria-invalid") === "true" && input.form?.matches("form[data-validate]")) show(input);
});

// After a refusal by the server the summary is read first.
document.querySelector("[data-error-summary]")?.focus();
