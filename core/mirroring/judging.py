"""Looking at what changed: mirrored invoices find ours, both sides are compared, and what is behind is to be written.

`core.mirroring.sides` says who moved. A link's row is locked before either side is read, so that the last look sees
the newest of both. Locks: the link, last of all; invoices and mirrored invoices are only read.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

from core import notifications
from core.bulk import array
from core.events import DomainEvent
from core.ids import new_id
from core.invoicing.references import number_key
from core.live import announce
from core.mirroring import pushes, sides
from core.mirroring.sides import Compared, Side
from core.notifications import Notice

BATCH: Final = 100
NOTICE: Final = "mirror.conflict"
FAILED: Final = "mirror.failed"

# As it is shown: what was deleted there is void.
THEIRS = """
    SELECT theirs.id, theirs.user_id, theirs.connection_id, theirs.object_id, theirs.number, theirs.currency,
           theirs.direction, theirs.kind, theirs.issued_on, theirs.due_on, theirs.total, theirs.contact_name,
           theirs.contact_email,
           CASE WHEN gone.id IS NULL THEN theirs.status ELSE 'void' END AS status,
           CASE WHEN gone.id IS NULL THEN theirs.due ELSE 0 END AS due
    FROM mirrored_invoices AS theirs
    LEFT JOIN mirrored_invoices_gone AS gone ON gone.id = theirs.id AND gone.version >= theirs.version
"""
OURS = (
    "SELECT id, seller_id, number, number_key, status, currency, total, amount_paid, issue_date, due_date, issued_at "
    "FROM invoices"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """A link with both sides as they are now."""

    link: Any
    ours: Any
    theirs: Any
    here: Side
    there: Side
    compared: Compared


def take(session: Session, able: Collection[str], now: datetime) -> int:
    """Look at some of what changed; return how many rows were taken. `able` are the connectors that can write."""
    rows = session.execute(
        text(
            "DELETE FROM mirror_due WHERE id IN (SELECT id FROM mirror_due ORDER BY id LIMIT :most "
            "FOR UPDATE SKIP LOCKED) RETURNING invoice_id, mirrored_id"
        ),
        {"most": BATCH},
    ).all()
    for mirrored_id in sorted({row.mirrored_id for row in rows if row.mirrored_id}):
        look(session, mirrored_id, able, now)
    for invoice_id in sorted({row.invoice_id for row in rows if row.invoice_id}):
        _look_at_ours(session, invoice_id, able, now)
    return len(rows)


def look(session: Session, mirrored_id: UUID, able: Collection[str], now: datetime) -> None:
    """Look at a mirrored invoice: which of ours it is, and where the two differ."""
    theirs: Any = session.execute(text(f"{THEIRS} WHERE theirs.id = :id"), {"id": mirrored_id}).one_or_none()
    if theirs is None:
        return
    key = number_key(theirs.number or "")
    session.execute(
        text(
            "INSERT INTO mirror_numbers (mirrored_id, user_id, number_key) VALUES (:id, :user, :key) "
            "ON CONFLICT (mirrored_id) DO UPDATE SET number_key = excluded.number_key"
        ),
        {"id": mirrored_id, "user": theirs.user_id, "key": key},
    )
    link_id = session.scalar(text("SELECT id FROM mirror_links WHERE mirrored_id = :id"), {"id": mirrored_id})
    if link_id is None and key:
        ours = session.execute(
            text(f"{OURS} WHERE seller_id = :seller AND number_key = :key"), {"seller": theirs.user_id, "key": key}
        ).one_or_none()
        link_id = join(session, ours, theirs, now) if ours is not None else None
    if link_id is not None:
        judge(session, link_id, able, now)


def _look_at_ours(session: Session, invoice_id: UUID, able: Collection[str], now: datetime) -> None:
    ours: Any = session.execute(text(f"{OURS} WHERE id = :id"), {"id": invoice_id}).one_or_none()
    if ours is None or ours.number is None:
        return
    found = session.execute(
        text(
            f"{THEIRS} JOIN mirror_numbers ON mirror_numbers.mirrored_id = theirs.id "
            "WHERE mirror_numbers.user_id = :seller AND mirror_numbers.number_key = :key "
            "AND NOT EXISTS (SELECT FROM mirror_links WHERE mirror_links.mirrored_id = theirs.id) ORDER BY theirs.id"
        ),
        {"seller": ours.seller_id, "key": ours.number_key},
    ).all()
    for theirs in found:
        join(session, ours, theirs, now)
    links = session.scalars(
        text("SELECT id FROM mirror_links WHERE invoice_id = :id ORDER BY id"), {"id": invoice_id}
    ).all()
    for link_id in links:
        judge(session, link_id, able, now)
    pushes.want_new(session, ours, able, now)


def join(session: Session, ours: Any, theirs: Any, now: datetime, *, by: UUID | None = None) -> UUID | None:
    """Link two invoices where that is right and free, and nobody took them apart; the link's id or None."""
    fits = (
        theirs.user_id == ours.seller_id
        and theirs.currency == ours.currency
        and (theirs.direction, theirs.kind) == ("sales", "invoice")
        and ours.number is not None
    )
    if not fits:
        return None
    if by is None and session.scalar(
        text("SELECT 1 FROM mirror_apart WHERE invoice_id = :ours AND mirrored_id = :theirs"),
        {"ours": ours.id, "theirs": theirs.id},
    ):
        return None
    made: UUID | None = session.scalar(
        text(
            "INSERT INTO mirror_links (id, invoice_id, mirrored_id, connection_id, user_id, made_by, created_at, "
            "updated_at) VALUES (:id, :ours, :theirs, :connection, :user, :by, :now, :now) "
            "ON CONFLICT DO NOTHING RETURNING id"
        ),
        {
            "id": new_id(),
            "ours": ours.id,
            "theirs": theirs.id,
            "connection": theirs.connection_id,
            "user": theirs.user_id,
            "by": by,
            "now": now,
        },
    )
    if made is not None:
        tell(session, theirs.user_id, ours, theirs, "agreed", [])
    return made


