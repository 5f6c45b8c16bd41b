"""Accounts and addresses that stand for one customer: given to them alone to pay to, or theirs to pay from.

They say who paid, whatever the bank's text says besides (marketplace rules 4.2, rules 2 and 5), so that two customers
of a seller cannot share one.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

from core import audit
from core.banking import matching
from core.contacts import queries
from core.errors import Conflict, Forbidden, Invalid, NotFound
from core.events import DomainEvent
from core.identity import Actor, Role
from core.ids import new_id
from core.live import announce
from core.payments.adopt import adopt_received

# Kind → what it is called. The first three are where money comes to, the others where it comes from.
KINDS: Final = {
    "virtual_account": "Virtual account",
    "upi_collect": "UPI collect address",
    "gateway": "Id at the gateway",
    "bank_account": "Bank account they pay from",
    "vpa": "UPI address they pay from",
}
MOST: Final = 20
# An IBAN has 34 characters at most; fewer than 8 stand in too many texts.
ACCOUNT_LENGTHS: Final = (8, 34)
VPA_LENGTH: Final = 100
IFSC = re.compile(r"[A-Z]{4}0[A-Z0-9]{6}")
# NPCI: letters, digits, full stop, hyphen (and underscore, at some banks), "@", and the handle of the bank.
_VPA = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,79}@[A-Za-z][A-Za-z0-9]{1,29}")
_ACCOUNT = re.compile(r"[A-Za-z0-9]([A-Za-z0-9 -]*[A-Za-z0-9])?")
_GATEWAY = re.compile(r"[a-z]{2,8}_[A-Za-z0-9]{4,40}")
_MARKS = re.compile(r"[\s-]+")


def account_key(number: str) -> str:
    """The number of an account as it is compared: in capitals, without spaces and hyphens."""
    return _MARKS.sub("", number).upper()


def clean(kind: str, value: str, ifsc: str | None = None) -> tuple[str, str, str | None]:
    """(value, key, ifsc) of an account as it is stored. Raises Invalid, naming the field."""
    if kind not in KINDS:
        raise Invalid("kind", f"must be one of {', '.join(KINDS)}")
    value, ifsc = value.strip(), (ifsc or "").strip().upper() or None
    if ifsc is not None and kind not in ("virtual_account", "bank_account"):
        raise Invalid("ifsc", "belongs to the number of an account")
    if ifsc is not None and not IFSC.fullmatch(ifsc):
        raise Invalid("ifsc", "must be four letters, a zero and six letters or digits, such as HDFC0001234")
    if kind in ("upi_collect", "vpa"):
        if not _VPA.fullmatch(value) or len(value) > VPA_LENGTH:
            raise Invalid("value", "must be a UPI address, such as name@bank")
        return value, value.lower(), None
    if kind == "gateway":
        if not _GATEWAY.fullmatch(value):
            raise Invalid("value", "must be an id of the gateway, such as va_DET8z3wBxfPB5L or cust_BtQNqzmBlAXyTY")
        return value, value, None
    key, (least, most) = account_key(value), ACCOUNT_LENGTHS
    # As it is written: in capitals other letters ("ß", ligatures) would be another account's.
    if not _ACCOUNT.fullmatch(value) or not least <= len(key) <= most or sum(one.isdigit() for one in key) < 6:
        raise Invalid("value", f"must be a number of {least} to {most} letters and digits, with six digits at least")
    if len(value) > VPA_LENGTH:
        raise Invalid("value", f"must have {VPA_LENGTH} characters at most")
    return value, key, ifsc


def of_contact(session: Session, actor: Actor, contact_id: UUID) -> list[dict[str, Any]]:
    """The accounts of a contact, oldest first: {id, kind, value, ifsc, created_at}. Raises NotFound."""
    queries.get_contact(session, actor, contact_id)
    rows = session.execute(
        text("SELECT id, kind, value, ifsc, created_at FROM payer_accounts WHERE contact_id = :contact ORDER BY id"),
        {"contact": contact_id},
    )
    return [{**row, "id": str(row["id"])} for row in rows.mappings()]


def _own(session: Session, actor: Actor, contact_id: UUID) -> str:
    """Lock the contact of this seller; its name. Raises NotFound, Forbidden."""
    if actor.role is not Role.SELLER:
        raise Forbidden("only sellers keep contacts")
    name = session.scalar(
        text("SELECT name FROM contacts WHERE id = :id AND user_id = :user FOR NO KEY UPDATE"),
        {"id": contact_id, "user": actor.id},
    )
    if name is None:
        raise NotFound("contact", contact_id)
    return str(name)


def add(
    session: Session, actor: Actor, contact_id: UUID, now: datetime, *, kind: str, value: str, ifsc: str | None = None
) -> dict[str, Any]:
    """Write an account of a customer down; payments that came through it before are theirs from now on.

    `MOST` of a contact. Writing what is there already changes nothing. Raises NotFound, Forbidden, Invalid, or Conflict
    when another customer has it, or this one as something else.
    """
    called = _own(session, actor, contact_id)
    value, key, ifsc = clean(kind, value, ifsc)
    rows = of_contact(session, actor, contact_id)
    if (same := next((row for row in rows if clean(row["kind"], row["value"])[1] == key), None)) is not None:
        if same["kind"] != kind or ifsc not in (None, same["ifsc"]):
            raise Conflict(f"this contact has it already, as {KINDS[same['kind']].lower()}; remove that first")
        return same
    if len(rows) >= MOST:
        raise Conflict(f"a contact has {MOST} accounts at most")
    made = session.execute(
        text(
            "INSERT INTO payer_accounts (id, user_id, contact_id, kind, value, key, ifsc, created_by, created_at) "
            "VALUES (:id, :user, :contact, :kind, :value, :key, :ifsc, :user, :now) "
            "ON CONFLICT (user_id, key) DO NOTHING RETURNING id, kind, value, ifsc, created_at"
        ),
        {"id": new_id(), "user": actor.id, "contact": contact_id, "kind": kind, "value": value, "key": key,
         "ifsc": ifsc, "now": now},
    ).mappings().one_or_none()  # fmt: skip
    if made is None:
        raise Conflict("another customer has this account; what two share tells nobody")
    adopt_received(session.connection(), actor.id, key)
    _changed(session, actor, contact_id, called, {"added": [kind, value]}, now)
    return {**made, "id": str(made["id"])}


def remove(session: Session, actor: Actor, contact_id: UUID, account_id: UUID, now: datetime) -> None:
    """Take an account away; what came through it stays as it is. Raises NotFound, Forbidden."""
    called = _own(session, actor, contact_id)
    gone = session.execute(
        text("DELETE FROM payer_accounts WHERE id = :id AND contact_id = :contact RETURNING kind, value"),
        {"id": account_id, "contact": contact_id},
    ).one_or_none()
    if gone is None:
        raise NotFound("account", account_id)
    _changed(session, actor, contact_id, called, {"removed": [gone.kind, gone.value]}, now)


def _changed(
    session: Session, actor: Actor, contact_id: UUID, called: str, said: dict[str, Any], now: datetime
) -> None:
    audit.record(session, actor, "contact.accounts_changed", "contact", contact_id, said, now)
    # Lines that wait may be this customer's.
    matching.ask(session.connection(), [actor.id])
    data: dict[str, object] = {"contact_id": str(contact_id), "name": called}
    announce(session, [DomainEvent(room=f"user:{actor.id}", name="contact.updated", data=data)])
