"""Wallets: what people can spend, shown to them. It is demo money, issued once to everybody."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Row
from sqlalchemy.orm import Session

from core import ledger, paging
from core.ledger import Leg, Purpose, Transfer
from core.money import Money

CURRENCY = "INR"
# ₹10,00,000 in paise.
WELCOME = 1_00_000_000
EXPORT_COLUMNS = ("at", "type", "amount", "balance_after", "currency", "kind", "description", "invoice_id", "id")
_EXPORT_BATCH = 500


def welcome(where: Session | Connection, user_id: UUID, now: datetime) -> bool:
    """Issue a person's demo money, once. Whether this call did."""
    grant = Transfer(
        kind="wallet.welcome",
        key=f"welcome:{user_id}",
        legs=[
            Leg(ledger.platform(Purpose.ISSUANCE, CURRENCY), -WELCOME),
            Leg(ledger.wallet(user_id, CURRENCY), WELCOME),
        ],
        description="Welcome: demo money",
    )
    return not ledger.post(where, [grant], now)[0].duplicate


def balance(where: Session | Connection, user_id: UUID, currency: str = CURRENCY) -> dict[str, Any]:
    """`{balance, available, held, currency}`, amounts in minor units."""
    found = ledger.balance(where, ledger.wallet(user_id, currency))
    return {"balance": found.balance, "available": found.available, "held": found.held, "currency": currency}


def transactions(
    where: Session | Connection,
    user_id: UUID,
    *,
    limit: int = 25,
    cursor: str | None = None,
    currency: str = CURRENCY,
) -> dict[str, Any]:
    """One page of a wallet's movements, newest first: `{items, next_cursor}`. Raises Invalid.

    An item is `{id, type: credit|debit, amount, balance_after, currency, kind, description, invoice_id, transfer_id,
    at}`, amounts in minor units, `amount` without a sign.
    """
    before = paging.after_number(cursor)
    rows = ledger.statement(where, ledger.wallet(user_id, currency), limit=paging.check_limit(limit) + 1, before=before)
    return paging.page(rows, limit, _shape)


def export(where: Session | Connection, user_id: UUID, currency: str = CURRENCY) -> Iterator[tuple[str, ...]]:
    """The whole statement as rows of a CSV file, newest first, its header (EXPORT_COLUMNS) first.

    Amounts are decimal text in major units, debits with a minus.
    """
    yield EXPORT_COLUMNS
    before: int | None = None
    while rows := ledger.statement(where, ledger.wallet(user_id, currency), limit=_EXPORT_BATCH, before=before):
        for row in rows:
            yield _exported(row)
        before = rows[-1].id


def _shape(row: Row[Any]) -> dict[str, Any]:
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
        "at": row.effective_at,
    }


def _exported(row: Row[Any]) -> tuple[str, ...]:
    shape = _shape(row)
    shape["at"] = row.effective_at.isoformat()
    shape["amount"] = Money(row.amount, row.currency).to_decimal()
    shape["balance_after"] = Money(row.balance_after, row.currency).to_decimal()
    shape["description"] = _plain(row.description)
    return tuple("" if shape[name] is None else str(shape[name]) for name in EXPORT_COLUMNS)


def _plain(text: str) -> str:
    # A spreadsheet would run what begins like a formula.
    return f"'{text}" if text[:1] in {"=", "+", "-", "@", "\t", "\r"} else text
