"""What a seller's word may settle of an invoice that was financed (marketplace rules 2.3: face is not payable).

A word is what is known by the seller alone (trust 'manual'): a payment by hand, tax that the buyer kept back, a credit
note, a statement that was uploaded. Cash is what a bank or a gateway tells of. Words repay no investor. While the
investors wait for their principal words settle at most what they have no claim on, the part of the face that the buyer
did not confirm; once they have it back (from the buyer, or because the seller bought the claims back) whatever is
still due. Cash is filled in before words, so a word never stands in the way of money: what it no longer settles is its
customer's credit again. What lateness costs comes out of the reserve or from above the face, so no word touches it.

All of it follows from the cash, the terms and the repurchase, so any order of news ends the same. The database holds
the bound as well (migration 0019).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import Connection, text
from sqlalchemy.orm import Session

from core.bulk import array
from core.errors import Conflict
from core.marketplace import repayment_rows, states
from core.marketplace.news import spell
from core.marketplace.receipts import Claim, Receipt, divide
from core.marketplace.states import SETTLED, Financing
from core.payments.merge import Share

# The states of `SETTLED`, for IN ().
SETTLED_SQL = ", ".join(f"'{state.value}'" for state in sorted(SETTLED))


class Financed(Conflict):
    """Investors wait for the money of this invoice: a seller's word does not pay it."""

    code = "invoice_financed"


class InvestorsRepaid(Conflict):
    """Investors were repaid with this money: a seller's hand does not take it from them."""

    code = "investors_repaid"


_TERMS = text(
    f"SELECT {states.COLUMNS}, ARRAY(SELECT DISTINCT paid_at FROM repayments "
    "WHERE payment_id = financings.id AND financing_id = financings.id) AS bought_back FROM financings "
    f"WHERE invoice_id = ANY(CAST(:ids AS uuid[])) AND state IN ({SETTLED_SQL})"
)


def limits(connection: Connection, shares: Mapping[UUID, Sequence[Share]]) -> dict[UUID, int]:
    """What words may settle together of each of these locked invoices that was financed, in minor units.

    `shares` are all the payments that name each invoice. Those that nobody financed, or that no word names, are not
    in the answer.
    """
    asked = [invoice_id for invoice_id, found in shares.items() if any(share.word for share in found)]
    if not asked:
        return {}
    found = {}
    for row in connection.execute(_TERMS, {"ids": array(asked, "uuid")}):
        financing = states.of_row(row)
        terms = repayment_rows.terms(financing)
        receipts = [
            Receipt(
                payment_id=share.payment_id, amount=share.spendable, paid_at=share.occurred_at, name=share.object_id
            )
            for share in shares[financing.invoice_id]
            if not share.word and share.spendable > 0 and share.currency == financing.currency
        ]
        receipts += [
            Receipt(payment_id=financing.id, amount=0, paid_at=at, repurchase=True) for at in sorted(row.bought_back)
        ]
        whole = _whole(financing, terms.principal)
        back = sum(divided.principal for divided in divide(terms, [whole], receipts))
        found[financing.invoice_id] = terms.total if back == terms.principal else terms.total - terms.confirmed
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """What words may settle of a financed invoice, and what they are meant to, in minor units.

    `free` is the part that investors did not finance; `finished`: they have their principal back.
    """

    number: str
    currency: str
    due: int
    free: int
    meant: int
    finished: bool

    @property
    def allowed(self) -> int:
        """How much more may be settled by hand now."""
        return self.due if self.finished else max(0, min(self.due, self.free - self.meant))

    @property
    def why(self) -> str:
        """The rule for this invoice, for people."""
        if self.finished:
            return "Its investors were repaid: what is still due may be settled by hand."
        if self.free == 0:
            return (
                "Its investors financed all of it and wait for their money: nothing of it is settled by hand. "
                "It comes from a bank or a gateway, where it can be seen."
            )
        free = f"{spell(self.free, self.currency)} of this invoice is not part of what investors financed"
        if self.allowed == 0:
            return f"{free}, and is settled already. The rest comes from a bank or a gateway, where it can be seen."
        rest = "" if self.allowed == self.free else f", {spell(self.allowed, self.currency)} of it still"
        return (
            f"{free} and may be settled by hand{rest}: tax kept back, a credit note, cash. The rest is the investors'."
        )


