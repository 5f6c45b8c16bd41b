"""Pure rules of payments: which statement holds, what is taken back, and how invoices are filled."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal
from uuid import UUID

from core.events import (
    RECEIVER,
    Dispute,
    DisputeStatus,
    Payment,
    PaymentStatus,
    Reference,
    Refund,
    RefundStatus,
    Trust,
)
from core.invoicing.references import candidate_keys
from core.statements import supersedes

# Postgres keeps a cancelled payment (a match that was undone) above every provider's word.
_RANK = {status.value: rank for rank, status in enumerate(PaymentStatus)} | {"cancelled": len(PaymentStatus)}
_ADJUSTMENT_RANK = {
    "refund": {status.value: rank for rank, status in enumerate(RefundStatus)},
    "dispute": {status.value: rank for rank, status in enumerate(DisputeStatus)},
}

# What the winning statement sets; also the content that decides between statements of equal age.
DETAILS = (
    "amount",
    "currency",
    "occurred_at",
    "method",
    "payer_name",
    "payer_email",
    "bank_reference",
    "description",
    "fee",
    "failure",
)


_UNKNOWN = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Target:
    """An invoice that a payment is to pay up to `amount`, in minor units. `allocated` is what it pays of it now."""

    invoice_id: UUID
    amount: int
    allocated: int = 0


def parts(spendable: int, targets: Sequence[Target]) -> dict[UUID, int]:
    """What of a payment each of its targets may have: the first ones first, each up to its amount."""
    found = {}
    for target in targets:
        found[target.invoice_id] = min(target.amount, spendable)
        spendable -= found[target.invoice_id]
    return found


@dataclass(slots=True, kw_only=True)
class PaymentState:
    """A payment as it will be written. `exists` says whether it has a row already.

    One whose use a person `decided` pays its targets and nothing else; any other one pays `invoice_id`, without limit.
    """

    id: UUID
    user_id: UUID
    connection_id: UUID | None
    connector: str | None
    object_id: str | None
    exists: bool
    source: str = "gateway"
    transaction_id: UUID | None = None
    version: int = 0
    status: str = "pending"
    amount: int = 0
    currency: str = ""
    refunded: int = 0
    deducted: int = 0
    allocated: int = 0
    invoice_references: list[Reference] = field(default_factory=list)
    reference_keys: list[str] = field(default_factory=list)
    invoice_id: UUID | None = None
    method: str | None = None
    payer_name: str | None = None
    payer_email: str | None = None
    bank_reference: str | None = None
    description: str | None = None
    fee: int | None = None
    # What the items of payouts say that the gateway kept of it.
    named_fee: int | None = None
    failure: str | None = None
    occurred_at: datetime = _UNKNOWN
    trust: str = Trust.HINT
    contact_id: UUID | None = None
    created_by: UUID | None = None
    deleted_at: datetime | None = None
    notes: str = ""
    decided: bool = False
    # What of `refunded` was given back by hand.
    given_back: int = 0
    targets: tuple[Target, ...] = ()
    stated: bool = False
    # The status it had before this transaction, None when it is new; and its targets and the invoices it named.
    was: str | None = None
    had: tuple[Target, ...] = ()
    named: frozenset[UUID] = frozenset()

    def decide(self, targets: Iterable[Target]) -> None:
        """Let it pay these, in this order, and nothing else."""
        self.decided, self.invoice_id, self.targets = True, None, tuple(targets)

    @property
    def net(self) -> int:
        """What is left of it after refunds and lost disputes; nothing until it has succeeded."""
        return self.amount - self.refunded - self.deducted if self.status == "succeeded" else 0

    @property
    def kept(self) -> int | None:
        """What the gateway kept of it: as the payment itself says, or else as its payout does."""
        return self.named_fee if self.fee is None else self.fee

    @property
    def spendable(self) -> int:
        """What may pay invoices. A hint never moves money."""
        return 0 if self.trust == Trust.HINT else self.net

    def standing(self) -> tuple[Any, ...]:
        """Its place among statements, see `supersedes`."""
        return (
            self.trust != Trust.HINT,
            _RANK[self.status],
            self.version,
            *(getattr(self, name) for name in DETAILS),
            self.trust,
        )

    def hear(self, record: Payment, trust: Trust) -> Literal["changed", "restated", "nothing"]:
        """Take in a statement; return what it did. "restated": newer or better known, and nothing else is different."""
        confirmed = trust != Trust.HINT
        if confirmed and self.stated and self.trust == Trust.HINT:
            # Where a hint pointed must not decide where confirmed money goes.
            self.invoice_references, self.reference_keys, self.invoice_id = [], [], None
            if not self.decided:
                self.contact_id = None
        changed = (confirmed or self.trust == Trust.HINT) and self._learn(record.references)
        values = {
            "amount": record.money.minor,
            "currency": record.money.currency,
            "occurred_at": record.occurred_at,
            "method": record.method,
            "payer_name": record.payer_name,
            "payer_email": record.payer_email,
            "bank_reference": record.bank_reference,
            "description": record.description,
            "fee": None if record.fee is None else record.fee.minor,
            "failure": record.failure,
        }
        standing = (confirmed, _RANK[record.status], record.version, *values.values(), trust.value)
        if self.stated:
            before = self.standing()
            if not supersedes(standing, before):
                return "changed" if changed else "nothing"
            changed = changed or standing[:2] != before[:2] or standing[3:-1] != before[3:-1]
        else:
            changed = self.stated = True
        self.status, self.version, self.trust = record.status.value, record.version, trust.value
        for name, value in values.items():
            setattr(self, name, value)
        return "changed" if changed else "restated"

    def _learn(self, references: Iterable[Reference]) -> bool:
        known = set(self.invoice_references)
        if known.issuperset(references):
            return False
        self.invoice_references = sorted(known.union(references))
        self.reference_keys = list(
            dict.fromkeys(key for reference in self.naming for key in candidate_keys(reference.text))
        )
        return True

    @property
    def naming(self) -> list[Reference]:
        """What may name its invoice, best first."""
        return [reference for reference in self.invoice_references if reference.priority != RECEIVER]

    @property
    def receivers(self) -> list[str]:
        """Through what it came, which may name its customer."""
        return [reference.text for reference in self.invoice_references if reference.priority == RECEIVER]

    @property
    def names(self) -> list[UUID]:
        """The invoices that it pays or would pay, the first one first."""
        if self.decided:
            return [target.invoice_id for target in self.targets]
        return [] if self.invoice_id is None else [self.invoice_id]

    @property
    def parts(self) -> dict[UUID, int]:
        """What each invoice that it names may have of it."""
        if self.decided:
            return parts(self.spendable, self.targets)
        return {} if self.invoice_id is None else {self.invoice_id: self.spendable}

    def limit_returns(self, refunded: int, deducted: int) -> None:
        """Set what the provider says came back, besides what was given back by hand; never more than there was."""
        self.refunded = min(refunded + self.given_back, self.amount)
        self.deducted = min(deducted, self.amount - self.refunded)


def adjustment_standing(row: Mapping[str, Any]) -> tuple[Any, ...]:
    """The place of a refund or dispute among statements about it."""
    return (
        True,
        _ADJUSTMENT_RANK[row["kind"]][row["status"]],
        row["version"],
        row["amount"],
        row["taken"],
        row["currency"],
        row["payment_object_id"],
        row["reason"],
        row["respond_by"],
        row["occurred_at"],
    )


def adjustment_values(record: Refund | Dispute) -> dict[str, Any]:
    """The columns that a refund or dispute sets."""
    common = {
        "object_id": record.object_id,
        "payment_object_id": record.payment_id,
        "version": record.version,
        "status": record.status.value,
        "amount": record.money.minor,
        "currency": record.money.currency,
        "reason": record.reason,
        "occurred_at": record.occurred_at,
    }
    if isinstance(record, Refund):
        taken = record.money.minor if record.status is RefundStatus.SUCCEEDED else 0
        return common | {"kind": "refund", "taken": taken, "respond_by": None}
    return common | {"kind": "dispute", "taken": _taken_by(record), "respond_by": record.respond_by}


def _taken_by(dispute: Dispute) -> int:
    match dispute.status:
        case DisputeStatus.WON:
            return 0
        # A provider that reports a lost dispute without a figure has taken what was disputed.
        case DisputeStatus.LOST:
            return dispute.deducted.minor or dispute.money.minor
        case _:
            return dispute.deducted.minor


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """A payment that names an invoice, as far as filling the invoice needs it. `spendable` is what it may have.

    It is a `word` when its seller alone tells of it.
    """

    payment_id: UUID
    occurred_at: datetime
    object_id: str
    currency: str
    spendable: int
    word: bool = False


def fill(total: int, currency: str, shares: Sequence[Share], words: int | None = None) -> dict[UUID, int]:
    """How much each payment pays of an invoice: the earliest first, until the total is reached.

    The order is that of the money, not of its news, so any order of arrival ends with the same allocation.
    What is over stays with its payment, unapplied. Another currency pays nothing. Of a financed invoice words settle
    at most `words` together, and only what no cash does (`core.marketplace.words`).
    """
    left = total
    paid = {}
    for share in sorted(
        shares,
        key=lambda share: (words is not None and share.word, share.occurred_at, share.object_id, share.payment_id),
    ):
        amount = min(share.spendable, left) if share.currency == currency else 0
        if words is not None and share.word:
            amount = min(amount, words)
            words -= amount
        if amount > 0:
            paid[share.payment_id] = amount
            left -= amount
    return paid


def status_of(total: int, paid: int) -> str:
    """The state of an issued invoice by what is paid of it."""
    if paid == 0:
        return "open"
    return "paid" if paid == total else "partial"
