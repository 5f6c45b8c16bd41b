"""A person's own investments, listed."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

from sqlalchemy import text
from sqlalchemy.orm import Session

from core import paging
from core.errors import Invalid
from core.identity import Actor
from core.marketplace import shapes

_SELLER: Final = "coalesce(nullif(sellers.organisation, ''), sellers.name)"
_BUYER: Final = "coalesce(nullif(buyers.organisation, ''), nullif(buyers.name, ''), contacts.name)"
STATUSES: Final = ("held", "settled", "repaid", "voided", "open", "overdue")
_GROUPS: Final = {
    # Still to come back.
    "open": "investments.status IN ('held', 'settled')",
    "overdue": "investments.status = 'settled' AND financings.state IN ('overdue', 'defaulted')",
}


def investments(
    session: Session,
    actor: Actor,
    *,
    status: str | None = None,
    search: str | None = None,
    currency: str | None = None,
    limit: int = 25,
    cursor: str | None = None,
    at: datetime | None = None,
) -> dict[str, Any]:
    """A page of a person's own investments, newest first; those whose hold was released only when asked for.

    With `at`, those that there were at that instant, as they stand now; `status` is always today's.
    """
    conditions = ["investments.investor_id = :actor"]
    values: dict[str, Any] = {"actor": actor.id, "limit": paging.check_limit(limit) + 1}
    if status and status not in STATUSES:
        raise Invalid("status", f"must be one of {', '.join(STATUSES)}")
    if status:
        conditions.append(_GROUPS.get(status, "investments.status = :status"))
        values["status"] = status
    elif at is None:
        conditions.append("investments.status <> 'voided'")
    else:
        conditions.append("(investments.status <> 'voided' OR investments.closed_at > :at)")
    if currency:
        conditions.append("financings.currency = :currency")
        values["currency"] = currency
    if search:
        conditions.append(f"(invoices.number ILIKE :search OR {_SELLER} ILIKE :search OR {_BUYER} ILIKE :search)")
        values["search"] = paging.contains(search)
    if at is not None:
        conditions.append("investments.created_at <= :at")
        values["at"] = at.astimezone(UTC)
    if (after := paging.after_id(cursor)) is not None:
        conditions.append("investments.id < :after")
        values["after"] = after
    rows = session.execute(
        text(
            f"SELECT {shapes.INVESTMENT}, financings.state, {_SELLER} AS seller, {_BUYER} AS buyer "
            f"FROM {shapes.INVESTED_IN} JOIN users AS sellers ON sellers.id = invoices.seller_id "
            "JOIN contacts ON contacts.id = invoices.contact_id "
            "LEFT JOIN users AS buyers ON buyers.id = invoices.buyer_id "
            f"WHERE {' AND '.join(conditions)} ORDER BY investments.id DESC LIMIT :limit"
        ),
        values,
    ).all()
    return paging.page(rows, limit, _held)


def _held(row: Any) -> dict[str, Any]:
    return {**shapes.investment(row), "invoice_status": row.state, "seller": row.seller, "buyer": row.buyer}
