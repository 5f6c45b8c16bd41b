"""What Xero's objects mean: invoices, bills and credit notes, payments, bank accounts and their lines."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Literal

from connectors import naming
from connectors.payload import Payload, micros
from connectors.shapes import owed
from connectors.tables import words
from core import events
from core.events import BankTransaction, MirroredInvoice, MirroredStatus, Record, TransactionStatus
from core.money import Money

DATE = re.compile(r"/Date\((\d{1,15})(?:[+-]\d{4})?\)/")
STATUS = words(MirroredStatus, DRAFT="DRAFT SUBMITTED", OPEN="AUTHORISED", PAID="PAID", VOID="VOIDED DELETED")
DIRECTION: dict[str, Literal["sales", "purchase"]] = {
    "ACCREC": "sales",
    "ACCPAY": "purchase",
    "ACCRECCREDIT": "sales",
    "ACCPAYCREDIT": "purchase",
}
LINE = words(TransactionStatus, POSTED="AUTHORISED", REMOVED="DELETED VOIDED")


def moment(item: Payload, key: str) -> datetime:
    """A time such as /Date(1550793549320+0000)/: milliseconds of UTC, whatever offset stands behind them."""
    found = DATE.fullmatch(item.text(key))
    if found is None:
        raise item.wrong(key, "a time such as /Date(1550793549320+0000)/")
    return Payload({key: int(found[1])}, item).epoch_millis(key)


def _status(item: Payload, total: Money, due: Money) -> MirroredStatus:
    status = item.choice("Status", STATUS)
    return MirroredStatus.PARTIALLY_PAID if status is MirroredStatus.OPEN and due.minor < total.minor else status


def _mirrored(
    item: Payload, identity: str, number: str, left: str, kind: Literal["invoice", "credit_note"]
) -> MirroredInvoice:
    currency = item.currency("CurrencyCode")
    total = owed(item, "Total", currency)
    # A draft may not say yet what is left of it.
    due = owed(item, left, currency) if item.has(left) else total
    if kind == "invoice" and due.minor > total.minor:
        raise item.wrong(left, "at most the total")
    status = _status(item, total, due)
    return MirroredInvoice(
        object_id=item.identifier(identity),
        version=micros(moment(item, "UpdatedDateUTC")),
        status=status,
        number=item.optional_text(number),
        direction=item.choice("Type", DIRECTION),
        kind=kind,
        total=total,
        due=Money(0, currency) if status is MirroredStatus.VOID else due,
        issued_on=moment(item, "Date").date() if item.has("Date") else None,
        due_on=moment(item, "DueDate").date() if item.has("DueDate") else None,
        contact_name=item.text_at("Contact", "Name"),
        contact_email=item.text_at("Contact", "EmailAddress"),
    )


def payment_of(item: Payload, invoice: Payload, version: int) -> list[Record]:
    """What a customer paid towards an invoice, in the invoice's currency, and that it was taken back."""
    deleted = item.optional_text("Status") == "DELETED"
    money = item.number_money("Amount", invoice.currency("CurrencyCode"))
    if money.minor == 0:
        return []
    named = (invoice.optional_identifier("InvoiceNumber"), invoice.optional_identifier("Reference"))
    paid = events.Payment(
        object_id=item.identifier("PaymentID"),
        version=version,
        status=events.PaymentStatus.SUCCEEDED,
        money=item.number_money("Amount", money.currency, positive=True),
        occurred_at=moment(item, "Date"),
        references=naming.references(enumerate(named)),
        payer_name=invoice.text_at("Contact", "Name"),
        bank_reference=item.optional_text("Reference"),
    )
    if not deleted:
        return [paid]
    back = events.Refund(
        object_id=f"{paid.object_id}:deleted",
        version=version,
        payment_id=paid.object_id,
        status=events.RefundStatus.SUCCEEDED,
        money=money,
        occurred_at=moment(item, "UpdatedDateUTC"),
        reason="deleted in Xero",
    )
    return [paid, back]


def alone(item: Payload) -> MirroredInvoice:
    """An invoice or bill, without what was paid towards it."""
    return _mirrored(item, "InvoiceID", "InvoiceNumber", "AmountDue", "invoice")


def invoice_of(item: Payload) -> list[Record]:
    """An invoice or bill, and of an invoice what was paid towards it."""
    made = alone(item)
    paid = item.optional_items("Payments") if made.direction == "sales" else ()
    return [made, *(record for one in paid for record in payment_of(one, item, made.version))]


def credit_note_of(item: Payload) -> list[Record]:
    """A credit note; what is due of it is what may still be used."""
    return [_mirrored(item, "CreditNoteID", "CreditNoteNumber", "RemainingCredit", "credit_note")]


def listed_payment_of(item: Payload) -> list[Record]:
    """A payment in the list of all: only those of customers towards invoices are money for the seller."""
    if item.text("PaymentType") != "ACCRECPAYMENT":
        return []
    return payment_of(item, item.at("Invoice"), micros(moment(item, "UpdatedDateUTC")))


def account_of(item: Payload) -> list[Record]:
    """A bank account."""
    account = events.BankAccount(
        object_id=item.identifier("AccountID"),
        version=micros(moment(item, "UpdatedDateUTC")),
        name=item.text("Name"),
        currency=item.currency("CurrencyCode"),
        number=item.optional_text("BankAccountNumber"),
        kind=item.optional_text("BankAccountType"),
        available=item.text("Status") == "ACTIVE",
    )
    return [account]


def transaction_of(item: Payload) -> list[Record]:
    """A line on a bank account. Amounts are positive; the type tells the way."""
    kind, at = item.text("Type"), moment(item, "Date")
    if not kind.startswith(("RECEIVE", "SPEND")):
        raise item.wrong("Type", "RECEIVE… or SPEND…")
    money = item.number_money("Total", item.currency("CurrencyCode"))
    name = item.text_at("Contact", "Name")
    line = BankTransaction(
        object_id=item.identifier("BankTransactionID"),
        version=micros(moment(item, "UpdatedDateUTC")),
        account_id=item.at("BankAccount").identifier("AccountID"),
        status=item.choice("Status", LINE),
        money=money if kind.startswith("RECEIVE") else Money(-money.minor, money.currency),
        narration=item.optional_text("Reference") or name or kind,
        occurred_at=at,
        booked_on=at.date(),
        counterparty=name,
        bank_reference=item.optional_text("Reference"),
        category=kind.lower(),
    )
    return [line]
