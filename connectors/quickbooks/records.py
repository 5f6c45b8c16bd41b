"""What QuickBooks' objects mean: invoices and credit notes, payments, and lines on accounts."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, time
from typing import Literal

from connectors.payload import Payload, micros
from connectors.shapes import owed
from core import events
from core.events import BankTransaction, MirroredInvoice, MirroredStatus, Record, Reference, TransactionStatus
from core.money import Money

OFFSET = re.compile(r"([+-]\d\d)(\d\d)$")
# Newer than anything: a deleted id never comes back.
FOR_GOOD = 1 << 62


@dataclass(frozen=True, slots=True, kw_only=True)
class Books:
    """What a reader may need to know beside the object itself."""

    home: str
    """The company's own currency, for objects that name none."""
    numbers: Mapping[str, str | None]
    """Invoice numbers by QuickBooks' ids."""
    void: bool = False
    """Whether the event says that the object was voided."""


def updated(item: Payload) -> int:
    """The version: whole seconds, and within one the number of the change."""
    token = item.optional_name("SyncToken") or "0"
    at = moment(item.at("MetaData"), "LastUpdatedTime")
    return micros(at) + (min(int(token), 999_999) if token.isdecimal() else 0)


def moment(item: Payload, key: str) -> datetime:
    """A time with nanoseconds, or with an offset without a colon."""
    spelled = OFFSET.sub(r"\1:\2", re.sub(r"(\.\d{6})\d+", r"\1", item.text(key)))
    return Payload({key: spelled}, item).iso(key)


def currency(item: Payload, books: Books) -> str:
    """The object's currency, or the company's own."""
    named = item.optional_at("CurrencyRef")
    return named.currency("value") if named else books.home


def named(item: Payload, *keys: str) -> str | None:
    """The name that stands in the first of these references."""
    for key in keys:
        if (found := item.optional_at(key)) and (name := found.optional_text("name")):
            return name
    return None


def voided(item: Payload, books: Books) -> bool:
    """A void object has no amounts any more, and says so in its note at most."""
    return books.void or (item.optional_text("PrivateNote") or "").startswith("Voided")


def day(item: Payload) -> datetime:
    """The day of a movement, as the moment it began."""
    return datetime.combine(item.day("TxnDate"), time.min, UTC)


def stated(
    entity: str, direction: Literal["sales", "purchase"], kind: Literal["invoice", "credit_note"], left: str
) -> Callable[[Payload, Books], MirroredInvoice]:
    """A reader of one invoice, bill or credit note. There is no status: what is left to pay tells it."""

    def read(item: Payload, books: Books) -> MirroredInvoice:
        code = currency(item, books)
        total = owed(item, "TotalAmt", code)
        due = owed(item, left, code) if item.has(left) else total
        if kind == "invoice" and due.minor > total.minor:
            raise item.wrong(left, "at most the total")
        status = MirroredStatus.PAID if due.minor == 0 else MirroredStatus.PARTIALLY_PAID
        status = MirroredStatus.OPEN if due.minor and due == total else status
        return MirroredInvoice(
            object_id=f"{entity}:{item.name('Id')}",
            version=updated(item),
            status=MirroredStatus.VOID if voided(item, books) else status,
            number=item.optional_text("DocNumber"),
            direction=direction,
            kind=kind,
            total=total,
            due=Money(0, code) if voided(item, books) else due,
            issued_on=item.optional_day("TxnDate"),
            due_on=item.optional_day("DueDate"),
            contact_name=named(item, "CustomerRef", "VendorRef"),
            contact_email=item.text_at("BillEmail", "Address"),
        )

    return read


def mirrored(
    entity: str, direction: Literal["sales", "purchase"], kind: Literal["invoice", "credit_note"], left: str
) -> Callable[[Payload, Books], list[Record]]:
    """A reader of invoices, bills or credit notes."""
    read = stated(entity, direction, kind, left)
    return lambda item, books: [read(item, books)]


# An invoice of the company's own.
invoice_of = stated("invoice", "sales", "invoice", "Balance")


def linked(item: Payload) -> list[str]:
    """The ids of the invoices that a payment is applied to, in their order."""
    lines = item.optional_items("Line")
    links = [link for one in lines if one.has("LinkedTxn") for link in one.items("LinkedTxn")]
    return list(dict.fromkeys(link.name("TxnId") for link in links if link.text("TxnType") == "Invoice"))


def payment_of(item: Payload, books: Books, *, entity: str = "payment") -> list[Record]:
    """What a customer paid. Without an amount it only moves credit, or is void."""
    money = item.number_money("TotalAmt", currency(item, books))
    if money.minor == 0:
        return []
    numbers = [books.numbers.get(one) for one in linked(item)] or [item.optional_identifier("DocNumber")]
    return [
        events.Payment(
            object_id=f"{entity}:{item.name('Id')}",
            version=updated(item),
            status=events.PaymentStatus.SUCCEEDED,
            money=item.number_money("TotalAmt", money.currency, positive=True),
            occurred_at=day(item),
            references=tuple(Reference(rank, number) for rank, number in enumerate(numbers) if number),
            method=named(item, "PaymentMethodRef"),
            payer_name=named(item, "CustomerRef"),
            bank_reference=item.optional_text("PaymentRefNum"),
            description=item.optional_text("PrivateNote"),
        )
    ]


