"""Statements become books: every record of a batch takes effect in the caller's one transaction."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import assert_never
from uuid import UUID

from sqlalchemy import Connection, text

from core.banking import apply as banking_apply
from core.banking import matching
from core.bulk import Rows, pipelined
from core.events import (
    BankAccount,
    BankTransaction,
    ConnectionState,
    Dispute,
    DomainEvent,
    MirroredInvoice,
    MirroredInvoiceGone,
    Payment,
    Payout,
    PayoutItem,
    PendingSnapshot,
    Refund,
)
from core.live.feed import announce_all
from core.marketplace import repayments
from core.marketplace.calendar import Calendar
from core.mirroring import apply as mirroring_apply
from core.mirroring import echoes
from core.payments import apply as payments_apply
from core.statements import Effect, EffectKind, Outcome, Statement

_EFFECTS = Rows(event_id="uuid", object_kind="text", object_id="uuid", effect="text")

_STORE_EFFECTS = text(_EFFECTS.insert("event_effects", "ON CONFLICT DO NOTHING"))

_WEIGHT: Mapping[EffectKind, int] = {"created": 0, "updated": 1, "unchanged": 2}

_Area = Callable[[Connection, Sequence[Statement], Outcome], None]


def _area(statement: Statement) -> _Area:
    match statement.record:
        case Payment() | Refund() | Dispute() | PayoutItem():
            return payments_apply.apply
        case BankTransaction() | PendingSnapshot():
            return banking_apply.apply
        case BankAccount():
            return banking_apply.apply_accounts
        case Payout():
            return banking_apply.apply_payouts
        case MirroredInvoice() | MirroredInvoiceGone():
            return mirroring_apply.apply
        case ConnectionState():
            return banking_apply.apply_health
        case _:
            assert_never(statement.record)


# Always the same order, so that two batches take their locks in the same order.
_ORDER: tuple[_Area, ...] = (
    banking_apply.apply_accounts,
    payments_apply.apply,
    banking_apply.apply,
    banking_apply.apply_payouts,
    mirroring_apply.apply,
    banking_apply.apply_health,
)


def apply(
    connection: Connection,
    statements: Sequence[Statement],
    *,
    most_of_a_kind: int | None = None,
    now: datetime | None = None,
    calendar: Calendar | None = None,
) -> Outcome:
    """Apply a batch and write what it announces and effects it had; the caller commits.

    Of what is announced more often than `most_of_a_kind` times to one room by one name, one is told: months of
    payments that are pulled at once are no news each, and whoever hears of one looks again.
    Money for financed invoices is passed on in the same transaction; `now` (the transaction's moment when left out)
    is when the ledger records that, and `calendar` says which days banks work (without it only the national holidays
    are none), by which a payment is in its grace or late.
    Repeats are harmless. Raises what the database raises when a statement cannot be held by the books.
    """
    outcome = Outcome()
    by_area: dict[_Area, list[Statement]] = {}
    heard = echoes.split(connection, statements)
    for statement in heard.news:
        by_area.setdefault(_area(statement), []).append(statement)
        if isinstance(statement.record, PayoutItem):
            # Its payment was told its fee; then the payout is told what it holds.
            by_area.setdefault(banking_apply.apply_payouts, [])
    for area in _ORDER:
        if area in by_area:
            area(connection, by_area[area], outcome)
    matching.refresh(connection, outcome)
    repayments.collect(connection, outcome, now, calendar)
    echoes.remember(connection, heard)
    _announce_dashboards(outcome)
    if most_of_a_kind is not None:
        outcome.announcements = fewer(outcome.announcements, most_of_a_kind)
    # What is booked now may be on a line of the bank already.
    told = {one.user_id for one in statements if isinstance(one.record, Payment | Payout)}
    with pipelined(connection):
        matching.ask_about_money(connection, told)
        _store_effects(connection, outcome)
        announce_all(connection, outcome.announcements)
    return outcome


def _store_effects(connection: Connection, outcome: Outcome) -> None:
    if not outcome.effects:
        return
    # One row for each event and object: the most that the event did to it is what it did.
    most: dict[tuple[UUID, str, UUID], Effect] = {}
    for effect in sorted(outcome.effects, key=lambda effect: _WEIGHT[effect.effect]):
        most.setdefault((effect.event_id, effect.object_kind, effect.object_id), effect)
    connection.execute(
        _STORE_EFFECTS,
        _EFFECTS.arrays(
            event_id=[effect.event_id for effect in most.values()],
            object_kind=[effect.object_kind for effect in most.values()],
            object_id=[effect.object_id for effect in most.values()],
            effect=[effect.effect for effect in most.values()],
        ),
    )


def fewer(announcements: Sequence[tuple[DomainEvent, UUID | None]], most: int) -> list[tuple[DomainEvent, UUID | None]]:
    """Announcements without those of which a room would hear more than `most` by one name: of these the first."""
    counts = Counter((event.room, event.name) for event, _ in announcements)
    kept, told = [], set()
    for event, source in announcements:
        kind = (event.room, event.name)
        if counts[kind] <= most or kind not in told:
            kept.append((event, source))
        told.add(kind)
    return kept


def _announce_dashboards(outcome: Outcome) -> None:
    """Tell each person once in a batch that figures moved."""
    rooms = {event.room for event, _ in outcome.announcements if event.room.startswith("user:")}
    outcome.announcements.extend(
        (DomainEvent(room=room, name="dashboard.updated", data={}), None) for room in sorted(rooms)
    )
