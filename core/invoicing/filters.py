"""Which invoices a list shows, and in which order. A list of another page adds its conditions here."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from datetime import date
from typing import Any, Final
from uuid import UUID

from core import paging
from core.errors import Invalid
from core.identity import Actor, Role
from core.ids import parse_id
from core.invoicing import stages
from core.lists import search
from core.marketplace import shapes
from core.marketplace.states import State
from core.money import MAX_MINOR

PAYMENT_STATUSES: Final = ("draft", "open", "partial", "paid", "void")
# What is shown as `status`: see core.marketplace.shapes.STATUS.
STATUSES: Final = (*PAYMENT_STATUSES, *(state.value for state in State))
_PAST: Final = "invoices.due_date < (now() AT TIME ZONE 'UTC')::date"
LATE: Final = f"invoices.status IN ('open', 'partial') AND {_PAST}"
# What people ask for that is not one state: what still has money coming, and what is late, financed or not.
_GROUPS: Final = {"unpaid": "invoices.status IN ('open', 'partial')", "overdue": LATE}
FILTERS: Final = tuple(dict.fromkeys((*STATUSES, *_GROUPS)))

# What an invoice's stage says of what is paid of it; of the others that nothing is.
_STAGED: Final = {
    **{stage: f"= '{stage}'" for stage in ("draft", "paid", "void", "partial")},
    "overdue": "IN ('open', 'partial')",
}

# Orders: what is compared beside the id, and the type of what a cursor holds of it. A minus is the other way round.
_KEYS: Final = {
    "due": ("invoices.due_date", "date"),
    "amount": ("invoices.total", "bigint"),
    "number": ("coalesce(invoices.number, '')", "text"),
    # A name may be long: the cursor holds the contact, and the name is looked up.
    "customer": ("lower(contacts.name)", "uuid"),
}
SORTS: Final = ("newest", "oldest", *_KEYS, *(f"-{name}" for name in _KEYS))


@dataclass(frozen=True, slots=True, kw_only=True)
class Filters:
    """What is asked of a list of invoices; what is None or empty is not asked.

    `status` is a state as it is shown, or unpaid or overdue; `payment_status` is what is paid, financed or not;
    `stage` how far it has come. Days are inclusive, amounts are totals in minor units of whatever currency.
    `search` looks in number, reference, customer, lines and notes: core.lists.search says how.
    """

    status: str | None = None
    payment_status: str | None = None
    stage: str | None = None
    contact_id: UUID | None = None
    recurring_id: UUID | None = None
    currency: str | None = None
    issued_from: date | None = None
    issued_to: date | None = None
    due_from: date | None = None
    due_to: date | None = None
    amount_min: int | None = None
    amount_max: int | None = None
    search: str | None = None
    sort: str = "newest"


_EXACT: Final = {
    "contact_id": "invoices.contact_id = :contact_id",
    "recurring_id": "invoices.recurring_id = :recurring_id",
    "currency": "invoices.currency = :currency",
    "issued_from": "invoices.issue_date >= :issued_from",
    "issued_to": "invoices.issue_date <= :issued_to",
    "due_from": "invoices.due_date >= :due_from",
    "due_to": "invoices.due_date <= :due_to",
    "amount_min": "invoices.total >= :amount_min",
    "amount_max": "invoices.total <= :amount_max",
}


def conditions(asked: Filters, actor: Actor, found_by: search.Found | None = None) -> tuple[list[str], dict[str, Any]]:
    """SQL conditions on invoices joined with contacts and their newest financing, and their values. Raises Invalid.

    `found_by` is what core.lists.search.find says of the words that are searched for.
    """
    found: list[str] = []
    values: dict[str, Any] = {}
    if asked.status:
        found.append(_with_status(asked.status))
        values["status"] = asked.status
    if asked.payment_status:
        _one_of("payment_status", asked.payment_status, PAYMENT_STATUSES)
        found.append("invoices.status = :payment_status")
        values["payment_status"] = asked.payment_status
    if asked.stage:
        _one_of("stage", asked.stage, stages.STAGES)
        # The first part finds the few by an index.
        paid = _STAGED.get(asked.stage, "= 'open'")
        # What is open and not overdue is due today or later: of old invoices that are few.
        young = "" if asked.stage in _STAGED else f" AND {_PAST.replace('<', '>=')}"
        found.append(f"invoices.status {paid}{young} AND {stages.SQL} = :stage")
        values["stage"] = asked.stage
    for name, condition in _EXACT.items():
        value = getattr(asked, name)
        if value is None:
            continue
        if isinstance(value, int) and not 0 <= value <= MAX_MINOR:
            raise Invalid(name, f"must be 0 to {MAX_MINOR} minor units")
        found.append(condition)
        values[name] = value
    if asked.search:
        searched, more = search.condition(asked.search, actor, found_by or search.Found())
        found.append(searched)
        values |= more
    return found, values


def _one_of(field: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise Invalid(field, f"must be one of {', '.join(allowed)}")


def _with_status(status: str) -> str:
    _one_of("status", status, FILTERS)
    if status in _GROUPS:
        return _GROUPS[status]
    if status in PAYMENT_STATUSES:
        return f"invoices.status = :status AND {shapes.STATUS} = :status"
    # The first half finds the few by an index; the second leaves out those whose newest financing says otherwise.
    return f"invoices.id IN (SELECT invoice_id FROM financings WHERE state = :status) AND {shapes.STATUS} = :status"


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """How a list is sorted, from where on."""

    name: str
    sql: str
    after: str | None
    values: dict[str, Any]
    # What all of the list are anyway, said so that an index is found.
    where: str | None = None

    def key(self, row: Any) -> tuple[str, str, UUID]:
        """The place of a row that has the columns of KEYS, for a cursor."""
        column = {"due": "due_date", "amount": "total", "number": "number", "customer": "contact_id"}
        value = getattr(row, column[self.name.lstrip("-")]) if self.name.lstrip("-") in column else ""
        return self.name, "" if value is None else str(value), row.id


def order(asked: Filters, actor: Actor, cursor: str | None) -> Order:
    """The order of a list and the condition that continues it. Raises Invalid.

    Operators, who see everybody's, read by age: no other order of all invoices has an index.
    """
    _one_of("sort", asked.sort, SORTS)
    if asked.sort in {"newest", "oldest"}:
        down = asked.sort == "newest"
        after = paging.after_id(cursor)
        return Order(
            name=asked.sort,
            sql=f"invoices.id {'DESC' if down else 'ASC'}",
            after=None if after is None else f"invoices.id {'<' if down else '>'} :after",
            values={} if after is None else {"after": after},
        )
    if actor.role is Role.OPERATOR and asked.contact_id is None:
        raise Invalid("sort", "operators read invoices newest or oldest first")
    down = asked.sort.startswith("-")
    key, kind = _KEYS[asked.sort.lstrip("-")]
    direction = "DESC" if down else "ASC"
    after_sql, values = None, {}
    by_name = kind == "uuid" and actor.role is Role.SELLER
    if cursor:
        name, spelled, identity = paging.after_key(cursor)
        if name != asked.sort:
            raise Invalid("cursor", "is not one that this order gave out")
        place = "(SELECT lower(name) FROM contacts WHERE id = :after_key)" if kind == "uuid" else ":after_key"
        after_sql = f"({key}, invoices.id) {'<' if down else '>'} ({place}, :after)"
        if by_name:
            # Two tables' columns have no index together; the names alone have.
            after_sql += f" AND {key} {'<=' if down else '>='} {place}"
        values = {"after_key": _value(spelled, kind), "after": identity}
    return Order(
        name=asked.sort,
        sql=f"{key} {direction}, invoices.id {direction}",
        after=after_sql,
        values=values,
        where="contacts.user_id = :actor" if by_name else None,
    )


def _value(spelled: str, kind: str) -> Any:
    """What a cursor holds, as its type. Raises Invalid."""
    found: Any = None
    with suppress(ValueError):
        match kind:
            case "date":
                found = date.fromisoformat(spelled)
            case "bigint":
                found = number if 0 <= (number := int(spelled)) <= MAX_MINOR else None
            case "uuid":
                found = parse_id(spelled)
            case _:
                # What no column can hold was not given out here; UnicodeEncodeError is a ValueError.
                found = None if b"\x00" in spelled.encode("utf-8") else spelled
    if found is None:
        raise Invalid("cursor", "is not one that this list gave out")
    return found
