"""Small books for the engine, without a database."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from core.invoicing.references import number_key
from core.reconciliation import engine
from core.reconciliation.engine import Judgement
from core.reconciliation.features import Book, Booked, Contact, Line, OpenInvoice
from core.reconciliation.payers import identities
from core.reconciliation.weights import CURRENT, Weights

OWNER = UUID(int=1)
DUE = date(2026, 10, 31)


def contact(place: int = 1, name: str = "Rao Textiles Pvt Ltd", rate: str | None = None) -> Contact:
    return Contact(id=UUID(int=100 + place), name=name, names=(name,), tds_rate=None if rate is None else Decimal(rate))


def bill(number: int, due: int = 118_000, owner: Contact | None = None, **more: Any) -> OpenInvoice:
    name = f"INV-2026-{number:05d}"
    given: dict[str, Any] = {"total": due, "taxable": due * 100 // 118, "issue_date": DUE - timedelta(days=30)}
    given |= {"due_date": DUE, "currency": "INR"} | more
    return OpenInvoice(
        id=UUID(int=1000 + number), number=name, key=number_key(name), due=due,
        contact_id=(owner or contact()).id, **given,
    )  # fmt: skip


def line(narration: str, amount: int = 118_000, place: int = 1, **more: Any) -> Line:
    payer = more.pop("payer", None)
    given: dict[str, Any] = {"day": DUE, "currency": "INR", "source": "bank"} | more
    return Line(
        id=UUID(int=10_000 + place), amount=amount, narration=narration, counterparty=payer,
        identities=tuple(identities(OWNER, narration, payer)), **given,
    )  # fmt: skip


def judge(
    lines: Sequence[Line],
    invoices: Sequence[OpenInvoice],
    *,
    contacts: Sequence[Contact] | None = None,
    weights: Weights = CURRENT,
    booked: Sequence[Booked] = (),
    **more: Any,
) -> list[Judgement]:
    known = {one.id: one for one in ([contact()] if contacts is None else contacts)}
    return engine.judge(Book(lines=lines, invoices=invoices, contacts=known, booked=booked, **more), weights)


def numbers(judged: Judgement) -> list[int]:
    """Which invoices (by `bill`'s number) a judgement means."""
    return [invoice.int - 1000 for invoice, _ in judged.targets]
