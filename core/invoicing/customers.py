"""Whom an invoice is to: a contact of the seller, who stands on the document with what is known of them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

from core.contacts import store
from core.errors import Invalid
from core.identity import Actor
from core.identity.users import clean_email
from core.ids import new_id
from core.invoicing.inputs import CONTACT_FIELDS, NewInvoice
from core.taxids import gstin as gstins

_SIDE: Final = ("name", "legal_name", "email", "address", "phone", "gstin", "state_code")
_READ = f"SELECT id, buyer_id, {', '.join(_SIDE)} FROM contacts WHERE user_id = :seller"


@dataclass(frozen=True, slots=True, kw_only=True)
class Customer:
    """A customer as they would stand on an invoice now; `id` None: not a contact yet."""

    id: UUID | None = None
    buyer_id: UUID | None = None
    name: str = ""
    legal_name: str = ""
    email: str = ""
    address: str = ""
    phone: str = ""
    gstin: str | None = None
    state_code: str | None = None

    def side(self) -> dict[str, Any]:
        """The customer's side of a document, as JSON."""
        return {name: value for name, value in asdict(self).items() if name in _SIDE}


@contextmanager
def _named() -> Iterator[None]:
    """Errors name the contact's fields as an invoice's."""
    try:
        yield
    except Invalid as error:
        raise Invalid(f"contact.{error.field}", error.message) from error


def find(session: Session, seller_id: UUID, *, contact_id: UUID | None = None, email: str = "") -> Customer | None:
    """A contact of the seller as they are known now, or None."""
    condition, value = ("id = :value", contact_id) if contact_id is not None else ("email = :value", email)
    row = session.execute(text(f"{_READ} AND {condition}"), {"seller": seller_id, "value": value}).one_or_none()
    return None if row is None else Customer(**row._asdict())


def _details(new: NewInvoice) -> dict[str, Any]:
    """What is said of the contact beside name and address, as the contact's fields."""
    return {theirs: value for ours, theirs in CONTACT_FIELDS.items() if (value := getattr(new, ours)) is not None}


def wanted(session: Session, seller_id: UUID, new: NewInvoice) -> Customer:
    """The customer as `put` would leave them, without writing anything. Raises Invalid, naming the field."""
    if new.contact_id is not None:
        known = find(session, seller_id, contact_id=new.contact_id)
        if known is None:
            raise Invalid("contact_id", "is no contact of yours")
    else:
        email = clean_email(new.contact_email, "contact.email") if new.contact_email else ""
        known = (find(session, seller_id, email=email) if email else None) or Customer(email=email)
        known = replace(known, name=new.contact_name.strip() or known.name)
    with _named():
        details = store.clean(_details(new))
    if details.get("gstin"):
        details.setdefault("state_code", gstins.parse(details["gstin"]).state_code)
    return replace(known, **details)


def put(session: Session, seller: Actor, new: NewInvoice, now: datetime) -> Customer:
    """Make the customer a contact, or write to it what is said of them here. Raises Invalid, naming the field."""
    if new.contact_id is not None:
        known = find(session, seller.id, contact_id=new.contact_id)
        if known is None:
            raise Invalid("contact_id", "is no contact of yours")
        identity = new.contact_id
    else:
        identity = session.scalars(
            text(
                "INSERT INTO contacts AS known (id, user_id, name, email, buyer_id, created_at, updated_at) "
                "VALUES (:id, :seller, :name, :email, "
                "(SELECT id FROM users WHERE email = :email AND role = 'buyer' AND is_active), :now, :now) "
                "ON CONFLICT (user_id, email) DO UPDATE SET name = excluded.name, "
                "buyer_id = coalesce(known.buyer_id, excluded.buyer_id) RETURNING id"
            ),
            {
                "id": new_id(),
                "seller": seller.id,
                "name": new.contact_name.strip(),
                "email": clean_email(new.contact_email, "contact.email"),
                "now": now,
            },
        ).one()
    if details := _details(new):
        with _named():
            store.update(session, seller, identity, details, now)
    row = session.execute(text(f"{_READ} AND id = :id"), {"seller": seller.id, "id": identity}).one()
    return Customer(**row._asdict())
