"""Keeping contacts: made, changed, put away and brought back by their seller."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from core import audit, mail
from core.contacts import queries
from core.edits import check_version
from core.errors import Conflict, Forbidden, Invalid
from core.events import DomainEvent
from core.identity import Actor, Role
from core.identity.users import clean_email
from core.ids import new_id
from core.live import announce
from core.money import exponent
from core.taxids import gstin as gstins

MAX_DAYS: Final = 365
_RATE_PLACES = 4
# What may be written of a contact: the field, and the most characters of a text.
_TEXTS: Final = {"name": 200, "legal_name": 200, "address": 1000, "phone": 40, "notes": 5000}
FIELDS: Final = (*_TEXTS, "email", "gstin", "state_code", "currency", "payment_days", "tds_rate", "reminders")


@dataclass(frozen=True, slots=True, kw_only=True)
class NewContact:
    """A customer as a seller writes them down. None is "not known": the seller's own rule holds.

    `payment_days` are days to pay, `tds_rate` is what they keep back as tax, in per cent.
    """

    name: str
    email: str
    legal_name: str = ""
    address: str = ""
    phone: str = ""
    gstin: str | None = None
    state_code: str | None = None
    currency: str | None = None
    payment_days: int | None = None
    tds_rate: Decimal | None = None
    reminders: bool = True
    notes: str = ""


def _clean_text(field: str, value: str) -> str:
    cleaned = value.strip()
    if len(cleaned) > _TEXTS[field] or (field == "name" and not cleaned):
        raise Invalid(field, f"must have {1 if field == 'name' else 0} to {_TEXTS[field]} characters")
    return cleaned


def _clean_days(days: int | None) -> int | None:
    if days is not None and (type(days) is not int or not 0 <= days <= MAX_DAYS):
        raise Invalid("payment_days", f"must be 0 to {MAX_DAYS} days")
    return days


def _clean_rate(rate: Decimal | None) -> Decimal | None:
    if rate is None:
        return None
    places = rate.normalize().as_tuple().exponent if rate.is_finite() else None
    if not isinstance(places, int) or not 0 < rate < 100 or -places > _RATE_PLACES:
        raise Invalid("tds_rate", f"must be more than 0 and less than 100 percent, with up to {_RATE_PLACES} decimals")
    return rate


def _clean_state(state: str | None) -> str | None:
    if state and state not in gstins.STATES:
        raise Invalid("state_code", "is no state code of GST, such as 27")
    return state or None


def _clean_currency(currency: str | None) -> str | None:
    if currency:
        exponent(currency)
    return currency or None


def clean(values: Mapping[str, Any]) -> dict[str, Any]:
    """What was given, as it is stored; a field that was not given is not in it. Raises Invalid, naming the field."""
    cleaners: dict[str, Callable[[Any], Any]] = {
        "email": clean_email,
        "gstin": lambda given: gstins.parse(given).text if given and given.strip() else None,
        "state_code": _clean_state,
        "currency": _clean_currency,
        "payment_days": _clean_days,
        "tds_rate": _clean_rate,
        "reminders": bool,
    }
    found: dict[str, Any] = {}
    for field in FIELDS:
        if field in values:
            value = values[field]
            found[field] = _clean_text(field, value) if field in _TEXTS else cleaners[field](value)
    return found


def _with_state(values: dict[str, Any], before: Mapping[str, Any]) -> dict[str, Any]:
    """The state that a GSTIN tells, where none is given; two that differ are a mistake in one of them."""
    number = values.get("gstin", before.get("gstin"))
    if not number:
        return values
    told = gstins.parse(number).state_code
    # The registration decides where only it was changed; whoever writes both must write the same.
    given = values.get("state_code") if "gstin" in values else values.get("state_code", told)
    if given and given != told:
        raise Invalid("state_code", f"is {given}, and the GSTIN is of {told}")
    return {**values, "state_code": told}


def _sellers_only(actor: Actor) -> None:
    if actor.role is not Role.SELLER:
        raise Forbidden("only sellers keep contacts")


def create(session: Session, actor: Actor, new: NewContact, now: datetime) -> dict[str, Any]:
    """Write a customer down and return it as `get_contact` shows it.

    Raises Conflict when a contact with this address is there already, put away or not.
    """
    _sellers_only(actor)
    values = _with_state(clean({field: getattr(new, field) for field in FIELDS}), {})
    identity = new_id()
    made = session.execute(
        text(
            f"INSERT INTO contacts (id, user_id, buyer_id, created_at, updated_at, {', '.join(values)}) "
            "VALUES (:id, :user, (SELECT id FROM users WHERE email = :email AND role = 'buyer' AND is_active), "
            f":now, :now, {', '.join(f':{name}' for name in values)}) "
            "ON CONFLICT (user_id, email) DO NOTHING RETURNING id"
        ),
        {**values, "id": identity, "user": actor.id, "now": now},
    ).one_or_none()
    if made is None:
        raise Conflict(f"a contact with the address {values['email']} is there already")
    audit.record(session, actor, "contact.created", "contact", identity, {"name": values["name"]}, now)
    _tell(session, actor.id, "contact.created", identity, values["name"])
    return queries.get_contact(session, actor, identity)


def _lock(session: Session, actor: Actor, contact_id: UUID, expected_version: int | None) -> dict[str, Any]:
    row = (
        session.execute(
            text(
                f"SELECT {', '.join(FIELDS)}, version, archived_at FROM contacts "
                "WHERE id = :id AND user_id = :user FOR UPDATE"
            ),
            {"id": contact_id, "user": actor.id},
        )
        .mappings()
        .one_or_none()
    )
    if row is None:
        # An operator reads every contact and changes none; for everybody else it is not there.
        queries.get_contact(session, actor, contact_id)
        raise Forbidden("only the seller changes a contact")
    check_version(session, "contact", contact_id, expected=expected_version, actual=row["version"])
    return dict(row)


def update(
    session: Session,
    actor: Actor,
    contact_id: UUID,
    changes: Mapping[str, Any],
    now: datetime,
    *,
    expected_version: int | None = None,
) -> dict[str, Any]:
    """Change some fields (of FIELDS) of a contact. Invoices that were made keep what stands on them.

    With `expected_version` somebody else's change in between is a StaleEdit, which says what it was. Writing what
    is there already changes nothing. Raises NotFound, Forbidden, Invalid, Conflict.
    """
    before = _lock(session, actor, contact_id, expected_version)
    values = _with_state(clean(changes), before)
    different = {name: value for name, value in values.items() if value != before[name]}
    if not different:
        return queries.get_contact(session, actor, contact_id)
    try:
        with session.begin_nested():
            _write(session, contact_id, different, now)
    except IntegrityError as error:
        raise Conflict(f"another contact has the address {different.get('email')}") from error
    if "email" in different:
        _adopt_buyer(session, contact_id)
        mail.readdress(session, contact_id, different["email"])
    data = {"changes": {name: [_spelled(before[name]), _spelled(value)] for name, value in different.items()}}
    audit.record(session, actor, "contact.updated", "contact", contact_id, data, now)
    _tell(session, actor.id, "contact.updated", contact_id, different.get("name", before["name"]))
    return queries.get_contact(session, actor, contact_id)


def _write(session: Session, contact_id: UUID, values: Mapping[str, Any], now: datetime) -> None:
    sets = ", ".join(f"{name} = :{name}" for name in values)
    session.execute(
        text(f"UPDATE contacts SET {sets}, version = version + 1, updated_at = :now WHERE id = :id"),
        {**values, "id": contact_id, "now": now},
    )


def _adopt_buyer(session: Session, contact_id: UUID) -> None:
    """Give the contact, and those of its invoices that nobody sees yet, to the account with the new address."""
    session.execute(
        text(
            "UPDATE contacts SET buyer_id = (SELECT id FROM users WHERE users.email = contacts.email "
            "AND role = 'buyer' AND is_active) WHERE id = :id"
        ),
        {"id": contact_id},
    )
    session.execute(
        text(
            "UPDATE invoices SET buyer_id = contacts.buyer_id FROM contacts WHERE contacts.id = :id "
            "AND invoices.contact_id = contacts.id AND invoices.buyer_id IS NULL AND contacts.buyer_id IS NOT NULL"
        ),
        {"id": contact_id},
    )


def _spelled(value: object) -> object:
    return str(value) if isinstance(value, Decimal) else value


def archive(session: Session, actor: Actor, contact_id: UUID, now: datetime, *, away: bool = True) -> dict[str, Any]:
    """Put a contact away, so that lists leave it out, or with `away` false bring it back. A repeat changes nothing."""
    before = _lock(session, actor, contact_id, None)
    if (before["archived_at"] is not None) is not away:
        _write(session, contact_id, {"archived_at": now if away else None}, now)
        data = {"changes": {"archived": [not away, away]}}
        audit.record(
            session, actor, "contact.archived" if away else "contact.restored", "contact", contact_id, data, now
        )
        _tell(session, actor.id, "contact.updated", contact_id, before["name"])
    return queries.get_contact(session, actor, contact_id)


def _tell(session: Session, user_id: UUID, name: str, contact_id: UUID, called: str) -> None:
    announce(
        session, [DomainEvent(room=f"user:{user_id}", name=name, data={"contact_id": str(contact_id), "name": called})]
    )
