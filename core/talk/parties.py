"""Who talks about an invoice: its seller, its buyer, investors with money in it, and the operators."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

from core.errors import Forbidden, NotFound
from core.identity import Actor, Role
from core.invoicing import invoices


@dataclass(frozen=True, slots=True, kw_only=True)
class Party:
    """Somebody who may read and write here."""

    id: UUID
    name: str
    organisation: str
    role: Role


# A draft is not yet said to its buyer. An operator has a part in every invoice.
_PARTIES = """
    SELECT users.id, users.name, users.organisation, users.role FROM users
    WHERE users.is_active AND (users.role = 'operator' OR users.id IN (
        SELECT seller_id FROM invoices WHERE id = :invoice
        UNION SELECT buyer_id FROM invoices WHERE id = :invoice AND status <> 'draft'
        UNION SELECT investor_id FROM investments JOIN financings ON financings.id = financing_id
            WHERE financings.invoice_id = :invoice AND investments.status <> 'voided'))
"""


def all_parties(session: Session, invoice_id: UUID) -> list[Party]:
    """Everybody who may talk about an invoice, by name."""
    rows = session.execute(text(f"{_PARTIES} ORDER BY users.name, users.id"), {"invoice": invoice_id})
    return [Party(id=row.id, name=row.name, organisation=row.organisation, role=Role(row.role)) for row in rows]


def require_party(session: Session, actor: Actor, invoice_id: UUID) -> None:
    """Raises NotFound to whom the invoice is not there, and Forbidden to who sees it and has no part in it."""
    if not invoices.may_see(session, actor, invoice_id):
        raise NotFound("invoice", invoice_id)
    mine = session.scalar(
        text(f"SELECT EXISTS ({_PARTIES} AND users.id = :actor)"), {"invoice": invoice_id, "actor": actor.id}
    )
    if not mine:
        raise Forbidden("only seller, buyer and investors of an invoice talk about it")


def party_list(session: Session, actor: Actor, invoice_id: UUID) -> list[Party]:
    """Whom the actor may mention, by name, without the actor.

    An investor is not told of other investors, unless they have said something here.
    """
    everybody = [party for party in all_parties(session, invoice_id) if party.id != actor.id]
    if actor.role is not Role.INVESTOR:
        return everybody
    spoken = set(
        session.scalars(
            text("SELECT DISTINCT author_id FROM comments WHERE invoice_id = :invoice"), {"invoice": invoice_id}
        )
    )
    return [party for party in everybody if party.role is not Role.INVESTOR or party.id in spoken]
