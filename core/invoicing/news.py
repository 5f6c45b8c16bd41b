"""Who is told of what happens to an invoice."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

from core import books
from core.events import DomainEvent
from core.invoicing import overdue
from core.live import announce

_TOLD = ("number", "status", "stage", "amount_paid", "amount_due", "total", "currency")


def tell(
    session: Session, name: str, invoice: dict[str, Any], now: datetime, *, stage_before: str | None = None
) -> None:
    """Tell the parties, and whoever looks at the invoice; of another stage than before a second time, by its name.

    A draft is the seller's alone. Whatever is told has changed, and the seller's books follow.
    """
    books.touch(session, now)
    people = [invoice["seller"]["id"], None if invoice["status"] == "draft" else invoice["buyer_id"]]
    rooms = [f"user:{person}" for person in people if person is not None]
    data: dict[str, object] = {"invoice_id": invoice["id"], **{field: invoice[field] for field in _TOLD}}
    moved: dict[str, object] = {
        "invoice_id": invoice["id"],
        "number": invoice["number"],
        "before": stage_before,
        "after": invoice["stage"],
    }
    if invoice["stage"] == "overdue" and (stage_before not in {None, "overdue"} or name == "invoice.created"):
        overdue.said(session, [invoice["id"]])
    everywhere = (*rooms, f"invoice:{invoice['id']}")
    announce(
        session,
        [
            *(DomainEvent(room=room, name=name, data=data) for room in everywhere),
            *(
                DomainEvent(room=room, name="invoice.status_changed", data=moved)
                for room in everywhere
                if stage_before not in {None, invoice["stage"]}
            ),
            *(DomainEvent(room=room, name="dashboard.updated", data={}) for room in rooms),
        ],
    )
