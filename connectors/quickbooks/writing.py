"""Writing invoices and payments to QuickBooks' books: looked for, made, changed, voided, paid.

Decided by Intuit's pages on the v3 API: a `requestid` makes a repeated request answer as the first one did; an object
is changed by a sparse POST with the SyncToken it was read with, and a stale one is refused; `operation=void` voids.
Our reference of a payment stands in its PaymentRefNum, which holds 21 characters.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from decimal import Decimal
from typing import Any

from connectors import naming, rates
from connectors.base import Credentials, Request, Response, WriteTalk
from connectors.books import BookInvoice, BookLine, BookPayment, Known, Written
from connectors.payload import Payload
from connectors.quickbooks.asking import ask, home_currency, one, url_of
from connectors.quickbooks.records import Books, currency, invoice_of
from core.errors import MalformedPayload, Permanent
from core.money import Money

# A payment is looked for among so many of an invoice; more are nobody's usual way to pay.
MAX_LINKED = 20
MAX_NAME = 100
# Longest request id that Intuit takes.
MAX_REQUEST_ID = 50
Found = Generator[Request, Response, Payload]


def reasons(body: bytes) -> str | None:
    """Why QuickBooks refuses, as it says itself."""
    try:
        errors = Payload.from_bytes(body).at("Fault").optional_items("Error")
        return "; ".join(error.optional_text("Detail") or error.text("Message") for error in errors) or None
    except MalformedPayload:
        return None


def major(minor: int, code: str) -> float:
    """Minor units as the JSON number that QuickBooks takes; a double holds the digits of any amount we take."""
    return float(Money(minor, code).to_decimal())


def write(credentials: Credentials, wanted: BookInvoice) -> WriteTalk:
    """Write one invoice, or payments of it; see `connectors.base.Mirror`."""
    company = credentials.external_id
    if not company:
        raise Permanent("the connection names no company")
    books = Books(home=(yield from home_currency(credentials, company)), numbers={})
    if wanted.object_id is None:
        if (there := (yield from find(credentials, company, wanted, books))) is not None:
            return Written(record=invoice_of(there, books), stopped=True)
        body = yield from new(credentials, company, wanted)
        made = yield from send(credentials, company, "Invoice", wanted, body)
        return Written(record=invoice_of(made, books))
    identity = wanted.object_id.removeprefix("invoice:")
    there = yield from one(credentials, company, "Invoice", identity)
    if Known.of(invoice_of(there, books)) != wanted.known:
        found = yield from payments_in(credentials, company, there, wanted)
        return Written(record=invoice_of(there, books), stopped=True, payments=found)
    if "paid" in wanted.fields:
        made_payments = yield from pay(credentials, company, wanted, there)
        there = yield from one(credentials, company, "Invoice", identity)
        return Written(record=invoice_of(there, books), payments=made_payments)
    body = {"Id": identity, "SyncToken": there.name("SyncToken")}
    if "void" in wanted.fields:
        made = yield from send(credentials, company, "Invoice", wanted, body, operation="void")
        return Written(record=invoice_of(made, Books(home=books.home, numbers={}, void=True)))
    body |= {"sparse": True, **changes(credentials, wanted)}
    made = yield from send(credentials, company, "Invoice", wanted, body)
    made.same("Id", identity)
    return Written(record=invoice_of(made, books))


def quoted(text: str) -> str:
    """Text in a query."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def query(
    credentials: Credentials, company: str, name: str, where: str
) -> Generator[Request, Response, tuple[Payload, ...]]:
    """Objects of a kind."""
    said = f"select * from {name} where {where}"
    answer = yield from ask(credentials, company, "query", {"query": said})
    return answer.at("QueryResponse").optional_items(name)


def send(
    credentials: Credentials, company: str, name: str, wanted: BookInvoice, body: Mapping[str, Any], **params: str
) -> Found:
    """Write one object and return it as it is then. The same body of the same wish has the same request id."""
    request_id = naming.digest(wanted.key, name, repr(sorted(body.items())), repr(params))[:MAX_REQUEST_ID]
    answer = yield Request(
        method="POST",
        url=url_of(credentials, company, name.lower()),
        params={"minorversion": "75", "requestid": request_id, **params},
        json=body,
        refusal=reasons,
    )
    return answer.payload().at(name)


def find(
    credentials: Credentials, company: str, wanted: BookInvoice, books: Books
) -> Generator[Request, Response, Payload | None]:
    """The invoice of this number there. Raises Permanent where it is another one, or there are several."""
    rows = yield from query(credentials, company, "Invoice", f"DocNumber = {quoted(wanted.number)}")
    if not rows:
        return None
    if len(rows) > 1:
        raise Permanent(f"QuickBooks has {len(rows)} invoices {wanted.number}")
    if (code := currency(rows[0], books)) != wanted.currency:
        raise Permanent(f"QuickBooks has another invoice {wanted.number}, in {code}")
    return rows[0]


def customer(
    credentials: Credentials, company: str, wanted: BookInvoice
) -> Generator[Request, Response, dict[str, str]]:
    """The customer of this name, made where there is none."""
    name = wanted.customer_name.replace(":", " ").strip()[:MAX_NAME]
    rows = yield from query(credentials, company, "Customer", f"DisplayName = {quoted(name)}")
    if rows:
        return {"value": rows[0].name("Id")}
    said = {"DisplayName": name, "CurrencyRef": {"value": wanted.currency}}
    if wanted.customer_email:
        said["PrimaryEmailAddr"] = {"Address": wanted.customer_email}
    return {"value": (yield from send(credentials, company, "Customer", wanted, said)).name("Id")}


