"""How values are written on a page: money, moments, sizes and the words for states."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import ROUND_HALF_UP, Decimal
from functools import lru_cache

from babel.core import Locale, UnknownLocaleError
from babel.dates import format_date, format_datetime, format_timedelta
from babel.numbers import NumberPattern, format_decimal, parse_pattern

from core.money import Money, exponent

# What "automatic" means: the grouping that people who use the currency expect, in English.
_LAKH_CURRENCIES = frozenset({"INR", "PKR", "BDT", "NPR", "LKR"})
LOCALES = {
    "auto": "As each currency is written",
    "en-IN": "India (₹10,00,000.00)",
    "en-US": "United States ($1,000,000.00)",
    "en-GB": "United Kingdom (£1,000,000.00)",
    "en-AU": "Australia ($1,000,000.00)",
    "de-DE": "Germany (1.000.000,00 €)",
    "fr-FR": "France (1 000 000,00 €)",
}
THEMES = {"auto": "As the device says", "light": "Light", "dark": "Dark"}
_MINUS = "\N{MINUS SIGN}"


@lru_cache(maxsize=64)
def _locale(name: str) -> Locale:
    try:
        return Locale.parse(name, sep="-")
    except (ValueError, UnknownLocaleError):
        return Locale.parse("en_US")


@lru_cache(maxsize=256)
def _pattern(name: str, places: int) -> NumberPattern:
    pattern = parse_pattern(_locale(name).currency_formats["standard"].pattern)
    # The minor unit of ISO 4217 decides, not the everyday rounding of CLDR.
    pattern.frac_prec = (places, places)
    return pattern


def money(minor: int, currency: str, locale: str = "auto", *, plus: bool = False) -> str:
    """An amount in minor units as people write it, such as ₹10,00,000.00."""
    if locale not in LOCALES or locale == "auto":
        locale = "en-IN" if currency in _LAKH_CURRENCIES else "en-US"
    value = Money(abs(minor), currency).to_decimal()
    text = _pattern(locale, exponent(currency)).apply(value, _locale(locale), currency=currency, currency_digits=False)
    sign = _MINUS if minor < 0 else "+" if plus and minor > 0 else ""
    return f"{sign}{text}"


_MINOR = re.compile(r"(?:(\d+) to )?(\d+) minor units( of principal| are)?")


_PATH = re.compile(r"(?:items\.(\d+)(?:\.\w+)?|([a-z]\w*(?:\.\w+)*)): ")


def _place(found: re.Match[str]) -> str:
    # A whole file or form is no place in it.
    if found[2] in {"file", "form"}:
        return ""
    return f"line {int(found[1]) + 1}: " if found[1] else f"{found[2].rpartition('.')[2].replace('_', ' ')}: "


def spoken(words: str, currency: str, locale: str = "auto") -> str:
    """A refusal of core for people, as a sentence: its paths and its amounts in minor units are for programs."""

    def amounts(found: re.Match[str]) -> str:
        shown = [money(int(part), currency, locale) for part in found.group(1, 2) if part]
        return " to ".join(shown) + (" is" if found[3] == " are" else "")

    path = _PATH.match(words)
    words = _place(path) + words[path.end() :] if path else words
    said = _MINOR.sub(amounts, words).rstrip(".")
    return f"{said[:1].upper()}{said[1:]}."


def decimal(minor: int, currency: str) -> str:
    """An amount as it stands in a form field: plain digits and a point."""
    return format(Money(minor, currency).to_decimal(), "f")


def percent(value: Decimal | None, places: int = 2) -> str:
    """A fraction as per cent: 0.122415 is 12.24 %. None, where a rate has no meaning, is a dash."""
    if value is None:
        return "\N{EN DASH}"
    return f"{(value * 100).quantize(Decimal(1).scaleb(-places), ROUND_HALF_UP):f} %"


def rate(value: str | Decimal | None, places: int = 2) -> str:
    """Per cent as the books spell it, to two places: "12.2415" is 12.24 %. None is a dash."""
    return percent(None if value is None else Decimal(value) / 100, places)


def plain(number: str) -> str:
    """A decimal text without zeros that say nothing: 2.500000 is 2.5."""
    return number.rstrip("0").rstrip(".") if "." in number else number


_SHORT = frozenset({"ach", "bacs", "becs", "blik", "emi", "eps", "fpx", "imps", "neft", "rtgs", "sepa", "upi", "ussd"})


def method(code: str) -> str:
    """How something was paid, in words: upi is UPI, bank_transfer is Bank transfer, sepa_debit is SEPA debit."""
    if code == "tds_withheld":
        return "TDS kept back"
    said = " ".join(word.upper() if word in _SHORT else word for word in code.split("_"))
    return said[:1].upper() + said[1:]


def exchange_rate(kept: str) -> str:
    """A rate as it is read: six decimals, or six digits of one that is smaller; zeros that say nothing are left out."""
    value = Decimal(kept)
    return plain(f"{value:.{max(6, 5 - value.adjusted())}f}")


def count(number: int) -> str:
    """A whole number with separators."""
    return str(format_decimal(number, locale="en_US"))


def seconds(span: float) -> str:
    """A span in words, short: 0.4 s, 12 s, 3 min, 2 h, 5 days."""
    for size, unit, places in ((86_400, "days", 0), (3600, "h", 0), (60, "min", 0)):
        if span >= 2 * size:
            return f"{span / size:.{places}f} {unit}"
    return f"{span:.1f} s" if span < 10 else f"{span:.0f} s"


def relative(moment: datetime, now: datetime) -> str:
    """How long ago, in words."""
    gap = moment - now
    if abs(gap.total_seconds()) < 45:
        return "just now"
    return format_timedelta(gap, add_direction=True, locale="en_GB")


def absolute(moment: datetime) -> str:
    """The exact moment, in UTC."""
    return format_datetime(moment.astimezone(UTC), "d MMM y, HH:mm:ss", locale="en_GB") + " UTC"


def clock(moment: datetime) -> str:
    """The time of day to the millisecond, in UTC."""
    return moment.astimezone(UTC).strftime("%H:%M:%S.") + f"{moment.microsecond // 1000:03d}"


def day(value: date) -> str:
    """A calendar day."""
    return format_date(value, "d MMM y", locale="en_GB")


def milliseconds(value: float) -> str:
    """A duration: 0.42 ms, 12 ms, 3.4 s."""
    if value >= 1000:
        return f"{value / 1000:.1f} s" if value < 60_000 else f"{value / 60_000:.1f} min"
    return f"{value:.0f} ms" if value >= 10 else f"{value:.1f} ms" if value >= 1 else f"{value:.2f} ms"


def size(number: int) -> str:
    """A number of bytes."""
    return f"{number} bytes" if number < 1024 else f"{number / 1024:.1f} KiB"


@dataclass(frozen=True, slots=True)
class State:
    """How a state is shown: a word and a tone (good, warn, bad, accent or none)."""

    label: str
    tone: str = ""


_STATES: dict[str, dict[str, State]] = {
    "invoice": {
        "draft": State("Draft"),
        "open": State("Open", "accent"),
        "overdue": State("Overdue", "bad"),
        "partial": State("Part paid", "warn"),
        "paid": State("Paid", "good"),
        "void": State("Cancelled"),
        "pending_buyer_confirmation": State("Waiting for the buyer", "warn"),
        "rejected": State("Rejected by the buyer", "bad"),
        "disputed": State("Disputed", "bad"),
        "confirmed": State("Confirmed", "good"),
        "listed": State("Listed", "accent"),
        "partially_funded": State("Partly funded", "accent"),
        "settlement_pending": State("Settling", "accent"),
        "funded": State("Funded", "good"),
        "part_paid": State("Partly repaid", "warn"),
        "defaulted": State("In default", "bad"),
        "repaid": State("Repaid", "good"),
        "written_off": State("Written off", "bad"),
        "expired": State("Offer expired"),
        "withdrawn": State("Offer withdrawn"),
    },
    "investment": {
        "held": State("Reserved", "warn"),
        "settled": State("Invested", "accent"),
        "repaid": State("Repaid", "good"),
        "voided": State("Released"),
    },
    "bid": {
        "open": State("Open", "accent"),
        "won": State("Won", "good"),
        "lost": State("Lost"),
        "withdrawn": State("Withdrawn"),
    },
    "mirrored": {
        "draft": State("Draft"),
        "open": State("Open", "accent"),
        "partially_paid": State("Part paid", "warn"),
        "paid": State("Paid", "good"),
        "void": State("Voided or deleted"),
    },
    "mirror": {
        "agreed": State("In step", "good"),
        "differs": State("Differs", "warn"),
        "conflict": State("Conflict", "bad"),
        "none": State("Not linked"),
    },
    "credit_note": {"issued": State("Issued", "good"), "void": State("Cancelled")},
    "recurring": {
        "active": State("Going on", "good"),
        "paused": State("Paused", "warn"),
        "trouble": State("In trouble", "bad"),
        "ended": State("Ended"),
    },
    "payment": {
        "pending": State("Pending", "warn"),
        "failed": State("Failed", "bad"),
        "succeeded": State("Received", "good"),
        "cancelled": State("Cancelled"),
        "refunded": State("Refunded", "warn"),
        "disputed": State("Disputed", "bad"),
    },
    "payout": {
        "pending": State("On the way", "warn"),
        "failed": State("Failed", "bad"),
        "paid": State("Paid", "good"),
        "reversed": State("Went back", "bad"),
    },
    "transaction": {
        "pending": State("Pending", "warn"),
        "posted": State("Booked"),
        "removed": State("Removed", "bad"),
    },
    "match": {
        "none": State("No match"),
        "proposed": State("Match proposed", "accent"),
        "accepted": State("Matched", "good"),
        "rejected": State("Rejected"),
        "undone": State("Undone"),
        "duplicate": State("Told twice"),
        "ignored": State("Set aside"),
    },
    "health": {
        "active": State("Active", "good"),
        "needs_attention": State("Needs attention", "warn"),
        "revoked": State("Access revoked", "bad"),
        "paused": State("Paused", "warn"),
    },
    "event": {
        "processed": State("Processed", "good"),
        "ignored": State("Ignored"),
        "duplicate": State("Duplicate"),
        "ready": State("Waiting", "accent"),
        "fetch": State("Fetching", "accent"),
        "unrouted": State("Unrouted", "warn"),
        "unknown": State("Unknown event", "warn"),
        "paused": State("Paused", "warn"),
        "dead": State("Gave up", "bad"),
    },
    "review": {
        "stop": State("Stop", "bad"),
        "review": State("To look at", "warn"),
        "cleared": State("Cleared", "good"),
        "upheld": State("Upheld", "bad"),
    },
    "kyc": {
        "not_started": State("Not started"),
        "submitted": State("Being looked at", "accent"),
        "verified": State("Verified", "good"),
        "rejected": State("Rejected", "bad"),
        "expired": State("Expired", "warn"),
    },
    "trust": {
        "signed": State("Signed", "good"),
        "fetched": State("Fetched", "good"),
        "manual": State("By hand"),
        "hint": State("Unconfirmed hint", "warn"),
    },
}


# An invoice as its buyer reads it: what others wait for is theirs to do, and who funds it is none of their business.
_STATES["bill"] = _STATES["invoice"] | {
    "pending_buyer_confirmation": State("Waiting for you", "warn"),
    "rejected": State("Rejected by you", "bad"),
    "disputed": State("Disputed by you", "bad"),
    **dict.fromkeys(
        ("confirmed", "listed", "partially_funded", "settlement_pending"), State("Confirmed by you", "good")
    ),
    "funded": State("To pay", "accent"),
    "part_paid": State("Part paid", "warn"),
    "repaid": State("Paid", "good"),
    "defaulted": State("In default", "bad"),
}


def state(kind: str, value: str) -> State:
    """How a state is shown; a value this page does not know yet is shown as it is."""
    return _STATES[kind].get(value) or State(value.replace("_", " ").capitalize())


TRUST_MEANING = {
    "signed": "The provider's signature covers everything said here.",
    "fetched": "Asked back at the provider's own API after it told us to look.",
    "manual": "Brought or typed by its owner; no provider said it.",
    "hint": "Said without a signature. No money moves until it is confirmed.",
}


def history(kind: str) -> tuple[str, str]:
    """An entry of an invoice's history: words and icon."""
    return _HISTORY.get(kind) or (kind.replace(".", " ").replace("_", " ").capitalize(), "clock")