def pair(session: Session, link_id: UUID) -> Pair | None:
    """A link, locked, with both sides as they are now; None where it was taken apart."""
    link: Any = session.execute(
        text("SELECT * FROM mirror_links WHERE id = :id FOR UPDATE"), {"id": link_id}
    ).one_or_none()
    if link is None:
        return None
    ours = session.execute(text(f"{OURS} WHERE id = :id"), {"id": link.invoice_id}).one()
    theirs = session.execute(text(f"{THEIRS} WHERE theirs.id = :id"), {"id": link.mirrored_id}).one()
    here, there = sides.ours(ours), sides.theirs(theirs)
    return Pair(
        link=link, ours=ours, theirs=theirs, here=here, there=there, compared=sides.compare(link.agreed, here, there)
    )


def judge(session: Session, link_id: UUID, able: Collection[str], now: datetime, *, by: UUID | None = None) -> None:
    """Compare both sides of a link, write down where they differ, and want written what is behind there.

    `by` is who asked for it. Only what is different from the last look is written and told.
    """
    found = pair(session, link_id)
    if found is None:
        return
    link, compared = found.link, found.compared
    if found.ours.currency != found.theirs.currency:
        # It was the same once. Amounts of two currencies are not compared.
        session.execute(text("DELETE FROM mirror_links WHERE id = :id"), {"id": link_id})
        return
    known = {
        row.field: (row.moved, row.ours, row.theirs)
        for row in session.execute(
            text("SELECT field, moved, ours, theirs FROM mirror_differences WHERE link_id = :id"), {"id": link_id}
        )
    }
    different = {name: (moved, found.here[name], found.there[name]) for name, moved in compared.moved.items()}
    if different != known:
        _write(session, link_id, {name for name in known if different.get(name) != known[name]}, different, known, now)
    if (compared.agreed, compared.state) != (link.agreed, link.state):
        session.execute(
            text(
                "UPDATE mirror_links SET agreed = CAST(:agreed AS jsonb), state = :state, updated_at = :now, "
                "written = CASE WHEN :state = 'agreed' THEN NULL ELSE written END WHERE id = :id"
            ),
            {"id": link_id, "agreed": json.dumps(compared.agreed), "state": compared.state, "now": now},
        )
    if different != known:
        tell(session, link.user_id, found.ours, found.theirs, compared.state, sorted(different))
        _notice(session, found, now)
    behind = sides.writable(compared, found.here, found.there)
    pushes.want(session, link, sides.digest(found.here), behind, able, now, by=by)


def _write(
    session: Session,
    link_id: UUID,
    stale: set[str],
    now_different: dict[str, Any],
    known: dict[str, Any],
    now: datetime,
) -> None:
    if stale:
        session.execute(
            text("DELETE FROM mirror_differences WHERE link_id = :id AND field = ANY(CAST(:fields AS text[]))"),
            {"id": link_id, "fields": array(sorted(stale), "text")},
        )
    for name, (moved, ours, theirs) in now_different.items():
        if known.get(name) != (moved, ours, theirs):
            session.execute(
                text(
                    "INSERT INTO mirror_differences (link_id, field, moved, ours, theirs, since) VALUES "
                    "(:id, :field, :moved, CAST(:ours AS jsonb), CAST(:theirs AS jsonb), :now)"
                ),
                {
                    "id": link_id,
                    "field": name,
                    "moved": moved,
                    "ours": json.dumps(ours),
                    "theirs": json.dumps(theirs),
                    "now": now,
                },
            )


def tell(session: Session, user_id: UUID, ours: Any, theirs: Any, state: str, fields: list[str]) -> None:
    """Tell the seller, and whoever looks at the invoice, how it stands with its mirror."""
    data: dict[str, object] = {
        "invoice_id": str(ours.id),
        "mirrored_invoice_id": str(theirs.id),
        "number": ours.number,
        "state": state,
        "fields": fields,
    }
    announce(session, [DomainEvent(room=f"user:{user_id}", name="mirror.compared", data=data)])


def _notice(session: Session, found: Pair, now: datetime) -> None:
    """A conflict waits for a person; the notice is cleared when there is none any more."""
    if found.compared.state != "conflict":
        end_notice(session, found.ours.id, now)
        return
    words = ", ".join(
        sides.LABELS[name].lower() for name, side in sorted(found.compared.moved.items()) if side == "both"
    )
    notice = Notice(
        user_id=found.link.user_id,
        kind=NOTICE,
        subject_kind="invoice",
        subject_id=found.ours.id,
        title=f"{found.ours.number} says something else in the other books",
        body=f"Both sides changed since they last agreed: {words}. Choose on the invoice's page which one holds.",
    )
    announce(session, notifications.tell(session, notice, now))


def end_notice(session: Session, invoice_id: UUID, now: datetime) -> None:
    """There is no conflict any more."""
    announce(session, notifications.clear(session, invoice_id, [NOTICE], now))