# What a payment that a person aimed at several invoices is meant for is its part of it.
_ROOMS = text(
    "SELECT financings.invoice_id, invoices.number, financings.currency, invoices.amount_due AS due, "
    "face - confirmed_amount AS free, repaid_principal = principal AS finished, coalesce((SELECT sum(amount) FROM ("
    "SELECT net AS amount, currency FROM payments WHERE invoice_id = invoices.id AND trust = 'manual' "
    "UNION ALL SELECT greatest(0, least(target.amount, net - (SELECT coalesce(sum(amount), 0) FROM payment_targets "
    "AS earlier WHERE earlier.payment_id = target.payment_id AND earlier.position < target.position))), currency "
    "FROM payment_targets AS target JOIN payments ON payments.id = target.payment_id "
    "WHERE target.invoice_id = invoices.id AND trust = 'manual') AS words "
    "WHERE words.currency = invoices.currency), 0)::bigint AS meant "
    "FROM financings JOIN invoices ON invoices.id = financings.invoice_id "
    f"WHERE financings.invoice_id = ANY(CAST(:ids AS uuid[])) AND financings.state IN ({SETTLED_SQL}) "
    "ORDER BY financings.invoice_id"
)


def rooms(session: Session | Connection, invoice_ids: Collection[UUID]) -> dict[UUID, Room]:
    """What words may settle of each of these invoices; those that nobody financed are not in the answer."""
    if not invoice_ids:
        return {}
    return {
        row.invoice_id: Room(
            number=row.number,
            currency=row.currency,
            due=row.due,
            free=row.free,
            meant=row.meant,
            finished=row.finished,
        )
        for row in session.execute(_ROOMS, {"ids": array(invoice_ids, "uuid")})
    }


def check(connection: Connection, more: Mapping[UUID, int]) -> None:
    """Raise Financed when words are meant to settle more of a financed invoice than they may.

    `more` is what was just meant for each invoice: that was written, and its invoices are locked.
    """
    for invoice_id, room in rooms(connection, more).items():
        if room.finished or room.meant <= room.free:
            continue
        allowed = max(0, room.free - room.meant + more[invoice_id])
        by_hand = f"at most {spell(allowed, room.currency)}" if allowed else "nothing more"
        raise Financed(
            f"invoice {room.number} was financed by investors, who wait for their money: {by_hand} of it may be "
            "settled by hand, and the rest comes from a bank or a gateway, where it can be seen"
        )


# As a condition on `payments`: what was noted by hand for a financed invoice. No line of a bank is that: the money that
# a bank tells of is the investors' first.
OF_FINANCED = (
    "payments.source = 'manual' AND EXISTS (SELECT FROM payment_targets JOIN financings USING (invoice_id) "
    f"WHERE payment_targets.payment_id = payments.id AND financings.state IN ({SETTLED_SQL}))"
)
_LINKED = text(
    "SELECT invoices.number "
    "FROM unnest(CAST(:payments AS uuid[]), CAST(:invoices AS uuid[])) AS aimed (payment, invoice) "
    "JOIN transaction_payments ON transaction_payments.payment_id = aimed.payment "
    "JOIN payments ON payments.id = aimed.payment AND payments.source = 'manual' "
    "JOIN financings ON financings.invoice_id = aimed.invoice JOIN invoices ON invoices.id = aimed.invoice "
    f"WHERE financings.state IN ({SETTLED_SQL}) LIMIT 1"
)
_REPAID = text(
    "SELECT financings.id, invoices.number, repaid_principal + repaid_interest AS repaid FROM financings "
    "JOIN invoices ON invoices.id = financings.invoice_id "
    f"WHERE financings.invoice_id = ANY(CAST(:ids AS uuid[])) AND financings.state IN ({SETTLED_SQL})"
)


@dataclass(frozen=True, slots=True)
class Taken:
    """What investors had of an invoice and have no more, in minor units."""

    financing_id: UUID
    number: str
    amount: int


