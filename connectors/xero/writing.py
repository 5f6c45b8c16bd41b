"""Writing invoices and payments to Xero's books: looked for, made, changed, voided, paid.

Checked against the accounting file of Xero's OpenAPI 16.1.0: POST /Invoices, POST /Invoices/{id}, POST /Payments, all
with `Idempotency-Key`. Xero has no lock against a second writer: what is there is read just before it is written. A
customer is named; Xero takes the contact of this name, or makes one.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from decimal import Decimal
from typing import Any
from urllib.parse import quote

from connectors import base, naming, rates
from connectors.books import BookInvoice, BookLine, BookPayment, Known, Written
from connectors.payload import Payload
from connectors.xero.records import alone
from core.errors import MalformedPayload, Permanent
from core.money import Money

# Longest that Xero takes.
MAX_KEY = 128
Found = Generator[base.Request, base.Response, Payload]


def reasons(body: bytes) -> str | None:
    """Why Xero refuses, as it says itself."""
    try:
        said = Payload.from_bytes(body)
        errors = [error for one in said.optional_items("Elements") for error in one.optional_items("ValidationErrors")]
        return "; ".join(error.text("Message") for error in errors) or said.optional_text("Message")
    except MalformedPayload:
        return None


def major(minor: int, currency: str) -> float:
    """Minor units as the JSON number that Xero takes; a double holds the digits of any amount we take."""
    return float(Money(minor, currency).to_decimal())


def write(credentials: base.Credentials, wanted: BookInvoice) -> base.WriteTalk:
    """Write one invoice, or payments of it; see `connectors.base.Mirror`."""
    if wanted.object_id is None:
        if (there := (yield from find(credentials, wanted))) is not None:
            return Written(record=alone(there), stopped=True)
        made = yield from send(credentials, "Invoices", wanted, "/Invoices", new(credentials, wanted))
        return Written(record=alone(made))
    there = yield from get(credentials, wanted.object_id)
    known = Known.of(alone(there))
    if known != wanted.known:
        return Written(record=alone(there), stopped=True, payments=payments_in(there, wanted))
    if "paid" in wanted.fields:
        made_payments = yield from pay(credentials, wanted, there)
        there = yield from get(credentials, wanted.object_id)
        return Written(record=alone(there), payments=made_payments)
    path = f"/Invoices/{quote(wanted.object_id, safe='')}"
    body = {"InvoiceID": wanted.object_id, **changes(credentials, wanted)}
    made = yield from send(credentials, "Invoices", wanted, path, body)
    made.same("InvoiceID", wanted.object_id)
    return Written(record=alone(made))


def headers_of(credentials: base.Credentials) -> dict[str, str]:
    """Whose books are meant."""
    return {"xero-tenant-id": credentials.external_id} if credentials.external_id else {}


def find(credentials: base.Credentials, wanted: BookInvoice) -> Generator[base.Request, base.Response, Payload | None]:
    """The invoice of this number that we or somebody else made there, void or not. Raises Permanent for another one."""
    answer = yield base.Request(
        method="GET", url="/Invoices", headers=headers_of(credentials), params={"InvoiceNumbers": wanted.number}
    )
    rows = [row for row in answer.payload().items("Invoices") if row.text("Type") == "ACCREC"]
    rows = [row for row in rows if row.optional_text("InvoiceNumber") == wanted.number]
    alive = [row for row in rows if row.text("Status") not in ("DELETED", "VOIDED")]
    if not alive:
        return None
    if alive[0].currency("CurrencyCode") != wanted.currency:
        raise Permanent(f"Xero has another invoice {wanted.number}, in {alive[0].currency('CurrencyCode')}")
    # A list leaves lines and payments out.
    return (yield from get(credentials, alive[0].identifier("InvoiceID")))


def get(credentials: base.Credentials, identity: str) -> Found:
    """An invoice, which must be the one asked for."""
    answer = yield base.Request(
        method="GET", url=f"/Invoices/{quote(identity, safe='')}", headers=headers_of(credentials)
    )
    return only(answer, "Invoices", "InvoiceID", identity)


def only(answer: base.Response, name: str, key: str = "", identity: str = "") -> Payload:
    """The one object of an answer."""
    rows = answer.payload().items(name)
    if len(rows) != 1:
        raise MalformedPayload(name, "holds another number of objects than the one asked for")
    if key:
        rows[0].same(key, identity)
    return rows[0]


def send(credentials: base.Credentials, name: str, wanted: BookInvoice, path: str, body: Mapping[str, Any]) -> Found:
    """Write one object and return it as it is then. The same body of the same wish has the same key."""
    key = naming.digest(wanted.key, path, repr(sorted(body.items())))[:MAX_KEY]
    answer = yield base.Request(
        method="POST",
        url=path,
        headers={**headers_of(credentials), "Idempotency-Key": key},
        params={"unitdp": "4"} if name == "Invoices" else {},
        json={name: [body]},
        refusal=reasons,
    )
    return only(answer, name)


def new(credentials: base.Credentials, wanted: BookInvoice) -> dict[str, Any]:
    """An invoice that is owed from the beginning."""
    return {
        "Type": "ACCREC",
        "Status": "AUTHORISED",
        "InvoiceNumber": wanted.number,
        "Contact": {"Name": wanted.customer_name, "EmailAddress": wanted.customer_email},
        "CurrencyCode": wanted.currency,
        "Reference": wanted.reference,
        "Date": wanted.issued_on.isoformat(),
        "DueDate": wanted.due_on.isoformat(),
        **lines(credentials, wanted),
    }


def changes(credentials: base.Credentials, wanted: BookInvoice) -> dict[str, Any]:
    """What is to be different; the rest stays as they have it."""
    if "void" in wanted.fields:
        return {"Status": "VOIDED"}
    found: dict[str, Any] = {}
    if "issue_date" in wanted.fields:
        found["Date"] = wanted.issued_on.isoformat()
    if "due_date" in wanted.fields:
        found["DueDate"] = wanted.due_on.isoformat()
    if "total" in wanted.fields:
        found |= lines(credentials, wanted)
    return found


def lines(credentials: base.Credentials, wanted: BookInvoice) -> dict[str, Any]:
    """Lines without tax, the tax of each beside it."""
    account = credentials.settings["sales_account"]
    known = rates.types_of(credentials.settings.get("tax_types", ""))
    found = [line(one, wanted, account, known) for one in wanted.lines]
    if wanted.rounding:
        amount = major(wanted.rounding, wanted.currency)
        found.append(
            {"Description": "Rounding", "Quantity": 1, "UnitAmount": amount, "AccountCode": account, "TaxType": "NONE"}
        )
    return {"LineAmountTypes": "Exclusive", "LineItems": found}


def line(one: BookLine, wanted: BookInvoice, account: str, known: dict[Decimal, str]) -> dict[str, Any]:
    """A line that comes to what ours comes to: where quantity times price does not, it is one of the net."""
    price = {"Quantity": float(one.quantity), "UnitAmount": major(one.unit_price, wanted.currency)}
    if not one.exact:
        price = {"Quantity": 1, "UnitAmount": major(one.net, wanted.currency)}
    said = {"Description": one.words, **price, "AccountCode": account}
    if wanted.reverse_charge or not one.tax_rate:
        return {**said, "TaxType": known.get(Decimal(0), "NONE")}
    kind = rates.type_of(one.tax_rate, known, "Xero")
    return {**said, "TaxType": kind, "TaxAmount": major(one.tax, wanted.currency)}


def pay(
    credentials: base.Credentials, wanted: BookInvoice, there: Payload
) -> Generator[base.Request, base.Response, dict[str, str]]:
    """Make the payments that are not there by our reference; the ids of all of them."""
    found = payments_in(there, wanted)
    for one in wanted.payments:
        if one.reference not in found:
            body = payment(credentials, wanted, one)
            made = yield from send(credentials, "Payments", wanted, "/Payments", body)
            found[one.reference] = made.identifier("PaymentID")
    return found


def payments_in(there: Payload, wanted: BookInvoice) -> dict[str, str]:
    """Payments of ours that an invoice there has, by our reference."""
    ours = {one.reference for one in wanted.payments}
    return {
        reference: one.identifier("PaymentID")
        for one in there.optional_items("Payments")
        if (reference := one.optional_text("Reference")) in ours and one.optional_text("Status") != "DELETED"
    }


def payment(credentials: base.Credentials, wanted: BookInvoice, one: BookPayment) -> dict[str, Any]:
    """A payment. What is no money does not go to the bank's account."""
    name = "bank_account" if one.cash else "credit_account"
    if not (account := credentials.settings.get(name)):
        raise Permanent("the connection names no account of Xero for credit and tax that was kept back")
    return {
        "Invoice": {"InvoiceID": wanted.object_id},
        "Account": {"Code": account},
        "Date": one.paid_on.isoformat(),
        "Amount": major(one.money.minor, one.money.currency),
        "Reference": one.reference,
    }
