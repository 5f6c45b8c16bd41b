"""The words of a seller's mails, with places such as {{customer}} and {{link}} for what is filled in.

Filling in is one pass over the text: what is put in is never read again, so a customer called "{{link}}" stays that.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from core.errors import Invalid

Kind = Literal["invoice", "reminder_before", "reminder_due", "reminder_after", "receipt", "credit_note"]
KINDS: tuple[Kind, ...] = ("invoice", "reminder_before", "reminder_due", "reminder_after", "receipt", "credit_note")

MAX_SUBJECT = 200
MAX_BODY = 5000
# What stands for what; the page shows these words.
VARIABLES: dict[str, str] = {
    "customer": "The customer's name",
    "seller": "Your business",
    "number": "The invoice's number",
    "total": "What it came to",
    "amount_due": "What is left to pay",
    "issue_date": "The day it was issued",
    "due": "The day it is due",
    "days": "How many days until it is due, or since",
    "reference": "The customer's own reference, if any",
    "link": "The page where it is seen and paid",
}
MORE: dict[str, dict[str, str]] = {
    "receipt": {
        "paid": "What was paid",
        "paid_on": "The day of the payment",
        "method": "How it was paid",
    },
    "credit_note": {
        "credit": "What is credited",
        "credit_number": "The credit note's number",
    },
}
_PLACE = re.compile(r"\{\{\s*([A-Za-z_][A-Za-z0-9_]*)\s*\}\}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Template:
    """Subject and body of one kind of mail."""

    subject: str
    body: str


_REGARDS = "\n\nKind regards\n{{seller}}"
_PAY = "\n\nSee or pay it here:\n{{link}}"
_PAID = "\n\nIf you have paid it already, thank you, and please ignore this."
DEFAULTS: dict[Kind, Template] = {
    "invoice": Template(
        subject="Invoice {{number}} from {{seller}}",
        body="Dear {{customer}},\n\nhere is our invoice {{number}} for {{total}}. Please pay it by {{due}}.\n\n"
        "See, download or pay it here:\n{{link}}" + _REGARDS,
    ),
    "reminder_before": Template(
        subject="Invoice {{number}} is due on {{due}}",
        body="Dear {{customer}},\n\nthis is to remind you that invoice {{number}} is due on {{due}}. "
        "{{amount_due}} is to be paid." + _PAY + _REGARDS,
    ),
    "reminder_due": Template(
        subject="Invoice {{number}} is due today",
        body="Dear {{customer}},\n\ninvoice {{number}} is due today. {{amount_due}} is to be paid."
        + (_PAY + _PAID + _REGARDS),
    ),
    "reminder_after": Template(
        subject="Invoice {{number}} was due on {{due}}",
        body="Dear {{customer}},\n\ninvoice {{number}} was due on {{due}}, {{days}} days ago, and {{amount_due}} is "
        "still open. Please pay it, or tell us what is in the way." + _PAY + _PAID + _REGARDS,
    ),
    "receipt": Template(
        subject="We received {{paid}} for invoice {{number}}",
        body="Dear {{customer}},\n\nthank you: we received {{paid}} on {{paid_on}} for invoice {{number}}. "
        "{{amount_due}} is left to pay.\n\nThe invoice and its receipts are here:\n{{link}}" + _REGARDS,
    ),
    "credit_note": Template(
        subject="Credit note {{credit_number}} from {{seller}}",
        body="Dear {{customer}},\n\nhere is our credit note {{credit_number}} for {{credit}}, towards invoice "
        "{{number}}. {{amount_due}} is left to pay.\n\nThe invoice is here:\n{{link}}" + _REGARDS,
    ),
}


def variables(kind: str) -> dict[str, str]:
    """What may stand in a mail of a kind, with what it stands for."""
    return VARIABLES | MORE.get(kind, {})


def as_kind(name: str) -> Kind:
    """The kind of this name. Raises Invalid."""
    for kind in KINDS:
        if kind == name:
            return kind
    raise Invalid("kind", f"must be one of {', '.join(KINDS)}")


def check(kind: Kind, template: Template) -> Template:
    """The template as it is kept. Raises Invalid for what cannot be filled in, naming it."""
    subject = " ".join(template.subject.split())
    body = template.body.replace("\r\n", "\n").replace("\r", "\n").strip()
    for field, value, most in (("subject", subject, MAX_SUBJECT), ("body", body, MAX_BODY)):
        if not 0 < len(value) <= most:
            raise Invalid(field, f"must have 1 to {most} characters")
        unknown = sorted({match[1] for match in _PLACE.finditer(value)} - variables(kind).keys())
        if unknown:
            raise Invalid(field, f"nothing is called {{{{{unknown[0]}}}}} here")
        rest = _PLACE.sub("", value)
        if "{{" in rest or "}}" in rest:
            raise Invalid(field, "has {{ or }} without a name between them")
    return Template(subject=subject, body=body)


def fill(words: str, values: Mapping[str, str]) -> str:
    """The words with every place filled in. Raises Invalid for a place that nothing is given for."""

    def value_of(match: re.Match[str]) -> str:
        try:
            return values[match[1]]
        except KeyError:
            raise Invalid("body", f"nothing is called {{{{{match[1]}}}}} here") from None

    return _PLACE.sub(value_of, words)


def reminder_kind(days: int) -> Kind:
    """Which words remind so many days after the due date, before it where below zero."""
    if days < 0:
        return "reminder_before"
    return "reminder_due" if days == 0 else "reminder_after"
