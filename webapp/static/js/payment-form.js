// What is left of a payment while it is shared out over invoices: whole minor units, so that nothing is lost.
import { parse } from "./totals.js";

const form = document.querySelector("[data-payment-form]");
const exponent = Number(form.dataset.exponent);
const { currency } = form.dataset;
const { locale } = document.body.dataset;
const LAKH = new Set(["INR", "PKR", "BDT", "NPR", "LKR"]);
const parts = [...form.querySelectorAll("[data-part]")];
const amount = form.querySelector("[name=amount]");

/* Minor units of what is typed; null when it is no amount of this currency. */
function minor(text) {
  const typed = parse(text);
  return typed && typed[1] <= exponent ? typed[0] * 10n ** BigInt(exponent - typed[1]) : null;
}

function plain(value) {
  const digits = value.toString().padStart(exponent + 1, "0");
  return exponent ? `${digits.slice(0, -exponent)}.${digits.slice(-exponent)}` : digits;
}

function write(value) {
  const spoken = locale && locale !== "auto" ? locale : LAKH.has(currency) ? "en-IN" : "en-US";
  const format = new Intl.NumberFormat(spoken, { style: "currency", currency, minimumFractionDigits: exponent, maximumFractionDigits: exponent });
  return `${value < 0n ? "-" : ""}${format.format(plain(value < 0n ? -value : value))}`;
}

const whole = () => (form.dataset.whole ? BigInt(form.dataset.whole) : (minor(amount.value) ?? 0n));

function count() {
  const used = parts.reduce((sum, part) => sum + (minor(part.value) ?? 0n), 0n);
  const left = whole() - used;
  form.querySelector('[data-figure="used"]').textContent = write(used);
  const figure = form.querySelector('[data-figure="left"]');
  figure.textContent = write(left < 0n ? -left : left);
  figure.classList.toggle("bad", left < 0n);
  form.querySelector("[data-word]").textContent = left < 0n ? "Too much by" : form.dataset.rest;
}

form.querySelector("[data-share]")?.addEventListener("click", () => {
  let left = whole();
  for (const part of parts) {
    const due = BigInt(part.dataset.due);
    const mine = left < due ? left : due;
    part.value = mine > 0n ? plain(mine) : "";
    left -= mine > 0n ? mine : 0n;
  }
  count();
});
// With one invoice the amount is for that invoice until something else is typed beside it.
amount?.addEventListener("input", () => {
  if (parts.length === 1 && !parts[0].dataset.typed) {
    const typed = minor(amount.value);
    const due = BigInt(parts[0].dataset.due);
    if (typed !== null) parts[0].value = typed ? plain(typed < due ? typed : due) : "";
  }
});
form.addEventListener("input", (event) => {
  if (event.target.matches("[data-part]")) event.target.dataset.typed = "yes";
  count();
});
count();
