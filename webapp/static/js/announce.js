// What is said about an event, from its data alone.
import { toast } from "./toasts.js";

// What is older than this was missed while away: the page shows it, a toast would only be noise.
const NEWS_MS = 120000;
const GATHER_MS = 400;
const LAKH = new Set(["INR", "PKR", "BDT", "NPR", "LKR"]);
const { role, locale, user } = document.body.dataset;

function money(minor, currency) {
  const spoken = locale && locale !== "auto" ? locale : LAKH.has(currency) ? "en-IN" : "en-US";
  const format = new Intl.NumberFormat(spoken, { style: "currency", currency });
  const places = format.resolvedOptions().maximumFractionDigits;
  return format.format(minor / 10 ** places);
}

const heardOf = new Map();
let gathered = [];
let timer = 0;

function sayTransactions() {
  const transactions = gathered.filter((event) => event.name === "transaction.created");
  const matches = gathered.filter((event) => event.name === "match.proposed");
  gathered = [];
  if (matches.length === 1) {
    const { transaction_id: id, invoice_number: number } = matches[0].data;
    toast({ title: number ? `This looks like payment for ${number}` : "This looks like a payment", text: "A bank transaction matches an open invoice.", href: `/transactions/${id}`, link: "Look at the match", tone: "accent" });
  } else if (matches.length) {
    toast({ title: `${matches.length} matches proposed`, text: "Bank transactions that look like payments.", href: "/transactions?match_state=proposed", link: "Look at them", tone: "accent" });
  } else if (transactions.length === 1) {
    const { transaction_id: id, amount, currency, narration } = transactions[0].data;
    toast({ title: `${money(amount, currency)} on your account`, text: narration, href: `/transactions/${id}` });
  } else if (transactions.length) {
    toast({ title: `${transactions.length} new transactions`, href: "/transactions" });
  }
}

// Payments that the user just found on a bank line: the page where they did it has said so.
const own = new Set();

function payment({ data }) {
  heardOf.set(data.invoice_id, Date.now());
  setTimeout(() => { if (!own.delete(data.payment_id)) sayPayment(data); }, GATHER_MS);
}

// What settles an invoice and is no money.
const NO_MONEY = { credit_note: (amount) => `${amount} credited`, tds_withheld: (amount) => `${amount} of tax kept back` };

function sayPayment(data) {
  const amount = money(data.amount, data.currency);
  const href = `/payments/${data.payment_id}`;
  const from = data.payer ? `from ${data.payer}` : "";
  if (data.status === "failed") return toast({ title: `A payment of ${amount} failed`, text: from, href, tone: "bad" });
  if (data.status === "pending") return toast({ title: `${amount} is on its way`, text: from, href, tone: "warn" });
  const invoice = data.invoice_number ? `for ${data.invoice_number}` : "";
  const words = { paid: "It is paid in full.", partial: `${money(data.amount_due ?? 0, data.currency)} is left to pay.` };
  const first = [from, invoice].filter(Boolean).join(" ");
  const text = `${first ? `${first[0].toUpperCase()}${first.slice(1)}. ` : ""}${invoice ? words[data.invoice_status] ?? "" : ""}`.trim();
  return toast({ title: NO_MONEY[data.method]?.(amount) ?? `${amount} received`, text, href, tone: "good" });
}

// What is news to whom, and only what somebody else did. Money that moves has events of its own.
const STATES = {
  seller: {
    confirmed: ["was confirmed by its buyer", "good"], rejected: ["was not confirmed by its buyer", "bad"],
    disputed: ["is disputed by its buyer", "bad"], expired: ["was not taken up in time", "warn"],
    overdue: ["is overdue", "bad"], defaulted: ["is in default", "bad"],
  },
  buyer: {
    pending_buyer_confirmation: ["waits for your confirmation", "warn"], withdrawn: ["need not be confirmed any more", "accent"],
    overdue: ["is overdue", "bad"], defaulted: ["is in default", "bad"],
  },
};
const PAYMENT_STATES = { paid: ["is paid", "good"], partial: ["is part paid", "accent"], void: ["was cancelled", "accent"] };

