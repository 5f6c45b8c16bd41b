"""Invoices that are made again and again: what is to be made and when. `recurring_runs` makes them.

What was made stays as it is when the plan is changed. A plan is edited under its `version`, as an invoice is.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

from core import audit, notifications
from core.decimals import spelled
from core.edits import check_version
from core.errors import Conflict, Forbidden, Invalid
from core.events import DomainEvent
from core.identity import Actor, Role
from core.ids import new_id
from core.invoicing import customers, inputs, profiles, recurring_queries, rows
from core.invoicing.inputs import NewInvoice
from core.invoicing.schedule import FREQUENCIES, MAX_EVERY, Frequency, Schedule
from core.invoicing.totals import NewItem
from core.live import announce

MAX_NAME: Final = 200
MAX_RUNS: Final = 10_000
MAX_DAYS: Final = 365
# So far back a first day may lie: what would have been made since is made at once, and nobody wants years of it.
MOST_PAST: Final = timedelta(days=366)
_SCHEDULE = frozenset({"frequency", "every", "starts_on", "ends_on", "most_runs"})


@dataclass(frozen=True, slots=True, kw_only=True)
class NewRecurring:
    """What a seller fills in: an invoice without its days, and when it is made.

    `payment_days` None: those of the contact, else the seller's. Not `auto_issue`: drafts are made. `auto_send`:
    what was issued is mailed to the contact. At most one of `ends_on` and `most_runs`.
    """

    name: str
    contact_id: UUID
    currency: str
    items: Sequence[NewItem]
    frequency: Frequency
    starts_on: date
    every: int = 1
    ends_on: date | None = None
    most_runs: int | None = None
    payment_days: int | None = None
    auto_issue: bool = True
    auto_send: bool = False
    notes: str = ""
    payment_terms: str = ""
    reference: str = ""
    place_of_supply: str | None = None
    reverse_charge: bool = False

    @property
    def schedule(self) -> Schedule:
        """When it is made."""
        return Schedule(**{name: getattr(self, name) for name in _SCHEDULE})

    def invoice(self, issue_date: date, days: int, recurring_id: UUID | None = None) -> NewInvoice:
        """The invoice of a day, due after so many days."""
        return NewInvoice(
            contact_id=self.contact_id,
            currency=self.currency,
            issue_date=issue_date,
            due_date=issue_date + timedelta(days=days),
            items=self.items,
            notes=self.notes,
            payment_terms=self.payment_terms,
            reference=self.reference,
            place_of_supply=self.place_of_supply,
            reverse_charge=self.reverse_charge,
            recurring_id=recurring_id,
        )


FIELDS: Final = tuple(field.name for field in fields(NewRecurring))
_COLUMNS = (
    "name", "contact_id", "currency", "frequency", "every", "starts_on", "ends_on", "most_runs", "payment_days",
    "auto_issue", "auto_send",
)  # fmt: skip
_WORDS = ("notes", "payment_terms", "reference", "place_of_supply", "reverse_charge")


def _check(new: NewRecurring, today: date, *, begins: bool) -> None:
    if not 0 < len(new.name.strip()) <= MAX_NAME:
        raise Invalid("name", f"must have 1 to {MAX_NAME} characters")
    if new.frequency not in FREQUENCIES:
        raise Invalid("frequency", f"must be one of {', '.join(FREQUENCIES)}")
    if type(new.every) is not int or not 1 <= new.every <= MAX_EVERY:
        raise Invalid("every", f"must be 1 to {MAX_EVERY}")
    if begins and new.starts_on < today - MOST_PAST:
        raise Invalid("starts_on", "must not be more than a year ago")
    if new.ends_on is not None and new.ends_on < new.starts_on:
        raise Invalid("ends_on", "must not be before the first day")
    if new.ends_on is not None and new.most_runs is not None:
        raise Invalid("most_runs", "is given beside a last day: one of them ends it")
    if new.most_runs is not None and not 1 <= new.most_runs <= MAX_RUNS:
        raise Invalid("most_runs", f"must be 1 to {MAX_RUNS}")
    if new.payment_days is not None and not 0 <= new.payment_days <= MAX_DAYS:
        raise Invalid("payment_days", f"must be 0 to {MAX_DAYS} days")
    if new.auto_send and not new.auto_issue:
        raise Invalid("auto_send", "is for invoices that are issued: a draft is not sent")


def total_of(session: Session, seller_id: UUID, new: NewRecurring) -> int:
    """What one of the invoices would come to now, in minor units. Raises Invalid, as making it would."""
    example = new.invoice(max(new.starts_on, date(2000, 1, 1)), new.payment_days or 0)
    inputs.check(example)
    terms = rows.Terms.of(profiles.profile(session, seller_id))
    rows.refuse_gst_fields(example, terms)
    customer = customers.wanted(session, seller_id, example)
    return rows.prepare(session, seller_id, example, customer, terms, final=new.auto_issue).totals.total


def template(new: NewRecurring, total: int) -> str:
    """Lines and words as the column holds them; `total` is what they came to when they were written."""
    items = [
        {
            "description": item.description.strip(),
            "quantity": spelled(item.quantity),
            "unit": item.unit.strip(),
            "unit_price": item.unit_price,
            "hsn": item.hsn,
            "discount_rate": spelled(item.discount_rate),
            "tax_rate": spelled(item.tax_rate),
        }
        for item in new.items
    ]
    return json.dumps({"items": items, "total": total, **{name: getattr(new, name) for name in _WORDS}})


def of_row(row: Any) -> NewRecurring:
    """What was filled in, from a row of the table."""
    items = [
        NewItem(**item | {name: Decimal(item[name]) for name in ("quantity", "discount_rate", "tax_rate")})
        for item in row.template["items"]
    ]
    given = {name: getattr(row, name) for name in _COLUMNS}
    return NewRecurring(**given, items=items, **{name: row.template[name] for name in _WORDS})


def create(session: Session, actor: Actor, new: NewRecurring, now: datetime) -> dict[str, Any]:
    """Begin a recurring invoice and return it as `get_recurring` shows it. Nothing is made yet, also where it is due.

    Raises Forbidden, and Invalid naming the field.
    """
    if actor.role is not Role.SELLER:
        raise Forbidden("only sellers make invoices")
    _check(new, now.date(), begins=True)
    total = total_of(session, actor.id, new)
    identity = new_id()
    values = {
        **{name: getattr(new, name) for name in _COLUMNS},
        "name": new.name.strip(),
        "id": identity,
        "seller_id": actor.id,
        "next_on": new.starts_on,
        "created_at": now,
        "updated_at": now,
    }
    session.execute(
        text(
            f"INSERT INTO recurring_invoices ({', '.join(values)}, template) "
            f"VALUES ({', '.join(f':{name}' for name in values)}, CAST(:template AS jsonb))"
        ),
        {**values, "template": template(new, total)},
    )
    audit.record(session, actor, "recurring.created", "recurring_invoice", identity, {"name": new.name.strip()}, now)
    tell(session, actor.id, identity)
    return recurring_queries.get_recurring(session, actor, identity)


def own(session: Session, actor: Actor, recurring_id: UUID) -> Any:
    """The row, locked, for its seller. Raises NotFound, and Forbidden to operators, who only read."""
    row = session.execute(
        text("SELECT * FROM recurring_invoices WHERE id = :id AND seller_id = :seller FOR UPDATE"),
        {"id": recurring_id, "seller": actor.id},
    ).one_or_none()
    if row is None:
        recurring_queries.get_recurring(session, actor, recurring_id)
        raise Forbidden("only the seller changes a recurring invoice")
    return row


def update(
    session: Session,
    actor: Actor,
    recurring_id: UUID,
    changes: Mapping[str, Any],
    now: datetime,
    *,
    expected_version: int | None = None,
) -> dict[str, Any]:
    """Change some FIELDS. A new plan goes on from today, behind what was made; days that are past are not made up.

    Writing what is there already changes nothing. Raises NotFound, Forbidden, Invalid, StaleEdit, and Conflict for
    one that ended.
    """
    row = own(session, actor, recurring_id)
    check_version(session, "recurring_invoice", recurring_id, expected=expected_version, actual=row.version)
    if row.ended_at is not None:
        raise Conflict("this recurring invoice was stopped; begin another one")
    if unknown := changes.keys() - set(FIELDS):
        raise Invalid(min(unknown), "is no field of a recurring invoice")
    before = of_row(row)
    after = replace(before, **changes)
    different = {name for name in FIELDS if getattr(before, name) != getattr(after, name)}
    if not different:
        return recurring_queries.get_recurring(session, actor, recurring_id)
    _check(after, now.date(), begins="starts_on" in different)
    if after.most_runs is not None and after.most_runs < row.runs:
        raise Invalid("most_runs", f"must be at least {row.runs}: so many were made")
    occurrence, next_on = row.occurrence, row.next_on
    if different & _SCHEDULE:
        occurrence, next_on = _from_now(session, row, after, now.date())
    values = {
        **{name: getattr(after, name) for name in _COLUMNS},
        "name": after.name.strip(),
        "occurrence": occurrence,
        "next_on": next_on,
    }
    session.execute(
        text(
            f"UPDATE recurring_invoices SET {', '.join(f'{name} = :{name}' for name in values)}, "
            "template = CAST(:template AS jsonb), version = version + 1, updated_at = :now WHERE id = :id"
        ),
        {
            **values,
            "template": template(after, total_of(session, actor.id, after)),
            "now": now,
            "id": recurring_id,
        },
    )
    told = {name: [_plain(getattr(before, name)), _plain(getattr(after, name))] for name in sorted(different)}
    audit.record(session, actor, "recurring.updated", "recurring_invoice", recurring_id, {"changes": told}, now)
    tell(session, actor.id, recurring_id)
    return recurring_queries.get_recurring(session, actor, recurring_id)


def _plain(value: object) -> object:
    if isinstance(value, date | UUID):
        return str(value)
    return f"{len(value)} lines" if isinstance(value, list | tuple) else value


def _from_now(session: Session, row: Any, after: NewRecurring, today: date) -> tuple[int, date | None]:
    """Where a changed plan goes on: at its first day that is neither made nor, unless it only begins, past."""
    last = session.scalar(text("SELECT max(occurs_on) FROM recurring_runs WHERE recurring_id = :id"), {"id": row.id})
    begin = after.starts_on if last is None and row.occurrence == 0 else max(after.starts_on, today)
    if last is not None:
        begin = max(begin, last + timedelta(days=1))
    occurrence = after.schedule.first_from(begin)
    full = after.most_runs is not None and row.runs >= after.most_runs
    return occurrence, None if full else after.schedule.day(occurrence)


def pause(session: Session, actor: Actor, recurring_id: UUID, now: datetime) -> dict[str, Any]:
    """Make none until it is resumed. A repeat changes nothing. Raises Conflict for one that ended."""
    row = own(session, actor, recurring_id)
    if row.next_on is None:
        raise Conflict("this recurring invoice has ended")
    if row.paused_at is None:
        _set(session, actor, row, "recurring.paused", now, paused_at=now)
    return recurring_queries.get_recurring(session, actor, recurring_id)


def resume(
    session: Session, actor: Actor, recurring_id: UUID, now: datetime, *, catch_up: bool | None = None
) -> dict[str, Any]:
    """Go on. With `catch_up` what was missed is made, one after the other; without, it is left out.

    Left to itself (None) it makes up for what a trouble kept it from, and not for a pause that somebody wanted.
    """
    row = own(session, actor, recurring_id)
    if row.paused_at is None:
        return recurring_queries.get_recurring(session, actor, recurring_id)
    changes: dict[str, Any] = {"paused_at": None, "trouble": None}
    wanted = row.trouble is not None if catch_up is None else catch_up
    if not wanted and row.next_on is not None and row.next_on < now.date():
        schedule = of_row(row).schedule
        changes["occurrence"] = schedule.first_from(now.date())
        changes["next_on"] = schedule.day(changes["occurrence"])
    _clear(session, recurring_id, now)
    _set(session, actor, row, "recurring.resumed", now, **changes)
    return recurring_queries.get_recurring(session, actor, recurring_id)


def stop(session: Session, actor: Actor, recurring_id: UUID, now: datetime) -> dict[str, Any] | None:
    """End it for good; one that never made anything is deleted, and None is what is left of it."""
    row = own(session, actor, recurring_id)
    made = session.scalar(
        text("SELECT EXISTS (SELECT FROM recurring_runs WHERE recurring_id = :id)"), {"id": recurring_id}
    )
    if not made:
        session.execute(text("DELETE FROM recurring_invoices WHERE id = :id"), {"id": recurring_id})
        audit.record(session, actor, "recurring.deleted", "recurring_invoice", recurring_id, {"name": row.name}, now)
        tell(session, actor.id, recurring_id)
        return None
    if row.ended_at is None:
        _clear(session, recurring_id, now)
        _set(session, actor, row, "recurring.stopped", now, ended_at=now, next_on=None, paused_at=None, trouble=None)
    return recurring_queries.get_recurring(session, actor, recurring_id)


def _clear(session: Session, recurring_id: UUID, now: datetime) -> None:
    announce(session, notifications.clear(session, recurring_id, ["recurring.paused"], now))


def _set(session: Session, actor: Actor, row: Any, action: str, now: datetime, **changes: Any) -> None:
    sets = ", ".join(f"{name} = :{name}" for name in changes)
    session.execute(
        text(f"UPDATE recurring_invoices SET {sets}, version = version + 1, updated_at = :now WHERE id = :id"),
        {**changes, "now": now, "id": row.id},
    )
    told = {name: [_moment(getattr(row, name)), _moment(value)] for name, value in changes.items()}
    audit.record(session, actor, action, "recurring_invoice", row.id, {"changes": told}, now)
    tell(session, row.seller_id, row.id)


def _moment(value: object) -> object:
    return value.isoformat() if isinstance(value, date) else value


def tell(session: Session, seller_id: UUID, recurring_id: UUID) -> None:
    """Tell the seller's pages that it changed."""
    data: dict[str, object] = {"recurring_id": str(recurring_id)}
    announce(session, [DomainEvent(room=f"user:{seller_id}", name="recurring.updated", data=data)])
