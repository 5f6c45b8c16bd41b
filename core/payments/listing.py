"""Lists of payments: filtered, searched, ordered, a page at a time."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final, Literal
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

from core import paging
from core.contacts.money import OF_CONTACT
from core.errors import Invalid
from core.identity import Actor, Role
from core.payments import queries

SORTS: Final = ("-date", "date", "-amount", "amount")
# Column and direction of each order; an operator reads over all users, where only the order of arrival has an index.
_ORDERS: Final = {
    "-date": ("payments.occurred_at", "DESC"),
    "date": ("payments.occurred_at", "ASC"),
    "-amount": ("payments.amount", "DESC"),
    "amount": ("payments.amount", "ASC"),
    "arrival": ("payments.id", "DESC"),
}
_SEARCHED: Final = (
    "payments.payer_name", "payments.payer_email", "payments.bank_reference", "payments.description",
    "payments.notes", "payments.object_id", "invoices.number", "contacts.name",
)  # fmt: skip
# A buyer finds by what a buyer reads.
_SEARCHED_BY_BUYERS: Final = ("payments.bank_reference", "invoices.number")
_YEARS: Final = range(1970, 9999)


@dataclass(frozen=True, slots=True, kw_only=True)
class Filters:
    """Which payments. Days are those of UTC, both included; amounts are minor units, both included."""

    status: str | None = None
    source: str | None = None
    method: str | None = None
    contact_id: UUID | None = None
    invoice_id: UUID | None = None
    since: date | None = None
    until: date | None = None
    least: int | None = None
    most: int | None = None
    state: Literal["unapplied", "disputed"] | None = None
    search: str | None = None


def list_payments(
    session: Session,
    actor: Actor,
    filters: Filters | None = None,
    *,
    limit: int = 25,
    cursor: str | None = None,
    sort: str | None = None,
) -> dict[str, Any]:
    """Payments, the newest money first unless sorted otherwise; without what only `get_payment` shows.

    Raises Invalid for a filter, order or cursor that there is not.
    """
    asked = filters or Filters()
    if sort is not None and sort not in SORTS:
        raise Invalid("sort", f"must be one of {', '.join(SORTS)}")
    order = sort or ("arrival" if actor.is_operator and not (asked.invoice_id or asked.contact_id) else "-date")
    values: dict[str, Any] = {"actor": actor.id, "limit": paging.check_limit(limit) + 1}
    conditions = [queries.visible(actor), *_conditions(asked, values, buyer=actor.role is Role.BUYER)]
    column, direction = _ORDERS[order]
    if cursor:
        conditions.append(_after(cursor, order, values))
    ordered = f"{column} {direction}, payments.id {direction}" if order != "arrival" else f"{column} {direction}"
    rows = session.execute(
        text(
            f"SELECT {queries.columns(actor)} FROM {queries.FROM} WHERE {' AND '.join(conditions)} "
            f"ORDER BY {ordered} LIMIT :limit"
        ),
        values,
    ).all()
    return paging.page_by_key(
        rows, limit, lambda row: queries.shape(row, actor), lambda row: (order, _place(row, order), row.id)
    )


def _place(row: Any, order: str) -> str:
    if order == "arrival":
        return ""
    return str(row.amount) if order.endswith("amount") else row.occurred_at.isoformat()


def _after(cursor: str, order: str, values: dict[str, Any]) -> str:
    """The condition of what comes behind a cursor. Raises Invalid."""
    of_order, place, identity = paging.after_key(cursor)
    column, direction = _ORDERS[order]
    sign = "<" if direction == "DESC" else ">"
    values["after"] = identity
    if of_order == order == "arrival":
        return "payments.id < :after"
    value: object = None
    with suppress(ValueError):
        value = int(place) if order.endswith("amount") else datetime.fromisoformat(place)
    moment_without_zone = isinstance(value, datetime) and value.tzinfo is None
    if of_order != order or value is None or moment_without_zone or (isinstance(value, int) and abs(value) > 2**62):
        raise Invalid("cursor", "is not one that this list gave out")
    values["place"] = value
    return f"({column}, payments.id) {sign} (:place, :after)"


def _equal(asked: Filters, values: dict[str, Any]) -> list[str]:
    found = []
    for name, allowed in (("status", queries.STATUSES), ("source", queries.SOURCES)):
        value = getattr(asked, name)
        if value is not None and value not in allowed:
            raise Invalid(name, f"must be one of {', '.join(allowed)}")
    for name, condition in {
        "status": "payments.status = :status",
        "source": "payments.source = :source",
        "method": "payments.method = :method",
        "invoice_id": "payments.id IN (SELECT named.id FROM payments AS named WHERE named.invoice_id = :invoice_id "
        "UNION SELECT target.payment_id FROM payment_targets AS target WHERE target.invoice_id = :invoice_id)",
        "least": "payments.amount >= :least",
        "most": "payments.amount <= :most",
    }.items():
        if getattr(asked, name) is not None:
            found.append(condition)
            values[name] = getattr(asked, name)
    return found


def _conditions(asked: Filters, values: dict[str, Any], *, buyer: bool) -> list[str]:
    found = _equal(asked, values)
    if asked.contact_id is not None:
        found.append(f"payments.id IN (SELECT theirs.id FROM ({OF_CONTACT}) AS theirs)")
        values["contact"] = asked.contact_id
    if asked.since is not None:
        found.append("payments.occurred_at >= :since")
        values["since"] = _midnight("from", asked.since)
    if asked.until is not None:
        found.append("payments.occurred_at < :until")
        values["until"] = _midnight("to", asked.until) + timedelta(days=1)
    if asked.state == "unapplied":
        found.append("payments.net > payments.allocated AND payments.trust <> 'hint'")
    if asked.state == "disputed":
        found.append(queries.DISPUTED)
    if asked.search:
        searched = _SEARCHED_BY_BUYERS if buyer else _SEARCHED
        found.append("(" + " OR ".join(f"{column} ILIKE :search" for column in searched) + ")")
        values["search"] = paging.contains(asked.search)
    return found


def _midnight(field: str, day: date) -> datetime:
    if day.year not in _YEARS:
        raise Invalid(field, f"must lie in {_YEARS.start} to {_YEARS.stop - 1}")
    return datetime(day.year, day.month, day.day, tzinfo=UTC)
