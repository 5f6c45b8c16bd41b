"""The financings of a seller or a buyer, in the groups in which they are worked through."""

from __future__ import annotations

from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from core import paging
from core.errors import Forbidden, Invalid
from core.identity import Actor, Role
from core.marketplace.states import OWING, State

# What each group holds; the pages show them in this order.
GROUPS: dict[Role, dict[str, frozenset[State]]] = {
    Role.SELLER: {
        "waiting": frozenset({State.PENDING, State.DISPUTED}),
        "confirmed": frozenset({State.CONFIRMED}),
        "listed": frozenset({State.LISTED, State.PARTIALLY_FUNDED, State.SETTLEMENT_PENDING}),
        "funded": OWING,
        "closed": frozenset({State.REPAID, State.WRITTEN_OFF, State.REJECTED, State.EXPIRED, State.WITHDRAWN}),
    },
    Role.BUYER: {
        "to_confirm": frozenset({State.PENDING, State.DISPUTED}),
        "to_pay": frozenset({State.CONFIRMED, State.LISTED, State.PARTIALLY_FUNDED, State.SETTLEMENT_PENDING}) | OWING,
        "closed": frozenset({State.REPAID, State.WRITTEN_OFF, State.REJECTED, State.EXPIRED, State.WITHDRAWN}),
    },
}
GROUPS[Role.OPERATOR] = GROUPS[Role.SELLER]
_OWNED = {
    Role.SELLER: "financings.seller_id = :actor",
    Role.BUYER: "financings.buyer_id = :actor",
    Role.OPERATOR: "true",
}


def _shape(row: Any) -> dict[str, Any]:
    names = (
        "state", "currency", "face", "confirmed_amount", "outlay", "placed_outlay", "discount", "principal", "pay_date",
        "due_date", "closes_at", "confirm_by", "funded_at", "repaid_principal", "mode",
    )  # fmt: skip
    return {
        "id": str(row.id),
        "invoice_id": str(row.invoice_id),
        "number": row.number,
        "buyer": row.buyer,
        "seller": row.seller,
        "amount_due": row.amount_due,
        "updated_at": row.updated_at,
        **{name: getattr(row, name) for name in names},
    }


def list_mine(
    session: Session, actor: Actor, group: str, *, limit: int = 25, cursor: str | None = None
) -> dict[str, Any]:
    """A page of a group, newest first, and how many each group holds (`counts`). Raises Forbidden for investors."""
    groups = GROUPS.get(actor.role)
    if groups is None:
        raise Forbidden("this is for sellers and buyers")
    if group not in groups:
        raise Invalid("group", f"must be one of {', '.join(groups)}")
    values: dict[str, Any] = {
        "actor": actor.id,
        "states": sorted(groups[group]),
        "limit": paging.check_limit(limit) + 1,
    }
    after = ""
    if (identity := paging.after_id(cursor)) is not None:
        after, values["after"] = "AND financings.id < :after", identity
    rows = session.execute(
        text(
            "SELECT financings.*, invoices.number, invoices.amount_due, "
            "coalesce(nullif(buyers.organisation, ''), buyers.name, contacts.name) AS buyer, "
            "coalesce(nullif(sellers.organisation, ''), sellers.name) AS seller FROM financings "
            "JOIN invoices ON invoices.id = financings.invoice_id JOIN contacts ON contacts.id = invoices.contact_id "
            "JOIN users sellers ON sellers.id = financings.seller_id "
            "LEFT JOIN users buyers ON buyers.id = financings.buyer_id "
            f"WHERE {_OWNED[actor.role]} AND financings.state = ANY(:states) {after} "
            "ORDER BY financings.id DESC LIMIT :limit"
        ),
        values,
    ).all()
    counted = {
        row.state: row.held
        for row in session.execute(
            text(f"SELECT state, count(*) AS held FROM financings WHERE {_OWNED[actor.role]} GROUP BY state"),
            {"actor": actor.id},
        )
    }
    counts = {name: sum(counted.get(state.value, 0) for state in held) for name, held in groups.items()}
    return {**paging.page(rows, limit, _shape), "counts": counts}
