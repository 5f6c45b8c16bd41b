// Lines are added and taken away, and totals follow what is typed, exactly as the server will compute them. The
// server decides.
import { sums } from "./totals.js";

const form = document.querySelector("[data-invoice-form]");
const list = form.querySelector("[data-lines]");
const template = form.querySelector("template");
const LAKH = new Set(["INR", "PKR", "BDT", "NPR", "LKR"]);
const places = JSON.parse(form.dataset.exponents);
const { locale } = document.body.dataset;
const MOST_LINES = Number(form.dataset.mostLines);
const { regime, state: ownState } = form.dataset;
const FIELDS = ["quantity", "unit_price", "discount_rate", "tax_rate"];

function write(minor, currency, exponent) {
  const spoken = locale && locale !== "auto" ? locale : LAKH.has(currency) ? "en-IN" : "en-US";
  const format = new Intl.NumberFormat(spoken, { style: "currency", currency, minimumFractionDigits: exponent, maximumFractionDigits: exponent });
  // A decimal string is formatted exactly; a float would not be.
  const sign = minor < 0n ? "-" : "";
  const digits = (minor < 0n ? -minor : minor).toString().padStart(exponent + 1, "0");
  // With the minus that the server writes.
  return format.format(sign + (exponent ? `${digits.slice(0, -exponent)}.${digits.slice(-exponent)}` : digits)).replace("-", "\u2212");
}

function taxKind() {
  if (regime !== "gst") return "plain";
  const place = form.elements.place_of_supply?.value || ownState;
  return place === ownState ? "within" : "across";
}

function compute() {
  const currency = form.elements.currency.value;
  const exponent = places[currency] ?? 2;
  const kind = taxKind();
  const texts = [...list.children].map((item) => Object.fromEntries(FIELDS.map((name) => [name, item.querySelector(`[name$="-${name}"]`)?.value ?? ""])));
  const reverse = regime === "gst" && Boolean(form.elements.reverse_charge?.checked);
  const found = sums(texts, exponent, { kind, reverse, round: form.dataset.round === "yes" });
  [...list.children].forEach((item, index) => {
    const amounts = found.lines[index];
    item.querySelector("[data-net]").textContent = amounts ? write(amounts.net, currency, exponent) : "–";
  });
  for (const element of form.querySelectorAll("[data-total]")) {
    const name = element.dataset.total;
    const value = name === "discount" ? -found.discount : found[name];
    element.textContent = write(value, currency, exponent);
    // A line that says nothing is left out; subtotal and total always stand.
    const kept = ["subtotal", "total"].includes(name) || (name === "tax" ? kind === "plain" : value !== 0n);
    element.hidden = !kept;
    element.previousElementSibling.hidden = !kept;
  }
  const note = form.querySelector("[data-reverse-note]");
  if (note) note.hidden = !reverse;
}

function renumber() {
  [...list.children].forEach((item, index) => {
    for (const element of item.querySelectorAll("[name], [id], [for], [aria-describedby], [data-error-for]")) {
      for (const name of ["name", "id", "for", "aria-describedby", "data-error-for", "value"]) {
        const value = element.getAttribute(name);
        if (value === null || (name === "value" && element.name !== "do")) continue;
        element.setAttribute(name, value.replace(/(items-|remove-)(\d+|N)/g, `$1${index}`));
      }
    }
    item.querySelector("[data-remove]").hidden = list.children.length === 1;
    item.querySelector("[data-remove]").setAttribute("aria-label", `Remove line ${index + 1}`);
  });
  form.querySelector("[data-add]").disabled = list.children.length >= MOST_LINES;
}

// The customer's details are filled in once, when somebody known is chosen by name or address.
const known = JSON.parse(form.querySelector("[data-contacts]")?.textContent ?? "[]");
let chosen = "";

function choose(event) {
  const { name, value } = event.target;
  if (name !== "contact_name" && name !== "contact_email") return;
  const contact = known.find((each) => (name === "contact_email" ? each.email === value.trim().toLowerCase() : each.name === value.trim()));
  if (!contact || contact.email === chosen) return;
  chosen = contact.email;
  const values = { contact_name: contact.name, contact_email: contact.email, contact_legal_name: contact.legal_name, contact_address: contact.address, contact_gstin: contact.gstin, currency: contact.currency, place_of_supply: contact.state_code };
  for (const [field, said] of Object.entries(values)) {
    const input = form.elements[field];
    if (input && said) input.value = said;
  }
  const issued = form.elements.issue_date.valueAsDate;
  if (issued && contact.payment_days !== null) {
    issued.setUTCDate(issued.getUTCDate() + contact.payment_days);
    form.elements.due_date.valueAsDate = issued;
  }
}

form.addEventListener("click", (event) => {
  const add = event.target.closest("[data-add]");
  const remove = event.target.closest("[data-remove]");
  if (!add && !remove) return;
  event.preventDefault();
  if (add) {
    list.append(template.content.cloneNode(true));
    // The rate of the line above is most often the rate of this one.
    const rates = list.querySelectorAll('[name$="-tax_rate"]');
    rates[rates.length - 1].value = rates[rates.length - 2]?.value ?? "";
    renumber();
    list.lastElementChild.querySelector("input").focus();
  } else {
    const item = remove.closest("li");
    const next = item.nextElementSibling ?? item.previousElementSibling;
    item.remove();
    renumber();
    next.querySelector("input").focus();
  }
  compute();
});
form.addEventListener("input", compute);
form.addEventListener("change", (event) => {
  choose(event);
  compute();
});
// The GSTIN's first two digits are the customer's state, which is most often the place of supply.
form.elements.contact_gstin?.addEventListener("change", (event) => {
  const code = event.target.value.trim().slice(0, 2);
  const place = form.elements.place_of_supply;
  if (place && [...place.options].some((option) => option.value === code)) place.value = code;
  compute();
});
renumber();
compute();