function invoice({ room, data }) {
  // To the marketplace it is told too; there it is nobody's own.
  if (!room.startsWith("user:") || !data.number) return;
  // A payment of it is being told, or soon will be: once is enough.
  setTimeout(() => {
    if (Date.now() - (heardOf.get(data.invoice_id) ?? 0) < 5000) return;
    const [words, tone] = { ...PAYMENT_STATES, ...STATES[role] }[data.status] ?? [];
    if (words) toast({ title: `${data.number} ${words}`, href: `/invoices/${data.invoice_id}`, tone });
  }, GATHER_MS);
}

let listings = [];
let listingTimer = 0;

function gatherListing(data) {
  listings.push(data);
  clearTimeout(listingTimer);
  listingTimer = setTimeout(() => {
    const [only] = listings;
    const many = listings.length;
    listings = [];
    if (many > 1) toast({ title: `${many} invoices were listed`, href: "/marketplace", link: "Look at them", tone: "accent" });
    else toast({ title: `New on the marketplace: ${money(only.outlay, only.currency)}`, href: `/marketplace/${only.invoice_id}`, link: "Look at it", tone: "accent" });
  }, GATHER_MS);
}

const TELL = {
  "transaction.matched": ({ data }) => {
    if (data.by === "user" && data.payment_id) own.add(data.payment_id);
  },
  "payment.received": payment,
  "invoice.updated": invoice,
  "invoice.created": ({ data }) => {
    if (role === "buyer") toast({ title: `New invoice ${data.number}`, href: `/invoices/${data.invoice_id ?? data.id}` });
  },
  "invoice.listed": ({ data }) => {
    if (role === "investor") gatherListing(data);
  },
  "invoice.funded": ({ data }) => {
    heardOf.set(data.invoice_id, Date.now());
    const from = data.investor?.name ? `from ${data.investor.name}` : "";
    const rest = data.remaining ? `${money(data.remaining, data.currency ?? "INR")} is left to fund.` : "It is fully funded.";
    toast({ title: `${money(data.amount, data.currency ?? "INR")} ${from} for ${data.number}`, text: rest, href: `/invoices/${data.invoice_id}`, tone: "good" });
  },
  "investment.made": ({ data }) => {
    toast({ title: `You invested ${money(data.amount, data.currency ?? "INR")}`, text: data.status === "held" ? "It is held until the invoice is funded in full and settles." : `${money(data.expected_return, data.currency ?? "INR")} comes back when the buyer pays.`, href: `/marketplace/${data.invoice_id}`, tone: "good" });
  },
  "investment.repaid": ({ data }) => {
    toast({ title: `${money(data.amount, data.currency ?? "INR")} was repaid to you`, text: data.invoice_number ? `For ${data.invoice_number}.` : "", href: `/marketplace/${data.invoice_id}`, tone: "good" });
  },
  "invoice.repaid": ({ data }) => {
    heardOf.set(data.invoice_id, Date.now());
    if (role === "seller") toast({ title: `The investors of ${data.number} are repaid`, text: data.paid_to_seller ? `${money(data.paid_to_seller, data.currency)} of it was yours.` : "", href: `/invoices/${data.invoice_id}`, tone: "good" });
  },
  "bid.placed": ({ data }) => {
    toast({ title: `You bid ${data.rate} % for ${money(data.amount, data.currency)}`, text: `${money(data.held, data.currency)} is held until the auction closes.`, href: `/marketplace/${data.invoice_id}`, tone: "accent" });
  },
  "bid.decided": ({ data }) => {
    if (data.status === "lost") toast({ title: `Your bid for ${data.invoice_number} did not win`, text: "The money is free again.", href: `/marketplace/${data.invoice_id}`, tone: "warn" });
    if (data.status === "won") toast({ title: `Your bid for ${data.invoice_number} won`, href: `/marketplace/${data.invoice_id}`, tone: "good" });
  },
  "comment.created": ({ data }) => {
    if (data.author_id !== user && role !== "operator") toast({ title: `${data.author} wrote about ${data.number}`, href: `/comments/${data.comment_id}`, link: "Read it" });
  },
  "connection.updated": ({ data }) => {
    if (data.health !== "active") toast({ title: "A connection needs attention", text: data.reason ?? "", href: `/connections/${data.connection_id}`, tone: "warn" });
  },
};

export function announce(event) {
  if (Date.now() - Date.parse(event.at) > NEWS_MS) return;
  if (event.name === "transaction.created" || event.name === "match.proposed") {
    gathered.push(event);
    clearTimeout(timer);
    timer = setTimeout(sayTransactions, GATHER_MS);
    return;
  }
  TELL[event.name]?.(event);
}
