"""All receipts of a financing divided, from the first to the last: the waterfall over time (marketplace rules 2.7).

Pure: the same receipts in any order give the same rows. So a payment that is told late, changed or taken back means
to divide all of them anew, and to undo what came out differently.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from uuid import UUID

from core.marketplace import waterfall
from core.marketplace.rules import today
from core.marketplace.waterfall import Owed, Recourse


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What a financing promises. Amounts in minor units, `late_rate` a fraction per year.

    `total` is the invoice's, `confirmed` what the buyer accepted of it, `due` the due date, moved to a working day.
    """

    total: int
    confirmed: int
    principal: int
    due: date
    late_rate: Decimal
    recourse: Recourse


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A slice, as it was bought: `principal` is what comes back."""

    id: UUID
    investor_id: UUID
    principal: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """Money that a payment brought, in minor units. A repurchase brings whatever is owed when it happens."""

    payment_id: UUID
    amount: int
    paid_at: datetime
    name: str = ""
    connection_id: UUID | None = None
    repurchase: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """What one slice gets of a receipt."""

    investment_id: UUID
    investor_id: UUID
    interest: int
    principal: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Divided:
    """A receipt and where it goes: amount = interest + principal + seller + surplus. Shares of nothing are left out."""

    receipt: Receipt
    amount: int
    interest: int
    principal: int
    seller: int
    surplus: int
    shares: tuple[Share, ...]


@dataclass(slots=True)
class _Sums:
    """What the receipts so far have brought and paid."""

    outstanding: list[int]
    counted_to: date
    accrued: int = 0
    received: int = 0
    lateness: int = 0
    principal: int = 0
    seller: int = 0


def divide(terms: Terms, claims: Sequence[Claim], receipts: Sequence[Receipt]) -> list[Divided]:
    """Every receipt divided, in the order of the money itself: its moment, then its name.

    Late interest runs to the day of each receipt, in India, whenever it was told. A repurchase of nothing is left out.
    """
    sums = _Sums([claim.principal for claim in claims], terms.due)
    rows = []
    for receipt in sorted(receipts, key=lambda one: (one.paid_at, one.name, one.payment_id)):
        day = today(receipt.paid_at)
        owed = sum(sums.outstanding)
        sums.accrued += waterfall.late_interest(owed, terms.due, sums.counted_to, day, terms.late_rate)
        sums.counted_to = max(sums.counted_to, day)
        row = _repurchase(claims, receipt, sums) if receipt.repurchase else _receive(terms, claims, receipt, sums)
        if row.amount > 0:
            rows.append(row)
    return rows


def _receive(terms: Terms, claims: Sequence[Claim], receipt: Receipt, sums: _Sums) -> Divided:
    sums.received += receipt.amount
    bears = terms.recourse.reserve_bears_lateness
    room = waterfall.late_room(
        # The reserve is what the buyer accepted beyond the principal; more than that is nobody's reserve. Where the
        # reserve bears nothing, all of the invoice is the seller's.
        face=terms.confirmed if bears else terms.total,
        principal=terms.principal,
        received=sums.received,
        costs=0,
        lateness_paid=sums.lateness,
        recourse=terms.recourse,
    )
    owed = Owed(late_interest=sums.accrued, principal=sum(sums.outstanding))
    first = waterfall.run(receipt.amount, owed, late_room=room)
    sums.lateness += first.paid.late_interest
    sums.principal += first.paid.principal
    # The seller gets the rest of the invoice's total; what was paid above it bears the lateness first.
    borne = max(0, sums.lateness - max(0, sums.received - terms.total))
    reserve = max(0, terms.total - sums.principal - borne - sums.seller)
    split = waterfall.run(
        receipt.amount,
        Owed(late_interest=owed.late_interest, principal=owed.principal, seller=reserve),
        late_room=room,
    )
    sums.seller += split.paid.seller
    return _divided(claims, receipt, sums, split)


def _repurchase(claims: Sequence[Claim], receipt: Receipt, sums: _Sums) -> Divided:
    owed = Owed(late_interest=sums.accrued, principal=sum(sums.outstanding))
    return _divided(claims, receipt, sums, waterfall.run(waterfall.repurchase(owed), owed))


def _divided(claims: Sequence[Claim], receipt: Receipt, sums: _Sums, split: waterfall.Split) -> Divided:
    bought = [claim.principal for claim in claims]
    interest = waterfall.shares(split.paid.late_interest, sums.outstanding, bought)
    principal = waterfall.shares(split.paid.principal, sums.outstanding, bought)
    sums.outstanding = [left - part for left, part in zip(sums.outstanding, principal, strict=True)]
    sums.accrued -= split.paid.late_interest
    return Divided(
        receipt=receipt,
        amount=split.amount,
        interest=split.paid.late_interest,
        principal=split.paid.principal,
        seller=split.paid.seller,
        surplus=split.surplus,
        shares=tuple(
            Share(investment_id=claim.id, investor_id=claim.investor_id, interest=earned, principal=back)
            for claim, earned, back in zip(claims, interest, principal, strict=True)
            if earned or back
        ),
    )