def investors_have(connection: Connection, invoice_ids: Collection[UUID]) -> dict[UUID, tuple[str, int]]:
    """What investors were repaid of each of these invoices that they financed, by financing, with its number."""
    if not invoice_ids:
        return {}
    rows = connection.execute(_REPAID, {"ids": array(invoice_ids, "uuid")})
    return {row.id: (row.number, row.repaid) for row in rows}


def taken(before: Mapping[UUID, tuple[str, int]], after: Mapping[UUID, tuple[str, int]]) -> list[Taken]:
    """What investors lost between two looks."""
    return [
        Taken(identity, number, repaid - after[identity][1])
        for identity, (number, repaid) in before.items()
        if after[identity][1] < repaid
    ]


def refuse_taking(before: Mapping[UUID, tuple[str, int]], after: Mapping[UUID, tuple[str, int]]) -> None:
    """Raise InvestorsRepaid when a seller's hand took from investors what a bank or a gateway says they have."""
    if lost := taken(before, after):
        raise InvestorsRepaid(
            f"investors were repaid with this money of invoice {lost[0].number}: it goes back, or elsewhere, where a "
            "bank or a gateway tells of it, or by an operator who says why"
        )


def refuse_linked(connection: Connection, aimed: Mapping[UUID, Sequence[UUID]]) -> None:
    """Raise Financed when one of these words, aimed at these invoices, is money that a bank's line tells of."""
    pairs = [(payment_id, invoice_id) for payment_id, invoices in aimed.items() for invoice_id in invoices]
    if not pairs:
        return
    number = connection.scalar(
        _LINKED,
        {"payments": array((one for one, _ in pairs), "uuid"), "invoices": array((one for _, one in pairs), "uuid")},
    )
    if number is not None:
        raise Financed(
            f"a bank tells of this money, and investors financed invoice {number}: undo the match with the line, "
            "then match the line to the invoice"
        )


def refuse_line(connection: Connection, payment_id: UUID | None) -> None:
    """Raise Financed when a payment that a line is to be linked to was noted by hand for a financed invoice."""
    if connection.scalar(text(f"SELECT 1 FROM payments WHERE id = :id AND {OF_FINANCED}"), {"id": payment_id}):
        raise Financed(
            "this payment was noted by hand for an invoice that investors financed: delete it, then match the line to "
            "the invoice, so that what the bank tells of reaches them"
        )


_STANDING = text(
    "SELECT financing_id, payment_id, amount, paid_at FROM repayments WHERE reversed_by IS NULL "
    "AND financing_id IN (SELECT financing_id FROM repayments WHERE payment_id = :payment AND reversed_by IS NULL) "
    "ORDER BY financing_id, paid_at, sequence"
)


def lean_on(session: Session, payment_id: UUID) -> list[str]:
    """The numbers of the invoices whose investors would have less without what a payment brought them."""
    kept: dict[UUID, list[Receipt]] = {}
    for row in session.execute(_STANDING, {"payment": payment_id}):
        receipt = Receipt(
            payment_id=row.payment_id,
            amount=row.amount,
            paid_at=row.paid_at,
            repurchase=row.payment_id == row.financing_id,
        )
        kept.setdefault(row.financing_id, []).append(receipt)
    if not kept:
        return []
    rows = session.execute(
        text(
            f"SELECT {states.COLUMNS}, invoices.number FROM financings JOIN invoices ON invoices.id = invoice_id "
            "WHERE financings.id = ANY(CAST(:ids AS uuid[])) ORDER BY invoices.number"
        ),
        {"ids": array(kept, "uuid")},
    )
    found = []
    for row in rows:
        without = [receipt for receipt in kept[row.id] if receipt.payment_id != payment_id]
        if _investors_get(states.of_row(row), without) < _investors_get(states.of_row(row), kept[row.id]):
            found.append(row.number)
    return found


def _investors_get(financing: Financing, receipts: Sequence[Receipt]) -> int:
    """Principal and interest together."""
    terms = repayment_rows.terms(financing)
    return sum(one.principal + one.interest for one in divide(terms, [_whole(financing, terms.principal)], receipts))


def _whole(financing: Financing, principal: int) -> Claim:
    """All of the principal as one claim: how it is shared out makes no difference here."""
    return Claim(id=financing.id, investor_id=financing.seller_id, principal=principal)
