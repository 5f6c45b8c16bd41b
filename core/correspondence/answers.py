"""What a customer says of an invoice on the page behind its link: that it is right, or that something is wrong."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

from core import audit, notifications
from core.correspondence.letters import Facts
from core.errors import Conflict, Invalid
from core.events import DomainEvent
from core.ids import new_id
from core.live import announce
from core.notifications.store import Notice

MAX_REASON = 1000
DISPUTED = "invoice.disputed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The newest word of the customer. `current` says whether the invoice is still the one they spoke of."""

    answer: Literal["agreed", "disputed"]
    reason: str
    at: datetime
    current: bool


def newest(session: Session, invoice_id: UUID) -> Answer | None:
    """What the customer said last, or None."""
    row = session.execute(
        text(
            "SELECT answer, reason, at, NOT EXISTS (SELECT FROM audit_log WHERE subject_id = :id "
            "AND subject_kind = 'invoice' AND action = 'invoice.updated' AND audit_log.at > invoice_answers.at) "
            "AS current FROM invoice_answers WHERE invoice_id = :id ORDER BY id DESC LIMIT 1"
        ),
        {"id": invoice_id},
    ).one_or_none()
    return None if row is None else Answer(**row._asdict())


def answer(session: Session, found: Facts, said: str, reason: str, now: datetime) -> bool:
    """Keep what the customer says, and tell the seller; False where they said just that already.

    `found` is the invoice, locked. Raises Invalid, or Conflict for an invoice that was cancelled.
    """
    if said not in ("agreed", "disputed"):
        raise Invalid("answer", "must be agreed or disputed")
    words = reason.replace("\x00", "").replace("\r\n", "\n").strip() if said == "disputed" else ""
    if said == "disputed" and not 0 < len(words) <= MAX_REASON:
        raise Invalid("reason", f"must have 1 to {MAX_REASON} characters")
    if found.status in ("void", "draft"):
        raise Conflict("this invoice was cancelled; nothing is owed")
    known = newest(session, found.invoice_id)
    if known is not None and known.current and (known.answer, known.reason) == (said, words):
        return False
    session.execute(
        text(
            "INSERT INTO invoice_answers (id, invoice_id, answer, reason, version, at) "
            "SELECT :id, id, :answer, :reason, version, :now FROM invoices WHERE id = :invoice"
        ),
        {"id": new_id(), "invoice": found.invoice_id, "answer": said, "reason": words, "now": now},
    )
    data = {"reason": words} if words else {}
    audit.record(session, None, f"invoice.{said}", "invoice", found.invoice_id, data, now)
    announce(session, [*_told(session, found, said, words, now), *_news(found, said)])
    return True


def _told(session: Session, found: Facts, said: str, words: str, now: datetime) -> list[DomainEvent]:
    """The seller's notification: opened by a dispute, ended by an agreement."""
    if said == "agreed":
        return notifications.clear(session, found.invoice_id, [DISPUTED], now)
    notice = Notice(
        user_id=found.seller_id,
        kind=DISPUTED,
        subject_kind="invoice",
        subject_id=found.invoice_id,
        title=f"{found.customer} says that something is wrong with {found.number}",
        body=words,
    )
    return notifications.tell(session, notice, now)


def _news(found: Facts, said: str) -> list[DomainEvent]:
    data: dict[str, object] = {"invoice_id": str(found.invoice_id), "number": found.number, "answer": said}
    return [DomainEvent(room=f"user:{found.seller_id}", name="invoice.answered", data=data)]


def shape(found: Answer | None) -> dict[str, Any] | None:
    """As pages and the API show it."""
    if found is None:
        return None
    return {"answer": found.answer, "reason": found.reason, "at": found.at, "current": found.current}
