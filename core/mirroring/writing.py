"""What a wish to write comes to: our invoice as it is now, told to the worker, and what came of it.

The worker asks the provider between `prepare` and `store`, with nothing locked. Payments are given their references
and written down by `prepare`, before anything is sent.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Connection, text
from sqlalchemy.orm import Session

from core import notifications
from core.events import MirroredInvoice, Trust
from core.live import announce
from core.live.feed import announce_all
from core.mirroring import apply as mirroring
from core.mirroring import judging, pushes, sides
from core.mirroring.pushes import Claimed
from core.notifications import Notice
from core.statements import Outcome, Statement

# Beginning of every reference that we give to a payment at the other end.
PREFIX: Final = "LW-"


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A line of our invoice, in minor units."""

    words: str
    quantity: Decimal
    unit_price: int
    net: int
    tax: int
    tax_rate: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class Paid:
    """Part of a payment of ours that is not there yet."""

    reference: str
    amount: int
    paid_on: date
    cash: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What is to be written: `ours` is the row of the invoice, `theirs` that of the mirrored one (None: not there)."""

    kind: pushes.Kind
    wanted: str
    fields: frozenset[str]
    ours: Any
    theirs: Any
    lines: tuple[Line, ...]
    payments: tuple[Paid, ...]


_OURS = (
    "SELECT invoices.id, invoices.seller_id, number, invoices.status, invoices.currency, total, amount_paid, "
    "issue_date, due_date, reference, reverse_charge, rounding, contacts.name AS customer_name, "
    "contacts.email AS customer_email FROM invoices JOIN contacts ON contacts.id = invoices.contact_id "
    "WHERE invoices.id = :id"
)


def prepare(session: Session, push: Claimed, now: datetime) -> Job | None:
    """What a wish in hand comes to now. None: there is nothing to write any more, and the wish is ended."""
    link_id = session.scalar(
        text("SELECT id FROM mirror_links WHERE invoice_id = :invoice AND connection_id = :connection"),
        {"invoice": push.invoice_id, "connection": push.connection_id},
    )
    if not pushes.hold(session, push):
        return None
    ours: Any = session.execute(text(_OURS), {"id": push.invoice_id}).one()
    lines = _lines(session, push.invoice_id)
    if link_id is None:
        if push.kind != "create" or ours.status in ("draft", "void"):
            pushes.end(session, push, "stopped", now)
            return None
        return Job(
            kind="create", wanted=push.wanted, fields=frozenset(), ours=ours, theirs=None, lines=lines, payments=()
        )
    found = judging.pair(session, link_id)
    behind = sides.writable(found.compared, found.here, found.there) if found else frozenset()
    kind = pushes.kind_of(behind)
    if found is None or kind is None:
        pushes.end(session, push, "stopped", now)
        return None
    payments: tuple[Paid, ...] = ()
    fields = behind - {"paid"}
    if kind == "payment":
        fields = frozenset({"paid"})
        payments = _payments(session, push, found.here["paid"] - found.there["paid"], now)
        if not payments:
            pushes.end(session, push, "stopped", now, "No payment here is known that is not there already")
            return None
    elif kind == "void":
        fields = frozenset({"void"})
    # Before anything is sent: its answer may be lost, and ours may change meanwhile.
    session.execute(
        text("UPDATE mirror_links SET agreed = CAST(:agreed AS jsonb) WHERE id = :id"),
        {"id": link_id, "agreed": json.dumps(sides.sending(found.compared.agreed, fields - {"paid"}, found.here))},
    )
    wanted = f"{kind}:{sides.digest(found.here)}"
    pushes.aim(session, push, kind, wanted)
    return Job(kind=kind, wanted=wanted, fields=fields, ours=ours, theirs=found.theirs, lines=lines, payments=payments)


def _lines(session: Session, invoice_id: UUID) -> tuple[Line, ...]:
    rows = session.execute(
        text(
            "SELECT description AS words, quantity, unit_price, net, tax, tax_rate FROM invoice_items "
            "WHERE invoice_id = :id ORDER BY position"
        ),
        {"id": invoice_id},
    )
    return tuple(Line(**row._asdict()) for row in rows)


def reference_of(payment_id: UUID, invoice_id: UUID) -> str:
    """Our name for what a payment pays of an invoice, within the 21 characters that every provider takes."""
    return PREFIX + hashlib.sha256(payment_id.bytes + invoice_id.bytes).hexdigest()[:16]


def _payments(session: Session, push: Claimed, missing: int, now: datetime) -> tuple[Paid, ...]:
    """Payments of ours that are not there, oldest first, up to what is missing; each gets its reference.

    What came from there is there. One whose answer was lost is among them until it is known to be there.
    """
    rows = session.execute(
        text(
            "SELECT payments.id, payments.method, payments.occurred_at, sum(allocations.amount)::bigint AS amount "
            "FROM allocations JOIN payments ON payments.id = allocations.payment_id "
            "WHERE allocations.invoice_id = :invoice AND payments.connection_id IS DISTINCT FROM :connection "
            "AND NOT EXISTS (SELECT FROM mirror_payments WHERE mirror_payments.payment_id = payments.id "
            "AND mirror_payments.invoice_id = :invoice AND mirror_payments.connection_id = :connection "
            "AND (origin = 'theirs' OR provider_id IS NOT NULL)) "
            "GROUP BY payments.id, payments.method, payments.occurred_at HAVING sum(allocations.amount) > 0 "
            "ORDER BY payments.occurred_at, payments.id"
        ),
        {"invoice": push.invoice_id, "connection": push.connection_id},
    ).all()
    found: list[Paid] = []
    for row in rows:
        amount = min(row.amount, missing)
        if amount <= 0:
            break
        missing -= amount
        reference = reference_of(row.id, push.invoice_id)
        session.execute(
            text(
                "INSERT INTO mirror_payments (connection_id, reference, payment_id, invoice_id, amount, origin, "
                "created_at) VALUES (:connection, :reference, :payment, :invoice, :amount, 'ours', :now) "
                "ON CONFLICT (connection_id, reference) DO UPDATE SET amount = excluded.amount"
            ),
            {
                "connection": push.connection_id,
                "reference": reference,
                "payment": row.id,
                "invoice": push.invoice_id,
                "amount": amount,
                "now": now,
            },
        )
        cash = row.method not in ("credit_note", "tds_withheld")
        found.append(Paid(reference=reference, amount=amount, paid_on=row.occurred_at.date(), cash=cash))
    return tuple(found)


def store(
    session: Session,
    push: Claimed,
    job: Job,
    record: MirroredInvoice,
    able: Collection[str],
    now: datetime,
    *,
    stopped: bool,
    made: Mapping[str, str],
) -> bool:
    """Take in what is there now, and end the wish. False when it was not ours to end any more.

    What is there is taken in as every news is, so the echo that follows says nothing new. A wish that was `stopped`
    found the other side moved: the look that ends this sees what is left to write.
    """
    outcome = Outcome()
    statement = Statement(
        event_id=push.id,
        connection_id=push.connection_id,
        user_id=push.user_id,
        connector=push.connector,
        trust=Trust.FETCHED,
        record=record,
    )
    mirroring.apply(session.connection(), [statement], outcome)
    mirrored_id = outcome.effects[0].object_id
    announce_all(session, [(event, None) for event, _ in outcome.announcements])
    confirm(session.connection(), push.connection_id, made)
    held = pushes.hold(session, push)
    if held:
        pushes.end(session, push, "stopped" if stopped else "done", now)
    _link(session, push, mirrored_id, job, now, written=held and not stopped)
    judging.look(session, mirrored_id, able, now)
    announce(session, notifications.clear(session, push.invoice_id, [judging.FAILED], now))
    return held


def confirm(connection: Connection, connection_id: UUID, made: Mapping[str, str]) -> None:
    """Payments of ours are there, by our reference with the ids there: so much of what is paid there is our doing.

    It is known from then on as said alike, however little of a wish its lost answers left done.
    """
    for reference, provider_id in sorted(made.items()):
        connection.execute(
            text(
                "WITH known AS (UPDATE mirror_payments SET provider_id = :id WHERE connection_id = :connection "
                "AND reference = :reference AND provider_id IS NULL AND origin = 'ours' "
                "RETURNING invoice_id, amount), "
                "seen AS (INSERT INTO mirror_due (invoice_id) SELECT invoice_id FROM known) "
                "UPDATE mirror_links SET agreed = agreed || jsonb_build_object('paid', "
                "coalesce(CAST(agreed ->> 'paid' AS bigint), 0) + known.amount) FROM known "
                "WHERE mirror_links.invoice_id = known.invoice_id AND mirror_links.connection_id = :connection"
            ),
            {"id": provider_id[:200], "connection": connection_id, "reference": reference},
        )


def _link(session: Session, push: Claimed, mirrored_id: UUID, job: Job, now: datetime, *, written: bool) -> None:
    if job.theirs is None and written:
        ours: Any = session.execute(text(f"{judging.OURS} WHERE id = :id"), {"id": push.invoice_id}).one()
        theirs: Any = session.execute(text(f"{judging.THEIRS} WHERE theirs.id = :id"), {"id": mirrored_id}).one()
        # What we made there is ours, whatever number they gave it.
        judging.join(session, ours, theirs, now)
    elif written:
        session.execute(
            text("UPDATE mirror_links SET written = :wanted WHERE mirrored_id = :id"),
            {"wanted": job.wanted, "id": mirrored_id},
        )


def failed(
    session: Session, push: Claimed, words: str, now: datetime, *, permanent: bool, wait_seconds: float | None
) -> str:
    """Put a wish back or give it up; then its seller is told, once."""
    outcome = pushes.failed(session, push, words, now, permanent=permanent, wait_seconds=wait_seconds)
    if outcome == "failed":
        notice = Notice(
            user_id=push.user_id,
            kind=judging.FAILED,
            subject_kind="invoice",
            subject_id=push.invoice_id,
            title=f"{push.number} could not be written to the other books",
            body=f"{words}. Mend it there or in the connection's settings, then try again on the invoice's page.",
        )
        announce(session, notifications.tell(session, notice, now))
    return outcome
