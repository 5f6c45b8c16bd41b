"""Mails that came back: refused while they were handed over, or reported later by somebody's mail server (RFC 3464)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from email import message_from_bytes
from email.message import Message
from email.policy import compat32
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, text
from sqlalchemy.orm import Session

from core import notifications
from core.errors import Invalid
from core.events import DomainEvent
from core.notifications.store import Notice

_OURS = re.compile(r"<([0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})@[^<>\s]+>")
_MAX_REASON = 1000
_MAX_PARTS = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What a delivery status notification says of one mail of ours."""

    mail_id: UUID
    reason: str


def bounced(connection: Session | Connection, mail_id: UUID, reason: str, now: datetime) -> list[DomainEvent]:
    """Mark a mail that came back, once; return what to announce. The person in whose name it went out is notified.

    A mail that is not known, not sent yet or came back before changes nothing.
    """
    row = connection.execute(
        text(
            "UPDATE mails SET bounced_at = :now, bounce_reason = :reason "
            "WHERE id = :id AND bounced_at IS NULL AND state IN ('sent', 'failed', 'kept') "
            "RETURNING sender_id, to_address, subject, subject_kind, subject_id"
        ),
        {"now": now, "reason": _line(reason) or "no reason was given", "id": mail_id},
    ).one_or_none()
    if row is None:
        return []
    data: dict[str, object] = {
        "mail_id": str(mail_id),
        "to": row.to_address,
        "invoice_id": str(row.subject_id) if row.subject_kind == "invoice" else None,
    }
    if row.sender_id is None:
        return [DomainEvent(room="operators", name="mail.bounced", data=data)]
    about = row.subject_kind == "invoice"
    notice = Notice(
        user_id=row.sender_id,
        kind="mail.bounced",
        subject_kind="invoice" if about else "mail",
        subject_id=row.subject_id if about else mail_id,
        title=f"A mail to {row.to_address} came back",
        body=f"{row.subject}: {_line(reason)}. Correct the customer's address and send it again.",
    )
    told = notifications.tell(connection, notice, now)
    return [*told, *(DomainEvent(room=room, name="mail.bounced", data=data) for room in _rooms(row))]


def _rooms(row: Any) -> list[str]:
    return [f"user:{row.sender_id}", "operators"]


def _line(words: str) -> str:
    return " ".join(words.replace("\x00", "").split())[:_MAX_REASON].rstrip(".")


def read_report(raw: bytes) -> list[Report]:
    """The mails of ours that a delivery status notification says are lost; none where it says that they are late.

    Raises Invalid where it is no such notification, or names no mail of this installation.
    """
    message = message_from_bytes(raw, policy=compat32)
    if message.get_content_type() != "multipart/report" or not message.is_multipart():
        raise Invalid("message", "is no delivery status notification (multipart/report)")
    parts = [part for part, _ in zip(message.walk(), range(_MAX_PARTS), strict=False)]
    failures = [why for part in parts if part.get_content_type() == "message/delivery-status" for why in _failed(part)]
    named = list(dict.fromkeys(_named(parts)))
    if not named:
        raise Invalid("message", "names no mail that was sent from here")
    return [Report(mail_id=UUID(identity), reason="; ".join(failures)) for identity in named] if failures else []


def _failed(part: Message) -> list[str]:
    """Why each recipient of a status part did not get it."""
    groups = part.get_payload()
    found = []
    for group in groups if isinstance(groups, list) else []:
        if isinstance(group, Message) and str(group.get("Action", "")).strip().lower() == "failed":
            said = str(group.get("Diagnostic-Code", "")) or str(group.get("Status", ""))
            found.append(_line(said) or "not delivered")
    return found


def _named(parts: list[Message]) -> list[str]:
    """The ids of our mails in the headers of what came back."""
    found: list[str] = []
    for part in parts:
        if part.get_content_type() == "text/rfc822-headers":
            payload = part.get_payload(decode=True)
            found += _OURS.findall(payload.decode("latin-1") if isinstance(payload, bytes) else "")
        elif part.get_content_maintype() != "multipart" and part.get("Message-ID"):
            found += _OURS.findall(str(part["Message-ID"]))
    return found


def taken_in(session: Session, reports: list[Report], now: datetime) -> tuple[list[str], list[DomainEvent]]:
    """Mark the mails of some reports; return the ids of those that were marked now, and what to announce."""
    marked, told = [], []
    for report in reports:
        events = bounced(session, report.mail_id, report.reason, now)
        if events:
            marked.append(str(report.mail_id))
            told += events
    return marked, told


def of_address(session: Session, sender_id: UUID, address: str) -> dict[str, Any] | None:
    """The newest mail of a seller to an address, where that one came back: {at, reason, mail_id}; None where not."""
    row = session.execute(
        text(
            "SELECT id, bounced_at, bounce_reason FROM mails WHERE to_address = :to AND sender_id = :sender "
            "AND state <> 'queued' ORDER BY id DESC LIMIT 1"
        ),
        {"to": address, "sender": sender_id},
    ).one_or_none()
    if row is None or row.bounced_at is None:
        return None
    return {"mail_id": str(row.id), "at": row.bounced_at, "reason": row.bounce_reason}