_HISTORY = {
    "invoice.created": ("Invoice made", "file-invoice"),
    "invoice.updated": ("Invoice changed", "pencil"),
    "invoice.issued": ("Invoice issued", "check"),
    "invoice.sent": ("Sent to the customer", "send"),
    "invoice.viewed": ("Seen by the customer", "info-circle"),
    "invoice.reminded": ("Customer reminded", "clock"),
    "invoice.agreed": ("Agreed to by the customer", "circle-check"),
    "invoice.disputed": ("Disputed by the customer", "alert-triangle"),
    "invoice.written_about": ("Written to the customer", "send"),
    "invoice.link_revoked": ("Links to it taken back", "ban"),
    "invoice.credited": ("Credit note made", "arrow-back-up"),
    "invoice.credit_sent": ("Credit note mailed", "send"),
    "invoice.credit_voided": ("Credit note cancelled", "ban"),
    "invoice.overdue": ("Became overdue", "alert-triangle"),
    "invoice.deleted": ("Invoice cancelled", "ban"),
    "financing.pending_buyer_confirmation": ("Submitted for financing", "send"),
    "financing.confirmed": ("Confirmed by the buyer", "shield-check"),
    "financing.rejected": ("Rejected by the buyer", "shield-x"),
    "financing.disputed": ("Disputed by the buyer", "alert-triangle"),
    "financing.listed": ("Listed on the marketplace", "broadcast"),
    "financing.partially_funded": ("Partly funded", "cash"),
    "financing.settlement_pending": ("Fully subscribed, settling", "clock"),
    "financing.funded": ("Funded", "circle-check"),
    "financing.part_paid": ("Investors partly repaid", "arrows-exchange"),
    "financing.overdue": ("Overdue", "alert-triangle"),
    "financing.defaulted": ("In default", "alert-circle"),
    "financing.repaid": ("Investors repaid", "circle-check"),
    "financing.written_off": ("Written off", "ban"),
    "financing.expired": ("Offer expired", "clock"),
    "financing.withdrawn": ("Offer withdrawn", "x"),
    "payment.allocated": ("Payment received", "cash"),
    "payment.released": ("Payment taken back", "arrow-back-up"),
}


