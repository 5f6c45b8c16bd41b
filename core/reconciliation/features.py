"""What the engine is given, and what can be read from it: references, expected amounts, dates. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import ROUND_HALF_UP, Decimal
from typing import Any
from uuid import UUID

from core.reconciliation.fingerprints import reference_key
from core.reconciliation.weights import Weights


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """Money that came in: a posted credit that nobody has decided on. `identities` as `payers.identities` finds them.

    `source` is the bank account at its connection: two sources may tell of the same money. It is a `word` when its
    seller uploaded it: what a bank tells itself is better known.
    """

    id: UUID
    amount: int
    currency: str
    day: date
    narration: str
    counterparty: str | None = None
    reference: str | None = None
    identities: tuple[tuple[str, str], ...] = ()
    source: str = ""
    number_masked: str | None = None
    word: bool = False

    @property
    def reference_key(self) -> str | None:
        """The bank's reference, where it is one of a kind."""
        return reference_key(self.reference)


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenInvoice:
    """An invoice that takes money. `taxable` is its value without tax, `confirmed` what its buyer said they will pay.

    `links` are ids of payment links and virtual accounts that stand for it. `stopped`: a review holds it. `words`: how
    much of it a seller's word may settle, None where nobody financed it.
    """

    id: UUID
    number: str
    key: str
    due: int
    total: int
    taxable: int
    currency: str
    issue_date: date
    due_date: date
    contact_id: UUID
    confirmed: int | None = None
    irn: str | None = None
    links: tuple[str, ...] = ()
    stopped: bool = False
    words: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Contact:
    """A customer: every name it goes by, and the TDS it is known to deduct, in per cent."""

    id: UUID
    name: str
    names: tuple[str, ...]
    tds_rate: Decimal | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """An account or address that stands for one customer: `given` to them to pay to, or theirs to pay from.

    `bank` are the first four letters of its IFSC, where that is known.
    """

    contact_id: UUID
    given: bool
    bank: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Booked:
    """A payment that is booked and not yet found on a line (kind "payment"), or a payout that is on its way."""

    id: UUID
    kind: str
    amount: int
    currency: str
    day: date
    reference: str | None = None
    # The numbers (normal forms) of what it pays; words of the gateway's name. Either in a line's text speaks for it.
    keys: frozenset[str] = frozenset()
    words: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Book:
    """Everything that one judgement looks at, of one seller.

    `accounts` are by key, see `core.contacts.accounts`. `known` are lines that were decided on or set aside as told
    twice, for rule 0 alone. `remembered` says which contacts an identity was seen with, and how often. `rejected` and
    `undone` are (line, target key) that a person turned down: the first are never proposed again, the second never
    accepted by the engine.
    """

    lines: Sequence[Line]
    invoices: Sequence[OpenInvoice]
    contacts: Mapping[UUID, Contact]
    own_names: frozenset[str] = frozenset()
    known: Sequence[Line] = ()
    booked: Sequence[Booked] = ()
    remembered: Mapping[tuple[str, str], Mapping[UUID, int]] = field(default_factory=dict)
    accounts: Mapping[str, Account] = field(default_factory=dict)
    rejected: frozenset[tuple[UUID, UUID]] = frozenset()
    undone: frozenset[tuple[UUID, UUID]] = frozenset()


@dataclass(slots=True, kw_only=True)
class Candidate:
    """That a line pays these invoices. `raw` is the sum of the weights, before it is held between 0 and 1."""

    line: int
    invoices: tuple[int, ...]
    amounts: tuple[int, ...]
    raw: float
    features: dict[str, Any]

    @property
    def score(self) -> float:
        """The sum of the weights, held between 0 and 1."""
        return min(1.0, max(0.0, self.raw))


def share(amount: int, rate: Decimal) -> int:
    """`rate` per cent of an amount, half up to the minor unit."""
    return int((amount * rate / 100).quantize(Decimal(1), ROUND_HALF_UP))


def relation(line: Line, invoice: OpenInvoice, own_rate: Decimal | None, weights: Weights) -> tuple[str, str | None]:
    """How the amount of a line compares with what is expected of an invoice (rule 4): its name, and the TDS rate."""
    amount, due = line.amount, invoice.due
    if amount == due:
        return "exact", None
    if amount == invoice.confirmed:
        return "confirmed", None
    if amount > due:
        return "over", None
    rate = withheld_rate(invoice, due - amount, own_rate, weights)
    if rate is not None:
        return ("tds_own" if rate == own_rate else "tds"), f"{rate.normalize():f}"
    if due - amount <= min(weights.most_fee, int(due * weights.most_fee_share)):
        return "fee", None
    return "part", None


def withheld_rate(invoice: OpenInvoice, kept: int, own_rate: Decimal | None, weights: Weights) -> Decimal | None:
    """The TDS rate that explains what was kept back of an invoice, the customer's own first; None when none does.

    TDS is taken of the whole amount or of the taxable value, to the minor unit or rounded to the whole one, as payers
    do. Only an invoice of which nothing is paid yet can be explained so.
    """
    if invoice.due != invoice.total:
        return None
    rates = [Decimal(rate) for rate in weights.tds_rates]
    for rate in rates if own_rate is None else [own_rate, *rates]:
        if kept in withheld(invoice, rate):
            return rate
    return None


def withheld(invoice: OpenInvoice, rate: Decimal) -> set[int]:
    """What a rate may keep back of an invoice."""
    exact = {share(base, rate) for base in (invoice.taxable, invoice.due)}
    # To the whole unit of currency: up, and to the nearest.
    return exact | {-(-one // 100) * 100 for one in exact} | {(one + 50) // 100 * 100 for one in exact}


def date_points(line: Line, invoice: OpenInvoice, weights: Weights) -> tuple[float, int]:
    """What the day of a line is worth, and how many days after the due date it is (rule 6)."""
    days = (line.day - invoice.due_date).days
    if days < -weights.days_before and line.day >= invoice.issue_date:
        # A long term and a payer in time: as good as the edge of the window.
        return 0.0, days
    if not -weights.days_before <= days <= weights.days_after or line.day < invoice.issue_date:
        return weights.date_outside, days
    width = weights.days_before if days < 0 else weights.days_after
    return weights.date * (1 - abs(days) / width), days
