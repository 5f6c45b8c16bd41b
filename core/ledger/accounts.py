"""Accounts: whose money, for what, in which currency. An account comes into being when it is first named."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from uuid import UUID, uuid5

_NAMESPACE = UUID("6f0c2f4e-0d53-5b1f-9a55-1edce2f1a0c4")


class Purpose(StrEnum):
    """What an account is for."""

    WALLET = "wallet"
    # Money of one financing on its way through; zero whenever the financing rests.
    ESCROW = "escrow"
    FEES = "fees"
    GST = "gst"
    # Money of a payer that belongs to nothing yet; never income.
    UNAPPLIED = "unapplied"
    # What was issued as demo money, as a negative number.
    ISSUANCE = "issuance"
    # The world beyond the platform: what came in, as a negative number.
    OUTSIDE = "outside"
    # What a person owes the platform, as a negative number.
    RECOVERABLE = "recoverable"
    # Accounts of the conformance checks.
    SCRATCH = "scratch"
    # A seller's own books (core.books). What is owed to the seller, as a negative number.
    RECEIVABLE = "receivable"
    SALES = "sales"
    TAX_DUE = "tax_due"
    ROUNDING = "rounding"
    # Customers' money that pays nothing yet.
    CREDIT = "credit"
    # What a gateway has and has not paid out yet, and what the seller was paid otherwise; both below zero.
    CLEARING = "clearing"
    BANK = "bank"
    GATEWAY_FEES = "gateway_fees"
    # Tax that customers kept back, a claim on the state, below zero.
    TDS = "tds"
    # Credit notes whose credit is on its way to a customer: zero when everything is posted.
    CREDIT_NOTES = "credit_notes"
    # What customers paid to those who financed the invoice, below zero.
    FINANCING = "financing"


# The accounts of sellers' books (core.books), in the order of a position's columns.
BOOKS = (
    Purpose.RECEIVABLE,
    Purpose.SALES,
    Purpose.TAX_DUE,
    Purpose.ROUNDING,
    Purpose.CREDIT,
    Purpose.CLEARING,
    Purpose.BANK,
    Purpose.GATEWAY_FEES,
    Purpose.TDS,
    Purpose.CREDIT_NOTES,
    Purpose.FINANCING,
)
# Nothing else may be below zero. A scratch account may where a transfer says so.
OVERDRAWN = frozenset({Purpose.ISSUANCE, Purpose.OUTSIDE, Purpose.RECOVERABLE, *BOOKS})


@dataclass(frozen=True)
class Account:
    """An account by its name. `owner` is "user:<id>", "financing:<id>", "platform", "connection:<id>" or the like.

    The balance is credits minus debits: a credited account grows.
    """

    owner: str
    purpose: Purpose
    currency: str

    @cached_property
    def id(self) -> UUID:
        """The same three words make the same id (UUIDv5)."""
        name = f"{self.currency}/{self.purpose.value}/{self.owner}"
        # What has no UTF-8 cannot be kept and is refused; until then it is an account like any other.
        return uuid5(_NAMESPACE, name.encode(errors="backslashreplace").decode())


def wallet(user_id: UUID, currency: str = "INR") -> Account:
    """What a person can spend."""
    return Account(f"user:{user_id}", Purpose.WALLET, currency)


def escrow(financing_id: UUID, currency: str) -> Account:
    """Money on its way through one financing."""
    return Account(f"financing:{financing_id}", Purpose.ESCROW, currency)


def platform(purpose: Purpose, currency: str) -> Account:
    """An account of the platform itself: fees, GST, issuance."""
    return Account("platform", purpose, currency)


def outside(connection_id: UUID | None, currency: str) -> Account:
    """Where money comes from and goes to through a connection; None for what is booked by hand."""
    return Account(f"connection:{connection_id}" if connection_id else "platform", Purpose.OUTSIDE, currency)


def recoverable(user_id: UUID, currency: str) -> Account:
    """What a person owes the platform, below zero."""
    return Account(f"user:{user_id}", Purpose.RECOVERABLE, currency)


def book(purpose: Purpose, user_id: UUID, connection_id: UUID | None, currency: str) -> Account:
    """An account of a seller's books. What a gateway has is kept by the connection it comes through."""
    owner = f"connection:{connection_id}" if purpose is Purpose.CLEARING else f"books:{user_id}"
    return Account(owner, purpose, currency)


def unapplied(payer: str, currency: str) -> Account:
    """Money of a payer that belongs to nothing yet. `payer` is any stable name, such as "user:<id>"."""
    return Account(payer, Purpose.UNAPPLIED, currency)