def receipt_of(item: Payload, books: Books) -> list[Record]:
    """A sale that was paid at once: its own number is the invoice's."""
    return payment_of(item, books, entity="salesreceipt")


def account_of(item: Payload, books: Books) -> list[Record]:
    """A bank or card account; the other ledger accounts hold no money."""
    if item.text("AccountType") not in ("Bank", "Credit Card"):
        return []
    code = currency(item, books)
    return [
        events.BankAccount(
            object_id=item.name("Id"),
            version=updated(item),
            name=item.text("Name"),
            currency=code,
            number=item.optional_text("AcctNum"),
            kind=item.optional_text("AccountSubType"),
            balance=item.number_money("CurrentBalance", code) if item.has("CurrentBalance") else None,
            available=item.optional_boolean("Active") is not False,
        )
    ]


def line(item: Payload, books: Books, entity: str, account: Payload, sign: int, amount: str) -> BankTransaction:
    """A movement on a bank or card account. Amounts are positive; what the object is tells the way."""
    money = item.number_money(amount, currency(item, books))
    name = named(item, "CustomerRef", "VendorRef", "EntityRef")
    return BankTransaction(
        object_id=f"{entity}:{item.name('Id')}",
        version=updated(item),
        account_id=account.name("value"),
        status=TransactionStatus.REMOVED if voided(item, books) else TransactionStatus.POSTED,
        money=Money(sign * money.minor, money.currency),
        narration=item.optional_text("PrivateNote") or name or item.optional_text("DocNumber") or entity,
        occurred_at=day(item),
        booked_on=item.day("TxnDate"),
        counterparty=name,
        bank_reference=item.optional_text("DocNumber"),
        category=entity.partition(":")[0],
    )


def deposit_of(item: Payload, books: Books) -> list[Record]:
    """Money put on an account."""
    return [line(item, books, "deposit", item.at("DepositToAccountRef"), 1, "TotalAmt")]


def purchase_of(item: Payload, books: Books) -> list[Record]:
    """Money spent, or with `Credit` given back by a seller."""
    sign = 1 if item.optional_boolean("Credit") else -1
    return [line(item, books, "purchase", item.at("AccountRef"), sign, "TotalAmt")]


def transfer_of(item: Payload, books: Books) -> list[Record]:
    """Money moved from one account to another: a line on each."""
    return [
        line(item, books, "transfer:from", item.at("FromAccountRef"), -1, "Amount"),
        line(item, books, "transfer:to", item.at("ToAccountRef"), 1, "Amount"),
    ]


def bill_payment_of(item: Payload, books: Books) -> list[Record]:
    """What a supplier was paid, by cheque or card."""
    by_check = item.optional_at("CheckPayment", "BankAccountRef")
    account = by_check or item.at("CreditCardPayment", "CCAccountRef")
    return [line(item, books, "billpayment", account, -1, "TotalAmt")]


def refund_of(item: Payload, books: Books) -> list[Record]:
    """Money given back to a customer. It names no payment, so it is a line on the account it left."""
    return [line(item, books, "refundreceipt", item.at("DepositToAccountRef"), -1, "TotalAmt")]


@dataclass(frozen=True, slots=True, kw_only=True)
class Entity:
    """A kind of object: its name in the API, and what one becomes."""

    name: str
    read: Callable[[Payload, Books], list[Record]]
    kind: Literal["mirrored", "payment", "line", "account"]


ENTITIES = {
    entity.name.lower(): entity
    for entity in (
        Entity(name="Account", read=account_of, kind="account"),
        Entity(name="Invoice", read=mirrored("invoice", "sales", "invoice", "Balance"), kind="mirrored"),
        Entity(
            name="CreditMemo", read=mirrored("creditmemo", "sales", "credit_note", "RemainingCredit"), kind="mirrored"
        ),
        Entity(name="Bill", read=mirrored("bill", "purchase", "invoice", "Balance"), kind="mirrored"),
        Entity(
            name="VendorCredit", read=mirrored("vendorcredit", "purchase", "credit_note", "Balance"), kind="mirrored"
        ),
        Entity(name="Payment", read=payment_of, kind="payment"),
        Entity(name="SalesReceipt", read=receipt_of, kind="payment"),
        Entity(name="Deposit", read=deposit_of, kind="line"),
        Entity(name="Purchase", read=purchase_of, kind="line"),
        Entity(name="Transfer", read=transfer_of, kind="line"),
        Entity(name="BillPayment", read=bill_payment_of, kind="line"),
        Entity(name="RefundReceipt", read=refund_of, kind="line"),
    )
}


def removed(entity: str, identity: str, home: str, at: datetime) -> list[Record]:
    """A line that was deleted. What it was worth is not told any more, and does not matter."""
    parts = ("transfer:from", "transfer:to") if entity == "transfer" else (entity,)
    return [
        BankTransaction(
            object_id=f"{part}:{identity}",
            version=FOR_GOOD,
            account_id="deleted",
            status=TransactionStatus.REMOVED,
            money=Money(0, home),
            narration="deleted in QuickBooks",
            occurred_at=at,
        )
        for part in parts
    ]
