"""People: registering, finding, changing."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Row, text
from sqlalchemy.orm import Session

from core.errors import Conflict, Invalid, NotFound
from core.identity.actors import Actor, Role
from core.ids import new_id

_EMAIL = re.compile(r"[^\s@\x00-\x1f\x7f]+@[^\s@\x00-\x1f\x7f]+")
MAX_EMAIL = 254
_MAX_LOCAL = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """What signing in needs: who it is and the hash to check the password against."""

    actor: Actor
    password_hash: str = field(repr=False)


def clean_email(email: str, field_name: str = "email") -> str:
    """The e-mail address in the form it is stored in. Raises Invalid."""
    cleaned = email.strip().lower()
    local = cleaned.partition("@")[0]
    if not 3 <= len(cleaned) <= MAX_EMAIL or not _EMAIL.fullmatch(cleaned) or len(local) > _MAX_LOCAL:
        raise Invalid(field_name, "is not an e-mail address")
    return cleaned


def actor_of(row: Row[Any]) -> Actor:
    """The actor in a row that has id, role, email and name."""
    return Actor(id=row.id, role=Role(row.role), email=row.email, name=row.name)


def register(
    session: Session,
    *,
    email: str,
    name: str,
    password_hash: str,
    role: Role,
    now: datetime,
    organisation: str = "",
    identity: UUID | None = None,
) -> Actor:
    """Add a person. Raises Conflict when the e-mail is taken.

    A buyer's contacts and invoices that already carry the address become theirs, and what they are asked to confirm.
    """
    cleaned = clean_email(email)
    if not name.strip():
        raise Invalid("name", "must not be empty")
    row = session.execute(
        text(
            "INSERT INTO users (id, email, name, organisation, role, password_hash, created_at) "
            "VALUES (:id, :email, :name, :organisation, :role, :password_hash, :now) "
            "ON CONFLICT (email) DO NOTHING RETURNING id, role, email, name"
        ),
        {
            "id": identity or new_id(),
            "email": cleaned,
            "name": name.strip(),
            "organisation": organisation.strip(),
            "role": role.value,
            "password_hash": password_hash,
            "now": now,
        },
    ).one_or_none()
    if row is None:
        raise Conflict("an account with this e-mail exists already")
    actor = actor_of(row)
    if role is Role.BUYER:
        _adopt_invoices(session, actor)
    return actor


def _adopt_invoices(session: Session, buyer: Actor) -> None:
    values = {"buyer": buyer.id, "email": buyer.email}
    contacts = session.scalars(
        text("UPDATE contacts SET buyer_id = :buyer WHERE email = :email AND buyer_id IS NULL RETURNING id"), values
    ).all()
    if contacts:
        # The sellers' own index finds their invoices; a contact belongs to one seller.
        session.execute(
            text(
                "UPDATE invoices SET buyer_id = :buyer FROM contacts "
                "WHERE contacts.id = ANY(:contacts) AND invoices.contact_id = contacts.id "
                "AND invoices.seller_id = contacts.user_id AND invoices.buyer_id IS NULL"
            ),
            {"buyer": buyer.id, "contacts": list(contacts)},
        )
    asked = session.scalars(
        text(
            "UPDATE financings SET buyer_id = :buyer, updated_at = now() WHERE buyer_email = :email "
            "AND buyer_id IS NULL RETURNING invoice_id"
        ),
        values,
    ).all()
    if asked:
        session.execute(
            text("UPDATE invoices SET buyer_id = :buyer WHERE id = ANY(:invoices) AND buyer_id IS NULL"),
            {"buyer": buyer.id, "invoices": list(asked)},
        )


def find_account(session: Session, email: str) -> Account | None:
    """The active account of an e-mail address, or None."""
    row = session.execute(
        text("SELECT id, role, email, name, password_hash FROM users WHERE email = :email AND is_active"),
        {"email": email.strip().lower()[: MAX_EMAIL + 1]},
    ).one_or_none()
    return None if row is None else Account(actor=actor_of(row), password_hash=row.password_hash)


def get(session: Session, user_id: UUID) -> Actor | None:
    """The active person of an id, or None."""
    row = session.execute(
        text("SELECT id, role, email, name FROM users WHERE id = :id AND is_active"), {"id": user_id}
    ).one_or_none()
    return None if row is None else actor_of(row)


_PROFILE = "id::text, email, name, organisation, role, preferences, created_at"


def profile(session: Session, user_id: UUID) -> dict[str, Any]:
    """What a person sees of themselves. Raises NotFound."""
    row = session.execute(text(f"SELECT {_PROFILE} FROM users WHERE id = :id"), {"id": user_id}).one_or_none()
    if row is None:
        raise NotFound("user", user_id)
    return row._asdict()


def update_profile(
    session: Session,
    user_id: UUID,
    *,
    name: str | None = None,
    organisation: str | None = None,
    preferences: dict[str, Any] | None = None,
    password_hash: str | None = None,
) -> dict[str, Any]:
    """Change what is given and return the whole profile. Preferences are merged key by key."""
    if name is not None and not name.strip():
        raise Invalid("name", "must not be empty")
    session.execute(
        text(
            "UPDATE users SET name = coalesce(:name, name), organisation = coalesce(:organisation, organisation), "
            "preferences = preferences || CAST(:preferences AS jsonb), "
            "password_hash = coalesce(:password_hash, password_hash) WHERE id = :id"
        ),
        {
            "id": user_id,
            "name": name.strip() if name is not None else None,
            "organisation": organisation.strip() if organisation is not None else None,
            "preferences": json.dumps(preferences or {}),
            "password_hash": password_hash,
        },
    )
    return profile(session, user_id)


def deactivate(session: Session, user_id: UUID, now: datetime) -> None:
    """Shut an account: no sign-in, and every session and token of it ends."""
    session.execute(text("UPDATE users SET is_active = false WHERE id = :id"), {"id": user_id})
    end_everywhere(session, user_id, now)


def end_everywhere(session: Session, user_id: UUID, now: datetime, *, keep_session: bytes | None = None) -> None:
    """End every page session (but the one whose token hash is given) and revoke every refresh token."""
    session.execute(
        text("DELETE FROM sessions WHERE user_id = :id AND token_hash IS DISTINCT FROM CAST(:keep AS bytea)"),
        {"id": user_id, "keep": keep_session},
    )
    session.execute(
        text("UPDATE refresh_tokens SET revoked_at = :now WHERE user_id = :id AND revoked_at IS NULL"),
        {"id": user_id, "now": now},
    )