def new(credentials: Credentials, company: str, wanted: BookInvoice) -> Generator[Request, Response, dict[str, Any]]:
    """An invoice."""
    said = {
        "DocNumber": wanted.number,
        "CustomerRef": (yield from customer(credentials, company, wanted)),
        "CurrencyRef": {"value": wanted.currency},
        "TxnDate": wanted.issued_on.isoformat(),
        "DueDate": wanted.due_on.isoformat(),
        # For people who look there: which wish of ours made it.
        "PrivateNote": f"Ledgerwire {wanted.key}",
        **lines(credentials, wanted),
    }
    return {**said, "BillEmail": {"Address": wanted.customer_email}} if wanted.customer_email else said


def changes(credentials: Credentials, wanted: BookInvoice) -> dict[str, Any]:
    """What is to be different; the rest stays as they have it."""
    found: dict[str, Any] = {}
    if "issue_date" in wanted.fields:
        found["TxnDate"] = wanted.issued_on.isoformat()
    if "due_date" in wanted.fields:
        found["DueDate"] = wanted.due_on.isoformat()
    if "total" in wanted.fields:
        found |= lines(credentials, wanted)
    return found


def lines(credentials: Credentials, wanted: BookInvoice) -> dict[str, Any]:
    """Lines without tax; QuickBooks computes the tax by the codes."""
    known = rates.types_of(credentials.settings.get("tax_types", ""))
    found = [line(credentials, one, wanted, known) for one in wanted.lines]
    if wanted.rounding:
        extra = BookLine(
            words="Rounding",
            quantity=Decimal(1),
            unit_price=wanted.rounding,
            net=wanted.rounding,
            tax=0,
            tax_rate=Decimal(0),
        )
        found.append(line(credentials, extra, wanted, known))
    said: dict[str, Any] = {"Line": found}
    # A company that computes its tax by itself takes no such word.
    return said | ({"GlobalTaxCalculation": "TaxExcluded"} if known else {})


def line(credentials: Credentials, one: BookLine, wanted: BookInvoice, known: Mapping[Decimal, str]) -> dict[str, Any]:
    """A line that comes to what ours comes to: where quantity times price does not, it has its amount alone."""
    detail: dict[str, Any] = {"ItemRef": {"value": credentials.settings["sales_item"]}}
    if one.exact:
        detail |= {"Qty": float(one.quantity), "UnitPrice": major(one.unit_price, wanted.currency)}
    rate = Decimal(0) if wanted.reverse_charge else one.tax_rate
    if known or rate:
        detail["TaxCodeRef"] = {"value": rates.type_of(rate, dict(known), "QuickBooks")}
    return {
        "DetailType": "SalesItemLineDetail",
        "Description": one.words,
        "Amount": major(one.net, wanted.currency),
        "SalesItemLineDetail": detail,
    }


def payments_in(
    credentials: Credentials, company: str, there: Payload, wanted: BookInvoice
) -> Generator[Request, Response, dict[str, str]]:
    """Payments of ours that an invoice there has, by our reference."""
    ours = {one.reference for one in wanted.payments}
    found: dict[str, str] = {}
    linked = [link.name("TxnId") for link in there.optional_items("LinkedTxn") if link.text("TxnType") == "Payment"]
    for identity in linked[:MAX_LINKED] if ours else ():
        item = yield from one(credentials, company, "Payment", identity)
        if (reference := item.optional_text("PaymentRefNum")) in ours and reference:
            found[reference] = f"payment:{identity}"
    return found


def pay(
    credentials: Credentials, company: str, wanted: BookInvoice, there: Payload
) -> Generator[Request, Response, dict[str, str]]:
    """Make the payments that are not there by our reference; the ids of all of them."""
    found = yield from payments_in(credentials, company, there, wanted)
    for one_of in wanted.payments:
        if one_of.reference not in found:
            body = payment(credentials, wanted, there, one_of)
            made = yield from send(credentials, company, "Payment", wanted, body)
            found[one_of.reference] = f"payment:{made.name('Id')}"
    return found


def payment(credentials: Credentials, wanted: BookInvoice, there: Payload, one_of: BookPayment) -> dict[str, Any]:
    """A payment. What is no money does not go to the bank's account."""
    name = "bank_account" if one_of.cash else "credit_account"
    if not (account := credentials.settings.get(name)):
        raise Permanent("the connection names no account of QuickBooks for credit and tax that was kept back")
    amount = major(one_of.money.minor, one_of.money.currency)
    return {
        "CustomerRef": {"value": there.at("CustomerRef").name("value")},
        "CurrencyRef": {"value": wanted.currency},
        "TotalAmt": amount,
        "TxnDate": one_of.paid_on.isoformat(),
        "PaymentRefNum": one_of.reference,
        "DepositToAccountRef": {"value": account},
        "Line": [{"Amount": amount, "LinkedTxn": [{"TxnId": there.name("Id"), "TxnType": "Invoice"}]}],
    }
