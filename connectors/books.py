"""An invoice as it is to be written to other people's books, and what is there afterwards."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal

from core.events import MirroredInvoice, MirroredStatus
from core.money import Money


@dataclass(frozen=True, slots=True, kw_only=True)
class BookLine:
    """A line of an invoice for other books: amounts in minor units, `net` after discount and before tax."""

    words: str
    quantity: Decimal
    unit_price: int
    net: int
    tax: int
    tax_rate: Decimal

    @property
    def exact(self) -> bool:
        """Whether quantity times price is the net, so that other books come to the same."""
        return self.quantity * self.unit_price == self.net and self.quantity == round(self.quantity, 4)


@dataclass(frozen=True, slots=True, kw_only=True)
class BookPayment:
    """What a customer paid towards one invoice. Without `cash` no money came: a credit, or tax that was kept back."""

    reference: str
    money: Money
    paid_on: date
    cash: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What an invoice said at the other end when it was decided to write there."""

    total: int
    due: int
    issued_on: date | None
    due_on: date | None
    void: bool

    @classmethod
    def of(cls, record: MirroredInvoice) -> Known:
        """The same of what is there now."""
        void = record.status is MirroredStatus.VOID
        return cls(
            # Books write nothing, or what was once there, beside what is void.
            total=0 if void else record.total.minor,
            due=0 if void else record.due.minor,
            issued_on=record.issued_on,
            due_on=record.due_on,
            void=void,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class BookInvoice:
    """An invoice as it is to be in other books.

    `fields` are those to write: all of them for one that is not there (`object_id` None), else of total, issue_date,
    due_date, void and paid those that are behind. `key` is this wish's own, the same when it is tried again.
    """

    key: str
    object_id: str | None
    known: Known | None
    fields: frozenset[str]
    number: str
    currency: str
    issued_on: date
    due_on: date
    customer_name: str
    customer_email: str
    reference: str
    # The tax stands on the document and is not charged.
    reverse_charge: bool
    lines: tuple[BookLine, ...]
    rounding: int
    total: int
    payments: tuple[BookPayment, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """The invoice as it is there now. `stopped`: it had moved, or was there already, and nothing was written.

    `payments` has by our reference the object ids of those that were made.
    """

    record: MirroredInvoice
    stopped: bool = False
    payments: Mapping[str, str] = field(default_factory=dict)