_FIELD_WORDS = {
    "contact.name": "Customer",
    "contact.email": "Customer's e-mail",
    "contact_name": "Customer",
    "contact_email": "Customer's e-mail",
    "amount_due": "To pay",
    "tds_rate": "Tax they keep back",
    "payment_days": "Days to pay",
    "state_code": "State",
    "gstin": "GSTIN",
    "hsn": "HSN/SAC",
    "cgst": "CGST",
    "sgst": "SGST",
    "igst": "IGST",
    "buyer_gstin": "Customer's GSTIN",
    "supplier_gstin": "Your GSTIN",
    "items": "Lines",
    "number": "Number",
    "payment_terms": "Terms",
    "targets": "For invoices",
}
_AMOUNTS = frozenset(
    {
        *("total", "subtotal", "tax", "discount", "rounding", "cgst", "sgst", "igst"),
        *("amount", "amount_paid", "amount_due", "given_back"),
    }
)


def field_words(name: str) -> str:
    """A field of the books for people: due_date is Due date."""
    return _FIELD_WORDS.get(name) or name.replace("_", " ").replace(".", " ").capitalize()


def changed_value(value: object, field: str, currency: str, locale: str = "auto") -> str:
    """What a field held before or after a change, short."""
    match value:
        case None | "" | []:
            return "nothing"
        case bool():
            return "yes" if value else "no"
        case int() if field.rsplit(".", 1)[-1] in _AMOUNTS:
            return money(value, currency, locale)
        case list():
            one = "invoice" if field == "targets" else "line"
            return f"{len(value)} {one if len(value) == 1 else one + 's'}"
        case str() if field in ("stage", "status"):
            return state("invoice", value).label
        case str() if re.fullmatch(r"\d{4}-\d{2}-\d{2}", value):
            return day(date.fromisoformat(value))
        case _:
            words = str(value)
            return words if len(words) <= 120 else f"{words[:117]}…"


def initials(name: str) -> str:
    """Up to two letters for an avatar."""
    words = [word for word in name.split() if word[0].isalnum()]
    return "".join(word[0] for word in (words[:1] + words[-1:] if len(words) > 1 else words)).upper() or "?"
