// Lines are added and taken away, and totals follow what is typed, exactly as the server will compute them:
// whole numbers only, each line rounded half up, then its tax rounded half up. The server decides.
const form = document.querySelector("[data-invoice-form]");
const list = form.querySelector("[data-lines]");
const template = form.querySelector("template");
const LAKH = new Set(["INR", "PKR", "BDT", "NPR", "LKR"]);
const { exponents } = form.dataset;
const places = JSON.parse(exponents);
const { locale } = document.body.dataset;
const MOST_LINES = Number(form.dataset.mostLines);

/* Decimal text as [digits, scale]; null when it is not a plain decimal. */
function parse(text) {
  const match = /^(\d*)(?:\.(\d*))?$/.exec(text.trim());
  if (!match || !(match[1] || match[2])) return null;
  const fraction = match[2] ?? "";
  return [BigInt((match[1] || "0") + fraction), fraction.length];
}
const power = (exponent) => 10n ** BigInt(exponent);
const halfUp = (value, divisor) => (2n * value + divisor) / (2n * divisor);

function line(item, exponent) {
  const read = (name) => parse(item.querySelector(`[name$="-${name}"]`).value);
  const quantity = read("quantity");
  const price = read("unit_price");
  const rate = read("tax_rate") ?? [0n, 0];
  if (!quantity || !price || price[1] > exponent) return null;
  const minor = price[0] * power(exponent - price[1]);
  const net = halfUp(quantity[0] * minor, power(quantity[1]));
  return { net, tax: halfUp(net * rate[0], 100n * power(rate[1])) };
}

function write(minor, currency, exponent) {
  const spoken = locale && locale !== "auto" ? locale : LAKH.has(currency) ? "en-IN" : "en-US";
  const format = new Intl.NumberFormat(spoken, { style: "currency", currency, minimumFractionDigits: exponent, maximumFractionDigits: exponent });
  // A decimal string is formatted exactly; a float would not be.
  const digits = minor.toString().padStart(exponent + 1, "0");
  return format.format(exponent ? `${digits.slice(0, -exponent)}.${digits.slice(-exponent)}` : digits);
}

function compute() {
  const currency = form.elements.currency.value;
  const exponent = places[currency] ?? 2;
  let net = 0n;
  let tax = 0n;
  for (const item of list.children) {
    const result = line(item, exponent);
    item.querySelector("[data-net]").textContent = result ? write(result.net, currency, exponent) : "–";
    if (result) [net, tax] = [net + result.net, tax + result.tax];
  }
  for (const [name, value] of [["subtotal", net], ["tax", tax], ["total", net + tax]]) {
    form.querySelector(`[data-total="${name}"]`).textContent = write(value, currency, exponent);
  }
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
form.addEventListener("change", compute);
renumber();
compute();
