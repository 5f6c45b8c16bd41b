"""Credit notes by mail: with their PDF, in the seller's words, and with the link to the invoice they credit.

The mail is one about the invoice, so what became of it, and that it came back, is said there; the note's own page
shows those that carry it.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

from core import audit, mail
from core.correspondence import letters, sending
from core.correspondence.letters import Facts
from core.errors import Conflict, Forbidden
from core.identity import Actor
from core.invoicing import credit_note_queries
from core.invoicing.links import CustomerLinks
from core.mail import Attached, Mail
from core.marketplace.news import spell

_LATEST = 50


def _own(session: Session, actor: Actor, note_id: UUID) -> tuple[dict[str, Any], Facts]:
    """A note that may be mailed, and its invoice, locked. Raises NotFound, Forbidden, Conflict for a cancelled one."""
    note = credit_note_queries.get_credit_note(session, actor, note_id)
    if note["seller"]["id"] != str(actor.id):
        raise Forbidden("only the seller mails a credit note")
    found = letters.facts(session, UUID(note["invoice"]["id"]), lock=True)
    # Said again under the lock: whoever cancels a note holds its invoice too.
    if session.scalar(text("SELECT status FROM credit_notes WHERE id = :id"), {"id": note_id}) != "issued":
        raise Conflict("a cancelled credit note is not sent")
    return note, found


def _compose(
    session: Session, note: dict[str, Any], found: Facts, links: CustomerLinks, now: datetime, **more: Any
) -> Mail:
    filled = {"credit": spell(note["total"], note["currency"]), "credit_number": note["number"]}
    attached = (Attached(kind="credit_note_pdf", id=UUID(note["id"])),)
    return letters.compose(session, "credit_note", found, links, now.date(), more=filled, attached=attached, **more)


def send(
    session: Session,
    actor: Actor,
    note_id: UUID,
    links: CustomerLinks,
    now: datetime,
    *,
    to: str | None = None,
    message: str = "",
) -> dict[str, Any]:
    """Mail a credit note to its customer, or to whom `to` names. Again is another mail.

    Raises NotFound, Forbidden, Invalid, DayIsFull, or Conflict for one that was cancelled.
    """
    words = sending.own_words(message)
    note, found = _own(session, actor, note_id)
    made = _compose(session, note, found, links, now, to=to, message=words)
    queued = sending.queue(session, found, made, now)
    data = {"to": queued["to"], "mail_id": queued["mail_id"], "number": note["number"]}
    audit.record(session, actor, "credit_note.sent", "credit_note", note_id, data, now)
    audit.record(session, actor, "invoice.credit_sent", "invoice", found.invoice_id, data, now)
    return {**queued, "credit_note_id": str(note_id), "credit_number": note["number"]}


def preview(
    session: Session, actor: Actor, note_id: UUID, links: CustomerLinks, now: datetime, message: str = ""
) -> dict[str, Any]:
    """The mail as it would be sent now. Raises as `send` does."""
    words = sending.own_words(message)
    note, found = _own(session, actor, note_id)
    return sending.shown("credit_note", _compose(session, note, found, links, now, message=words))


def about(session: Session, actor: Actor, note: dict[str, Any]) -> list[dict[str, Any]]:
    """The mails that carry a note, newest first, without their words; of the newest of its invoice's mails."""
    written = mail.about(session, actor, UUID(note["invoice"]["id"]), limit=_LATEST)
    return [one for one in written if any(paper["id"] == note["id"] for paper in one["attachments"])]
