// What every page has. Pages that need more name it in data-module.
import "./ui.js";
import "./forms.js";
import "./times.js";

if (document.body.hasAttribute("data-live")) await import("./live.js");
if (document.querySelector("[data-invoice-form]")) await import("./invoice-form.js");
if (document.querySelector("[data-payment-form]")) await import("./payment-form.js");
if (document.querySelector("[data-definition]")) await import("./definition.js");
