"""The books of simulated accounting systems: written to and read as the real ones are, told of by their pointers.

A set of books is one company at Xero or QuickBooks. It keeps what it is told in memory and takes a repeated request
(Idempotency-Key, requestid) for the first one. Somebody working there is played by `edit` and `receive`.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import uuid4

from workers.simulators.api import Answer
from workers.simulators.routes import Asked, taken_apart

SLUGS = ("xero", "quickbooks")
Json = dict[str, Any]
_CENT = Decimal("0.01")


@dataclass(slots=True, kw_only=True)
class Entry:
    """An invoice in the books, in the words of neither provider. Amounts are major units."""

    id: str
    number: str
    currency: str
    customer: str
    email: str
    issued_on: str
    due_on: str
    total: Decimal
    status: str = "open"
    version: int = 0
    payments: list[Json] = field(default_factory=list)

    @property
    def paid(self) -> Decimal:
        """What was paid of it."""
        return sum((one["amount"] for one in self.payments), Decimal(0))


class Refused(Exception):
    """What the provider does not take, with its reason."""


class Ledger:
    """One company's books at one provider. Safe to ask from several threads."""

    def __init__(self, slug: str, *, company: str = "310687", at: datetime | None = None) -> None:
        self.slug, self.company = slug, company
        self.invoices: dict[str, Entry] = {}
        self.customers: dict[str, str] = {}
        # Method and path of every request that wrote something, or would have.
        self.written: list[tuple[str, str]] = []
        self._moment = at or datetime.now(UTC)
        self._answers: dict[str, Json] = {}
        self._stamps: dict[str, datetime] = {}
        self._ids = 1000
        self._lock = threading.RLock()

    # Somebody who works there ------------------------------------------------------------------------------------

    def edit(self, number: str, **changes: Any) -> Entry:
        """Change an invoice there."""
        with self._lock:
            entry = next(one for one in self.invoices.values() if one.number == number)
            for name, value in changes.items():
                setattr(entry, name, value)
            return self._touch(entry)

    def receive(self, number: str, amount: Decimal, reference: str = "") -> Entry:
        """Note a payment there."""
        with self._lock:
            entry = next(one for one in self.invoices.values() if one.number == number)
            entry.payments.append(
                {"id": self._new_id(), "amount": amount, "reference": reference, "date": "2026-11-03"}
            )
            return self._touch(entry)

    def _touch(self, entry: Entry) -> Entry:
        self._moment += timedelta(seconds=1)
        entry.version += 1
        entry.status = entry.status if entry.status == "void" else ("paid" if entry.paid >= entry.total else "open")
        self._stamps[entry.id] = self._moment
        return entry

    def _new_id(self) -> str:
        self._ids += 1
        return str(uuid4()) if self.slug == "xero" else str(self._ids)

    # The API -----------------------------------------------------------------------------------------------------

    def answer(self, method: str, target: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """What one request is answered; `target` is below the API base."""
        with self._lock:
            asked = taken_apart(method, target, headers, b"" if body.lstrip()[:1] == b"{" else body)
            given: Json = json.loads(body) if body.lstrip()[:1] == b"{" else {}
            try:
                said = (_xero if self.slug == "xero" else _quickbooks)(self, asked, given)
            except Refused as error:
                return Answer(status=400, content=json.dumps(_refusal(self.slug, str(error))).encode())
            if said is None:
                return Answer.error(404, "there is no such thing")
            return Answer(content=json.dumps(said).encode())

    def once(self, key: str, path: str, make: Any) -> Json:
        """The answer to a request that writes: of a repeated one the first answer."""
        self.written.append(("POST", path))
        if not key:
            raise Refused("a request that writes needs its key here")
        if key not in self._answers:
            self._answers[key] = make()
        return self._answers[key]

    def make(
        self, number: str, currency: str, customer: str, email: str, days: tuple[str, str], total: Decimal
    ) -> Entry:
        """A new invoice."""
        alive = [one for one in self.invoices.values() if one.number == number and one.status != "void"]
        if alive and self.slug == "xero":
            raise Refused("Invoice # must be unique.")
        entry = Entry(
            id=self._new_id(), number=number, currency=currency, customer=customer, email=email, issued_on=days[0],
            due_on=days[1], total=total,
        )  # fmt: skip
        self.invoices[entry.id] = entry
        return self._touch(entry)

    def find(self, identity: str) -> Entry:
        """An invoice by its id there."""
        if identity not in self.invoices:
            raise Refused("there is no such invoice")
        return self.invoices[identity]

    def pay(self, entry: Entry, amount: Decimal, reference: str, day: str) -> Json:
        """A payment towards an invoice."""
        if entry.status == "void" or amount > entry.total - entry.paid:
            raise Refused("Payment amount exceeds the amount outstanding on this document")
        made = {"id": self._new_id(), "amount": amount, "reference": reference, "date": day}
        entry.payments.append(made)
        self._touch(entry)
        return made

    def change(self, entry: Entry, **changes: Any) -> Entry:
        """An invoice as it is written."""
        if entry.payments and ("total" in changes or changes.get("status") == "void"):
            raise Refused("This document cannot be edited as it has a payment or credit note allocated to it.")
        for name, value in changes.items():
            if value is not None:
                setattr(entry, name, value)
        return self._touch(entry)

    def stamp(self, entry: Entry) -> datetime:
        """When it was last changed."""
        return self._stamps[entry.id]


def _refusal(slug: str, words: str) -> Json:
    if slug == "xero":
        return {"Type": "ValidationException", "Elements": [{"ValidationErrors": [{"Message": words}]}]}
    return {"Fault": {"Error": [{"Message": "A business validation error", "Detail": words}], "type": "Validation"}}


# Xero -----------------------------------------------------------------------------------------------------------


def _xero(books: Ledger, asked: Asked, given: Json) -> Json | None:
    key = asked.headers.get("idempotency-key", "")
    match [asked.method, *asked.path.strip("/").split("/")]:
        case ["POST", "connect", "token"]:
            return {"access_token": "t", "expires_in": 1800, "token_type": "Bearer"}
        case ["GET", "Invoices"]:
            numbers = set(asked.params.get("InvoiceNumbers", "").split(","))
            return {"Invoices": [_xero_invoice(books, one) for one in books.invoices.values() if one.number in numbers]}
        case ["GET", "Invoices", identity]:
            entry = books.invoices.get(identity)
            return None if entry is None else {"Invoices": [_xero_invoice(books, entry)]}
        case ["POST", "Invoices"]:
            return books.once(key, asked.path, lambda: _xero_make(books, given["Invoices"][0]))
        case ["POST", "Invoices", identity]:
            return books.once(key, asked.path, lambda: _xero_change(books, books.find(identity), given["Invoices"][0]))
        case ["POST", "Payments"]:
            return books.once(key, asked.path, lambda: _xero_pay(books, given["Payments"][0]))
        case _:
            return None


def _xero_total(said: Json) -> Decimal | None:
    if "LineItems" not in said:
        return None
    found = Decimal(0)
    for line in said["LineItems"]:
        net = (Decimal(str(line["Quantity"])) * Decimal(str(line["UnitAmount"]))).quantize(_CENT)
        found += net + Decimal(str(line.get("TaxAmount", 0)))
    return found


def _xero_make(books: Ledger, said: Json) -> Json:
    total = _xero_total(said)
    if total is None or said["Status"] != "AUTHORISED":
        raise Refused("Lines are needed")
    entry = books.make(
        said["InvoiceNumber"], said["CurrencyCode"], said["Contact"]["Name"], said["Contact"]["EmailAddress"],
        (said["Date"], said["DueDate"]), total,
    )  # fmt: skip
    return {"Invoices": [_xero_invoice(books, entry)]}


def _xero_change(books: Ledger, entry: Entry, said: Json) -> Json:
    status = "void" if said.get("Status") == "VOIDED" else entry.status
    books.change(
        entry, **{"status": status} if status != entry.status else {}, issued_on=said.get("Date"),
        due_on=said.get("DueDate"), **{"total": total} if (total := _xero_total(said)) is not None else {},
    )  # fmt: skip
    return {"Invoices": [_xero_invoice(books, entry)]}


def _xero_pay(books: Ledger, said: Json) -> Json:
    entry = books.find(said["Invoice"]["InvoiceID"])
    made = books.pay(entry, Decimal(str(said["Amount"])), said["Reference"], said["Date"])
    return {
        "Payments": [{"PaymentID": made["id"], "Invoice": {"InvoiceID": entry.id}, "Amount": float(made["amount"])}]
    }


def _millis(day: str) -> str:
    return f"/Date({int(datetime.fromisoformat(day).replace(tzinfo=UTC).timestamp() * 1000)}+0000)/"


def _xero_invoice(books: Ledger, one: Entry) -> Json:
    due = Decimal(0) if one.status == "void" else one.total - one.paid
    return {
        "Type": "ACCREC",
        "InvoiceID": one.id,
        "InvoiceNumber": one.number,
        "Status": {"open": "AUTHORISED", "paid": "PAID", "void": "VOIDED"}[one.status],
        "Contact": {"Name": one.customer, "EmailAddress": one.email},
        "CurrencyCode": one.currency,
        "Total": float(one.total),
        "AmountDue": float(due),
        "AmountPaid": float(one.paid),
        "Date": _millis(one.issued_on),
        "DueDate": _millis(one.due_on),
        "UpdatedDateUTC": f"/Date({int(books.stamp(one).timestamp() * 1000)}+0000)/",
        "Payments": [
            {
                "PaymentID": paid["id"],
                "Date": _millis(paid["date"]),
                "Amount": float(paid["amount"]),
                "Reference": paid["reference"],
            }
            for paid in one.payments
        ],
    }


# QuickBooks -----------------------------------------------------------------------------------------------------

_EQUALS = re.compile(r"select \* from (\w+) where (\w+) = '((?:[^'\\]|\\.)*)'")


def _quickbooks(books: Ledger, asked: Asked, given: Json) -> Json | None:
    steps = asked.path.strip("/").split("/")
    if steps[-4:] == ["v1", "tokens", "bearer"] or asked.path.endswith("/tokens/bearer"):
        return {"access_token": "t", "expires_in": 3600, "refresh_token": "r"}
    if steps[:3] != ["v3", "company", books.company]:
        return None
    key = asked.params.get("requestid", "")
    match [asked.method, *steps[3:]]:
        case ["GET", "preferences"]:
            return {"Preferences": {"CurrencyPrefs": {"HomeCurrency": {"value": "INR"}}}}
        case ["GET", "query"]:
            return {"QueryResponse": _queried(books, asked.params["query"])}
        case ["GET", "invoice", identity]:
            entry = books.invoices.get(identity)
            return None if entry is None else {"Invoice": _qb_invoice(books, entry)}
        case ["GET", "payment", identity]:
            return next(({"Payment": _qb_payment(one, paid)} for one in books.invoices.values() for paid in one.payments
                         if paid["id"] == identity), None)  # fmt: skip
        case ["POST", "customer"]:
            return books.once(key, asked.path, lambda: _qb_customer(books, given))
        case ["POST", "invoice"]:
            void = asked.params.get("operation") == "void"
            return books.once(key, asked.path, lambda: {"Invoice": _qb_write(books, given, void=void)})
        case ["POST", "payment"]:
            return books.once(key, asked.path, lambda: _qb_pay(books, given))
        case _:
            return None


def _queried(books: Ledger, query: str) -> Json:
    found = _EQUALS.match(query)
    if found is None:
        raise Refused(f"QueryParserError: {query}")
    name, column, value = found[1], found[2], re.sub(r"\\(.)", r"\1", found[3])
    if (name, column) == ("Invoice", "DocNumber"):
        return {"Invoice": [_qb_invoice(books, one) for one in books.invoices.values() if one.number == value]}
    if (name, column) == ("Customer", "DisplayName"):
        return {"Customer": [{"Id": books.customers[value]}]} if value in books.customers else {}
    raise Refused(f"property {column} is not queryable")


def _qb_customer(books: Ledger, given: Json) -> Json:
    if given["DisplayName"] in books.customers:
        raise Refused("Duplicate Name Exists Error")
    books.customers[given["DisplayName"]] = str(len(books.customers) + 1)
    return {"Customer": {"Id": books.customers[given["DisplayName"]], "DisplayName": given["DisplayName"]}}


def _qb_total(given: Json) -> Decimal:
    found = Decimal(0)
    for line in given["Line"]:
        amount = Decimal(str(line["Amount"]))
        # The id of a tax code is its rate here.
        rate = Decimal(line["SalesItemLineDetail"].get("TaxCodeRef", {"value": "0"})["value"])
        found += amount + (amount * rate / 100).quantize(_CENT)
    return found


def _qb_write(books: Ledger, given: Json, *, void: bool) -> Json:
    if "Id" not in given:
        customer = next(name for name, identity in books.customers.items() if identity == given["CustomerRef"]["value"])
        entry = books.make(
            given["DocNumber"], given["CurrencyRef"]["value"], customer, given.get("BillEmail", {}).get("Address", ""),
            (given["TxnDate"], given["DueDate"]), _qb_total(given),
        )  # fmt: skip
        return _qb_invoice(books, entry)
    entry = books.find(given["Id"])
    if given["SyncToken"] != str(entry.version):
        raise Refused("Stale Object Error: You and somebody else were working on this at the same time")
    if void:
        books.change(entry, status="void")
    else:
        total = {"total": _qb_total(given)} if "Line" in given else {}
        books.change(entry, issued_on=given.get("TxnDate"), due_on=given.get("DueDate"), **total)
    return _qb_invoice(books, entry)


def _qb_pay(books: Ledger, given: Json) -> Json:
    entry = books.find(given["Line"][0]["LinkedTxn"][0]["TxnId"])
    if len(given["PaymentRefNum"]) > 21:
        raise Refused("PaymentRefNum is too long")
    paid = books.pay(entry, Decimal(str(given["TotalAmt"])), given["PaymentRefNum"], given["TxnDate"])
    return {"Payment": _qb_payment(entry, paid)}


def _qb_payment(entry: Entry, paid: Json) -> Json:
    return {
        "Id": paid["id"],
        "TotalAmt": float(paid["amount"]),
        "PaymentRefNum": paid["reference"],
        "Line": [{"Amount": float(paid["amount"]), "LinkedTxn": [{"TxnId": entry.id, "TxnType": "Invoice"}]}],
    }


def _qb_invoice(books: Ledger, one: Entry) -> Json:
    void = one.status == "void"
    return {
        "Id": one.id,
        "SyncToken": str(one.version),
        "MetaData": {"LastUpdatedTime": books.stamp(one).isoformat(timespec="seconds")},
        "DocNumber": one.number,
        "CurrencyRef": {"value": one.currency},
        "CustomerRef": {"value": books.customers.get(one.customer, "0"), "name": one.customer},
        "BillEmail": {"Address": one.email},
        "TotalAmt": 0.0 if void else float(one.total),
        "Balance": 0.0 if void else float(one.total - one.paid),
        "TxnDate": one.issued_on,
        "DueDate": one.due_on,
        "PrivateNote": "Voided" if void else "",
        "LinkedTxn": [{"TxnId": paid["id"], "TxnType": "Payment"} for paid in one.payments],
    }
