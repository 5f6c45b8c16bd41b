"""Bank accounts whose statements their owner brings: each is a connection of the connector 'statement'."""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import ValidationError
from sqlalchemy import text
from sqlalchemy.orm import Session

from core.banking.apply import mask
from core.connections.store import STATEMENT
from core.errors import Conflict, Forbidden, Invalid, NotFound
from core.identity import Actor, Role
from core.ids import new_id
from core.money import exponent
from core.statement_files import Mapping

MAX_ACCOUNTS = 50
_MAX_NAME = 100


class TooManyAccounts(Conflict):
    """One person has as many of these accounts as one may have."""

    code = "too_many_accounts"


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """An account. `mapping` is how its CSV files were read last."""

    id: UUID
    name: str
    currency: str
    number_masked: str | None
    mapping: Mapping | None

    def shape(self) -> dict[str, Any]:
        """As the API shows it."""
        return {
            "id": str(self.id),
            "name": self.name,
            "currency": self.currency,
            "number_masked": self.number_masked,
            "mapping": None if self.mapping is None else self.mapping.model_dump(),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which account a person means: one that there is, or a new one by name and currency."""

    id: UUID | None = None
    name: str | None = None
    currency: str | None = None


_COLUMNS = "connection_id, name, currency, number_masked, mapping"


def _account(row: Any) -> Account:
    mapping = None
    if row.mapping is not None:
        try:
            mapping = Mapping.model_validate(row.mapping)
        except ValidationError:
            # Kept by an earlier version that said other things: the next file is asked about again.
            mapping = None
    return Account(
        id=row.connection_id, name=row.name, currency=row.currency, number_masked=row.number_masked, mapping=mapping
    )


def accounts(session: Session, actor: Actor) -> list[Account]:
    """The actor's own accounts by name."""
    rows = session.execute(
        text(f"SELECT {_COLUMNS} FROM statement_accounts WHERE user_id = :user ORDER BY name, connection_id"),
        {"user": actor.id},
    )
    return [_account(row) for row in rows]


def account(session: Session, actor: Actor, account_id: UUID) -> Account:
    """One of the actor's accounts. Raises NotFound."""
    row = session.execute(
        text(f"SELECT {_COLUMNS} FROM statement_accounts WHERE user_id = :user AND connection_id = :id"),
        {"user": actor.id, "id": account_id},
    ).one_or_none()
    if row is None:
        raise NotFound("account", account_id)
    return _account(row)


def find(session: Session, actor: Actor, wanted: Wanted, number: str | None, currency: str | None) -> Account | None:
    """The account that a file is of: the one that was named, or the only one that the file itself fits.

    None when it is to be asked or made. Raises NotFound.
    """
    if wanted.id is not None:
        return account(session, actor, wanted.id)
    own = accounts(session, actor)
    if wanted.name:
        return next((each for each in own if each.name == wanted.name.strip()), None)
    masked = mask(number)
    fitting = [
        each for each in own if masked is not None and each.number_masked == masked and each.currency == currency
    ]
    return fitting[0] if len(fitting) == 1 else None


def require_fit(found: Account, number: str | None, currency: str | None) -> None:
    """Raises Invalid when a file says that it is of another account."""
    if currency is not None and currency != found.currency:
        raise Invalid("account", f"the account is in {found.currency} and the file in {currency}")
    masked = mask(number)
    if masked is not None and found.number_masked is not None and masked != found.number_masked:
        raise Invalid("account", f"the file is of account {masked}, and this one is {found.number_masked}")


def make(session: Session, actor: Actor, name: str, currency: str, now: datetime) -> Account:
    """A new account; one of this name that is there already is it. Raises Invalid, Forbidden or TooManyAccounts."""
    if actor.role is not Role.SELLER:
        raise Forbidden("only sellers bring statements")
    cleaned = " ".join(name.split())
    if not 0 < len(cleaned) <= _MAX_NAME or not cleaned.isprintable():
        raise Invalid("account_name", f"must have 1 to {_MAX_NAME} characters")
    exponent(currency)
    # Whoever makes two at once makes one after the other.
    session.execute(text("SELECT id FROM users WHERE id = :id FOR NO KEY UPDATE"), {"id": actor.id})
    own = accounts(session, actor)
    if (known := next((each for each in own if each.name == cleaned), None)) is not None:
        require_fit(known, None, currency)
        return known
    if len(own) >= MAX_ACCOUNTS:
        raise TooManyAccounts(f"you may have {MAX_ACCOUNTS} accounts for statements")
    identity = new_id()
    session.execute(
        text(
            "INSERT INTO connections (id, user_id, connector, name, hook_id, created_at, updated_at) "
            "VALUES (:id, :user, :connector, :name, :hook, :now, :now)"
        ),
        {
            "id": identity,
            "user": actor.id,
            "connector": STATEMENT,
            "name": cleaned,
            "hook": secrets.token_urlsafe(16),
            "now": now,
        },
    )
    session.execute(
        text(
            "INSERT INTO statement_accounts (connection_id, user_id, name, currency, created_at) "
            "VALUES (:id, :user, :name, :currency, :now)"
        ),
        {"id": identity, "user": actor.id, "name": cleaned, "currency": currency, "now": now},
    )
    return account(session, actor, identity)


def learn(session: Session, account_id: UUID, number_masked: str | None, mapping: Mapping | None) -> None:
    """Remember what a file told of its account, and how it was read; what is not said stays as it is known."""
    session.execute(
        text(
            "UPDATE statement_accounts SET number_masked = coalesce(number_masked, :number), "
            "mapping = coalesce(CAST(:mapping AS jsonb), mapping) WHERE connection_id = :id"
        ),
        {
            "id": account_id,
            "number": number_masked,
            "mapping": None if mapping is None else json.dumps(mapping.model_dump()),
        },
    )
