"""What a provider can tell us, in our own words: the records that `connector.read` returns.

A record is a statement about one object at the provider, known by `object_id`. Statements come twice,
late and out of order; `core` merges them so that any order ends in the same state:

* a status only climbs its ladder (the order in which its members are declared);
* among statements of equal status the higher `version` wins, and among equal versions the content decides.

`version` is the provider's own time of the statement in microseconds since the epoch, or its sequence number.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, datetime
from enum import StrEnum
from typing import Final, Literal, TypeAlias

from core.money import Money


class Trust(StrEnum):
    """How we know: signed over the full object, fetched after a pointer, by the owner's word, or an unsigned hint."""

    SIGNED = "signed"
    FETCHED = "fetched"
    MANUAL = "manual"
    HINT = "hint"


class TransactionStatus(StrEnum):
    """Ladder of a bank transaction."""

    PENDING = "pending"
    POSTED = "posted"
    REMOVED = "removed"


class PaymentStatus(StrEnum):
    """Ladder of a payment. A failed one may still be captured late; a captured one never fails."""

    PENDING = "pending"
    FAILED = "failed"
    SUCCEEDED = "succeeded"


class RefundStatus(StrEnum):
    """Ladder of a refund. One that was paid may still come back from the payer's bank: it then takes nothing."""

    PENDING = "pending"
    FAILED = "failed"
    SUCCEEDED = "succeeded"
    RETURNED = "returned"


class DisputeStatus(StrEnum):
    """Ladder of a dispute. A lost one takes what was deducted, or all; a won one nothing; the others what they say."""

    OPEN = "open"
    UNDER_REVIEW = "under_review"
    CLOSED = "closed"
    WON = "won"
    LOST = "lost"


class PayoutStatus(StrEnum):
    """Ladder of a payout, the transfer of collected money to the seller's bank."""

    PENDING = "pending"
    FAILED = "failed"
    PAID = "paid"
    REVERSED = "reversed"


class ConnectionHealth(StrEnum):
    """State of a connection as the provider sees it. Not a ladder: the newest statement holds."""

    ACTIVE = "active"
    NEEDS_ATTENTION = "needs_attention"
    REVOKED = "revoked"


# The priority of what names no invoice but that through which money came: a virtual account, the customer's id there.
RECEIVER: Final = 100


@dataclass(frozen=True, slots=True, order=True)
class Reference:
    """A text by which a payment may name its invoice; lower `priority` is tried first.

    One of the priority `RECEIVER` may name its customer: the id, or an account in capitals, or an address in small.
    """

    priority: int
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BankTransaction:
    """A line on an account at a bank. `money` is negative when money left the account."""

    object_id: str
    version: int
    account_id: str
    status: TransactionStatus
    money: Money
    narration: str
    occurred_at: datetime
    # Set where the provider knows a calendar day and no instant: a local date is not a UTC moment.
    booked_on: date | None = None
    counterparty: str | None = None
    bank_reference: str | None = None
    balance: Money | None = None
    category: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PendingSnapshot:
    """Every pending transaction of the account `object_id` was stated with this version or a higher one.

    A pending transaction that is known only from lower versions is gone: it becomes REMOVED. The rule needs
    the highest snapshot version of an account and nothing else, so it holds in any order: a transaction
    that arrives late with a lower version than its account's snapshot is REMOVED at once. Posted
    transactions are untouched.
    """

    object_id: str
    version: int


@dataclass(frozen=True, slots=True, kw_only=True)
class BankAccount:
    """An account at a bank as the provider lists it. `number` is masked by core before it is stored."""

    object_id: str
    version: int
    name: str
    currency: str
    number: str | None = None
    kind: str | None = None
    balance: Money | None = None
    available: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Payment:
    """Money that a gateway collected (or failed to collect) for the seller. `money` is positive."""

    object_id: str
    version: int
    status: PaymentStatus
    money: Money
    occurred_at: datetime
    references: tuple[Reference, ...] = ()
    method: str | None = None
    payer_name: str | None = None
    payer_email: str | None = None
    bank_reference: str | None = None
    description: str | None = None
    fee: Money | None = None
    failure: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Refund:
    """Money given back out of a payment. `money` is positive."""

    object_id: str
    version: int
    payment_id: str
    status: RefundStatus
    money: Money
    occurred_at: datetime
    reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Dispute:
    """A payer's challenge of a payment. `deducted` is what has been taken so far, whatever the status."""

    object_id: str
    version: int
    payment_id: str
    status: DisputeStatus
    money: Money
    deducted: Money
    occurred_at: datetime
    reason: str | None = None
    respond_by: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Payout:
    """Collected money on its way to the seller's bank; `bank_reference` finds it on the statement."""

    object_id: str
    version: int
    status: PayoutStatus
    money: Money
    occurred_at: datetime
    fee: Money | None = None
    bank_reference: str | None = None
    # Set where the seller's money goes to somebody else (a supplier, an employee) and not to the own bank.
    to_third_party: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class PayoutItem:
    """One thing that a payout holds, as the provider lists it. `object_id` names the movement, which is in one payout.

    `subject_id` is the provider's id of the payment, refund or dispute that is meant, as its own record has it; it
    never changes. None for a fee that belongs to none of them, and for an adjustment. `money` is what it brings to the
    payout before its `fee`, below zero for what it takes. Both are in the payout's currency.
    """

    object_id: str
    version: int
    payout_id: str
    kind: Literal["payment", "refund", "dispute", "fee", "adjustment"]
    money: Money
    fee: Money
    occurred_at: datetime
    subject_id: str | None = None


class MirroredStatus(StrEnum):
    """State of an invoice in somebody else's books. Not a ladder: the newest statement holds."""

    DRAFT = "draft"
    OPEN = "open"
    PARTIALLY_PAID = "partially_paid"
    PAID = "paid"
    VOID = "void"


@dataclass(frozen=True, slots=True, kw_only=True)
class MirroredInvoice:
    """An invoice, bill or credit note as an accounting system or gateway keeps it. No money moves by it.

    `direction` is "sales" where the seller is owed, "purchase" where the seller owes. `total` and `due` are not
    negative; `due` is what is still to be paid.
    """

    object_id: str
    version: int
    status: MirroredStatus
    number: str | None
    direction: Literal["sales", "purchase"]
    kind: Literal["invoice", "credit_note"] = "invoice"
    total: Money
    due: Money
    issued_on: date | None = None
    due_on: date | None = None
    contact_name: str | None = None
    contact_email: str | None = None
    url: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MirroredInvoiceGone:
    """A mirrored invoice was deleted where it was kept; what it was about is not said.

    It is void from this version on, also where it was not known before. Only a higher version brings it back.
    """

    object_id: str
    version: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionState:
    """What the provider says of the link itself (consent ended, password changed)."""

    object_id: str
    version: int
    health: ConnectionHealth
    reason: str | None = None


Record: TypeAlias = (
    BankTransaction
    | PendingSnapshot
    | BankAccount
    | Payment
    | Refund
    | Dispute
    | Payout
    | PayoutItem
    | MirroredInvoice
    | MirroredInvoiceGone
    | ConnectionState
)


@dataclass(frozen=True, slots=True, kw_only=True)
class DomainEvent:
    """Something that changed, to be told to a room. `name` is noun, dot, past participle."""

    room: str
    name: str
    data: dict[str, object] = field(default_factory=dict)
