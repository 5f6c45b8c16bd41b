// The sums of an invoice, exactly as the server computes them (core/invoicing/totals.py): whole numbers only, and
// each named amount rounded half up, once. tests/webapp/test_invoice_totals.py holds the two against each other.

/* Decimal text as [digits, scale]; null when it is not a plain decimal. */
export function parse(text) {
  const match = /^(\d*)(?:\.(\d*))?$/.exec((text ?? "").trim());
  if (!match || !(match[1] || match[2])) return null;
  const fraction = match[2] ?? "";
  return [BigInt((match[1] || "0") + fraction), fraction.length];
}

const power = (exponent) => 10n ** BigInt(exponent);
const halfUp = (value, divisor) => {
  const [doubled, twice] = [2n * value + divisor, 2n * divisor];
  // Towards minus infinity, also below zero.
  return doubled >= 0n || doubled % twice === 0n ? doubled / twice : doubled / twice - 1n;
};
const percent = (value, [digits, scale], of = 100n) => halfUp(value * digits, of * power(scale));

/* The amounts of a line of texts {quantity, unit_price, discount_rate, tax_rate}, in minor units; null while it is
   not complete. `kind` is "plain", "within" (GST inside one state) or "across". */
export function line(texts, exponent, kind) {
  const quantity = parse(texts.quantity);
  const price = parse(texts.unit_price);
  const off = parse(texts.discount_rate) ?? [0n, 0];
  const rate = parse(texts.tax_rate) ?? [0n, 0];
  if (!quantity || !price || price[1] > exponent) return null;
  const minor = price[0] * power(exponent - price[1]);
  const gross = halfUp(quantity[0] * minor, power(quantity[1]));
  const discount = percent(gross, off);
  const net = gross - discount;
  const half = kind === "within" ? percent(net, rate, 200n) : 0n;
  const whole = kind === "within" ? 2n * half : percent(net, rate);
  return { gross, discount, net, tax: whole, cgst: half, sgst: half, igst: kind === "across" ? whole : 0n };
}

/* The sums of an invoice. `reverse`: the tax is shown and not charged. `round`: to whole units, with a line for it. */
export function sums(lines, exponent, { kind = "plain", reverse = false, round = false } = {}) {
  const found = { discount: 0n, subtotal: 0n, cgst: 0n, sgst: 0n, igst: 0n, tax: 0n, rounding: 0n, total: 0n };
  const each = lines.map((texts) => line(texts, exponent, kind));
  let shown = 0n;
  for (const amounts of each) {
    if (!amounts) continue;
    found.discount += amounts.discount;
    found.subtotal += amounts.net;
    for (const name of ["cgst", "sgst", "igst"]) found[name] += amounts[name];
    shown += amounts.tax;
  }
  found.tax = reverse ? 0n : shown;
  found.shown = shown;
  const raw = found.subtotal + found.tax;
  if (round) found.rounding = halfUp(raw, power(exponent)) * power(exponent) - raw;
  found.total = raw + found.rounding;
  return { ...found, lines: each };
}
