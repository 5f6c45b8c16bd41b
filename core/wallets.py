"""Wallets: what people can spend, shown to them. It is demo money, issued once to everybody."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any, Literal
from uuid import UUID

from sqlalchemy import Connection, Row, text
from sqlalchemy.orm import Session

from core import ledger, paging
from core.ledger import Account, Leg, Purpose, Transfer
from core.money import Money

CURRENCY = "INR"
# ₹10,00,000 in paise.
WELCOME = 1_00_000_000
EXPORT_COLUMNS = (
    "at", "type", "amount", "balance_after", "currency", "amount_minor", "balance_after_minor", "kind", "description",
    "invoice_id", "id",
)  # fmt: skip
Side = Literal["credit", "debit"]
_EXPORT_BATCH = 500


def _grant(user_id: UUID) -> Transfer:
    return Transfer(
        kind="wallet.welcome",
        key=f"welcome:{user_id}",
        legs=[
            Leg(ledger.platform(Purpose.ISSUANCE, CURRENCY), -WELCOME),
            Leg(ledger.wallet(user_id, CURRENCY), WELCOME),
        ],
        description="Welcome: demo money",
    )


def welcome(where: Session | Connection, user_id: UUID, now: datetime) -> bool:
    """Issue a person's demo money, once. Whether this call did."""
    return not ledger.post(where, [_grant(user_id)], now)[0].duplicate


_WITHOUT = text(
    "SELECT id FROM users WHERE is_active AND NOT EXISTS "
    "(SELECT FROM ledger_keys WHERE ledger_keys.key = 'welcome:' || users.id) ORDER BY id LIMIT :limit"
)


def welcome_all(where: Session | Connection, now: datetime, limit: int = 500) -> int:
    """The same for people who were here before; returns how many. For the housekeeping of a demo installation."""
    people = where.execute(_WITHOUT, {"limit": limit}).scalars().all()
    return sum(not one.duplicate for one in ledger.post(where, [_grant(person) for person in people], now))


def balance(
    where: Session | Connection, user_id: UUID, currency: str = CURRENCY, *, at: datetime | None = None
) -> dict[str, Any]:
    """`{balance, available, held, currency}`, amounts in minor units; with `at` as the books said at that instant."""
    account = ledger.wallet(user_id, currency)
    found = ledger.balance(where, account) if at is None else ledger.books_at(where, account, at)
    return {"balance": found.balance, "available": found.available, "held": found.held, "currency": currency}


def transactions(
    where: Session | Connection,
    user_id: UUID,
    *,
    limit: int = 25,
    cursor: str | None = None,
    side: Side | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    currency: str = CURRENCY,
) -> dict[str, Any]:
    """One page of a wallet's movements, newest first: `{items, next_cursor}`. Raises Invalid.

    `side` leaves one side; `since` (inclusive) and `until` (exclusive) are instants of recording. An item is `{id,
    type: credit|debit, amount, balance_after, currency, kind, description, invoice_id, transfer_id, at,
    effective_at}`, amounts in minor units, `amount` without a sign. `at` is when it was recorded, by which the list
    is ordered and `balance_after` adds up; `effective_at` is when it counts from.
    """
    account = ledger.wallet(user_id, currency)
    before, after = _between(where, account, paging.after_number(cursor), since, until)
    rows = ledger.statement(where, account, limit=paging.check_limit(limit) + 1, before=before, after=after, side=side)
    return paging.page(rows, limit, shape)


_INSTANT = timedelta(microseconds=1)


def _between(
    where: Session | Connection, account: Account, before: int | None, since: datetime | None, until: datetime | None
) -> tuple[int | None, int]:
    """Sequence numbers around the entries of a time: (before, after), neither included."""
    if until is not None:
        end = ledger.sequence_at(where, account, until - _INSTANT) + 1
        before = end if before is None else min(before, end)
    return before, 0 if since is None else ledger.sequence_at(where, account, since - _INSTANT)


def export(
    where: Session | Connection,
    user_id: UUID,
    currency: str = CURRENCY,
    *,
    side: Side | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
) -> Iterator[tuple[str, ...]]:
    """The statement as rows of a CSV file, newest first, its header (EXPORT_COLUMNS) first; filters as above.

    Amounts are decimal text in major units, and again whole minor units; debits with a minus.
    """
    yield EXPORT_COLUMNS
    account = ledger.wallet(user_id, currency)
    before, after = _between(where, account, None, since, until)
    while rows := ledger.statement(where, account, limit=_EXPORT_BATCH, before=before, after=after, side=side):
        for row in rows:
            yield _exported(row)
        before = rows[-1].id


def shape(row: Row[Any]) -> dict[str, Any]:
    """An entry of a wallet, a row of `ledger.statement`, as `transactions` shows it."""
    return {
        "id": str(row.entry_id),
        "type": "credit" if row.amount > 0 else "debit",
        "amount": abs(row.amount),
        "balance_after": row.balance_after,
        "currency": row.currency,
        "kind": row.kind,
        "description": row.description,
        "invoice_id": str(row.invoice_id) if row.invoice_id else None,
        "transfer_id": str(row.transfer_id),
        "at": row.recorded_at,
        "effective_at": row.effective_at,
    }


def _exported(row: Row[Any]) -> tuple[str, ...]:
    shown = shape(row)
    shown["at"] = row.recorded_at.isoformat()
    shown["amount_minor"], shown["balance_after_minor"] = row.amount, row.balance_after
    shown["amount"] = Money(row.amount, row.currency).to_decimal()
    shown["balance_after"] = Money(row.balance_after, row.currency).to_decimal()
    shown["description"] = _plain(row.description)
    return tuple("" if shown[name] is None else str(shown[name]) for name in EXPORT_COLUMNS)


def _plain(text: str) -> str:
    # A spreadsheet would run what begins like a formula.
    return f"'{text}" if text[:1] in {"=", "+", "-", "@", "\t", "\r"} else text
