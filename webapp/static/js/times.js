// Keeps "3 minutes ago" true while a page stays open.
const STEPS = [["second", 60], ["minute", 60], ["hour", 24], ["day", 7], ["week", 4.35], ["month", 12], ["year", Infinity]];
const words = new Intl.RelativeTimeFormat("en-GB", { numeric: "always" });

function relative(moment) {
  let value = (moment - Date.now()) / 1000;
  if (Math.abs(value) < 45) return "just now";
  for (const [unit, size] of STEPS) {
    if (Math.abs(Math.round(value)) < size) return words.format(Math.round(value), unit);
    value /= size;
  }
  return "";
}

function update() {
  for (const element of document.querySelectorAll("time[data-relative]")) {
    const text = relative(Date.parse(element.dateTime));
    if (text && element.textContent !== text) element.textContent = text;
  }
}

setInterval(update, 20000);
