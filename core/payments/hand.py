"""What every change of a payment by hand goes through: held, checked, settled, told.

Locks: object keys and transactions and payments made by hand (each sorted), then those of `core.payments.settle`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from uuid import UUID

from sqlalchemy import Connection, text
from sqlalchemy.orm import Session

from core import objects
from core.banking import matching
from core.bulk import array
from core.errors import Conflict, Forbidden, Invalid, NotFound
from core.events import DomainEvent, Trust
from core.identity import Actor, Role
from core.live.feed import announce_all
from core.marketplace import repayments, words
from core.marketplace.calendar import Calendar
from core.money import MAX_MINOR
from core.payments import rows
from core.payments.holding import lock_by_hand
from core.payments.merge import PaymentState, Target, parts
from core.payments.settle import lock_invoices, settle
from core.statements import Outcome

MAX_TARGETS = 100
MAX_REFERENCE = 100
MAX_NOTES = 2000
_YEARS = range(2000, 2200)


@dataclass(frozen=True, slots=True)
class NewTarget:
    """An invoice that is to have so much of a payment, in minor units."""

    invoice_id: UUID
    amount: int


def check_seller(actor: Actor) -> None:
    """Raise Forbidden for everybody but sellers."""
    if actor.role is not Role.SELLER:
        raise Forbidden("only sellers write down payments")


def check_amount(field: str, amount: int) -> int:
    """An amount of money that somebody gave. Raises Invalid."""
    if type(amount) is not int or not 0 < amount <= MAX_MINOR:
        raise Invalid(field, f"must be 1 to {MAX_MINOR} minor units")
    return amount


def check_words(field: str, value: str, most: int) -> str:
    """Words without the space around them. Raises Invalid."""
    cleaned = value.strip()
    if len(cleaned) > most:
        raise Invalid(field, f"must have at most {most} characters")
    return cleaned


def moment_of(day: date, now: datetime) -> datetime:
    """When money of that day counts. Raises Invalid for a day to come, wherever it is today."""
    if day.year not in _YEARS or day > (now + timedelta(days=1)).date():
        raise Invalid("date", f"must lie between {_YEARS.start} and today")
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


_FIND = text(
    "SELECT id, source, connection_id, object_id, transaction_id FROM payments "
    "WHERE id = ANY(CAST(:ids AS uuid[])) AND user_id = :user ORDER BY id"
)


def hold(connection: Connection, user_id: UUID, ids: Collection[UUID]) -> dict[UUID, PaymentState]:
    """Payments of a user that nobody else changes until the transaction ends. Raises NotFound.

    Each is held by what its news is taken in under: a gateway's by its object key, a bank's by its transaction, one
    made by hand by a lock of its own.
    """
    found = connection.execute(_FIND, {"ids": array(sorted(ids), "uuid"), "user": user_id}).all()
    if len(found) != len(set(ids)):
        raise NotFound("payment", next(iter(set(ids) - {row.id for row in found})))
    objects.identify(
        connection, [(row.connection_id, "payment", row.object_id) for row in found if row.source == "gateway"]
    )
    lines = [row.transaction_id for row in found if row.transaction_id is not None]
    if lines:
        connection.execute(
            text("SELECT id FROM transactions WHERE id = ANY(CAST(:ids AS uuid[])) ORDER BY id FOR UPDATE"),
            {"ids": array(sorted(lines), "uuid")},
        )
    lock_by_hand(connection, (row.id for row in found if row.source != "gateway" and row.transaction_id is None))
    return rows.load(connection, ids)


def hold_one(connection: Connection, user_id: UUID, payment_id: UUID) -> PaymentState:
    """One payment, held like `hold` does."""
    return hold(connection, user_id, [payment_id])[payment_id]


def check_targets(amount: int, targets: Sequence[NewTarget]) -> None:
    """Raise Invalid unless these share out at most an amount, each invoice once."""
    if len(targets) > MAX_TARGETS:
        raise Invalid("targets", f"must have at most {MAX_TARGETS} invoices")
    for place, target in enumerate(targets):
        check_amount(f"targets.{place}.amount", target.amount)
        if target.invoice_id in {earlier.invoice_id for earlier in targets[:place]}:
            raise Invalid(f"targets.{place}.invoice_id", "stands more than once")
    if sum(target.amount for target in targets) > amount:
        raise Invalid("targets", f"the invoices get more than the payment of {amount} minor units has")


def aim(connection: Connection, state: PaymentState, targets: Sequence[NewTarget]) -> None:
    """Let a held payment pay these invoices, after looking at them under their locks.

    They are the same customer's and in the payment's currency; one that the payment does not pay yet must be due.
    Raises NotFound, Invalid and Conflict.
    """
    wanted = {target.invoice_id for target in targets}
    invoices = lock_invoices(connection, wanted | state.named)
    for place, target in enumerate(targets):
        invoice = invoices.get(target.invoice_id)
        if invoice is None or invoice["seller_id"] != state.user_id:
            raise NotFound("invoice", target.invoice_id)
        at = f"targets.{place}.invoice_id"
        if invoice["currency"] != state.currency:
            raise Invalid(at, f"is in {invoice['currency']} and the payment in {state.currency}")
        if state.contact_id is None:
            state.contact_id = invoice["contact_id"]
        if invoice["contact_id"] != state.contact_id:
            raise Invalid(at, "is another customer's than the payment")
        if target.invoice_id not in state.named and invoice["status"] not in {"open", "partial"}:
            raise Conflict(f"invoice {invoice['number'] or '(a draft)'} is {invoice['status']} and takes no payment")
    state.decide(Target(target.invoice_id, target.amount) for target in targets)


def finish(
    session: Session, states: Iterable[PaymentState], now: datetime, calendar: Calendar | None
) -> dict[UUID, PaymentState]:
    """Write payments that were changed by hand with all that follows from them, and announce it.

    Raises Financed for a word that says too much, and InvestorsRepaid.
    """
    connection = session.connection()
    held = {state.id: state for state in states}
    outcome = Outcome()
    more, aimed = _more(held, _meant(connection, held))
    words.refuse_linked(connection, aimed)
    settle(connection, held, {}, outcome, resolve=False)
    named = list(outcome.settled)
    had = words.investors_have(connection, named)
    matching.refresh(connection, outcome)
    repayments.collect(connection, outcome, now, calendar)
    words.refuse_taking(had, words.investors_have(connection, named) if had else {})
    # Under the invoices' locks, once their repayments stand: what investors still wait for is known then.
    words.check(connection, more)
    rooms = sorted({event.room for event, _ in outcome.announcements if event.room.startswith("user:")})
    outcome.announcements += [(DomainEvent(room=room, name="dashboard.updated", data={}), None) for room in rooms]
    announce_all(connection, outcome.announcements)
    return held


def _meant(connection: Connection, states: Mapping[UUID, PaymentState]) -> dict[UUID, dict[UUID, int]]:
    """What each of these words was meant to bring each invoice before it was changed, by payment."""
    by_hand = [identity for identity, state in states.items() if state.trust == "manual" and state.had]
    if not by_hand:
        return {}
    rows = connection.execute(
        text("SELECT id, net FROM payments WHERE id = ANY(CAST(:ids AS uuid[]))"), {"ids": array(by_hand, "uuid")}
    )
    return {row.id: parts(row.net, states[row.id].had) for row in rows}


def _more(
    states: Mapping[UUID, PaymentState], before: Mapping[UUID, Mapping[UUID, int]]
) -> tuple[dict[UUID, int], dict[UUID, list[UUID]]]:
    """What words are newly meant to bring, by invoice, and the invoices that each of them is.

    `before` is what each was meant to bring until now.
    """
    more: dict[UUID, int] = {}
    aimed: dict[UUID, list[UUID]] = {}
    for identity, state in states.items():
        if state.trust == "manual":
            had = before.get(identity, {})
            for invoice_id, brings in state.parts.items():
                if brings > had.get(invoice_id, 0):
                    more[invoice_id] = more.get(invoice_id, 0) + brings
                    aimed.setdefault(identity, []).append(invoice_id)
    return more, aimed


def is_hint(state: PaymentState) -> bool:
    """Whether a payment is not confirmed yet."""
    return state.trust == Trust.HINT
