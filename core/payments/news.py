"""What people hear of payments and of the invoices that they fill."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from core.payments.merge import PaymentState
from core.statements import Outcome


def announce(
    touched: Mapping[UUID, PaymentState],
    invoices: Mapping[UUID, Mapping[str, Any]],
    changed: Sequence[Mapping[str, Any]],
    changes: Mapping[tuple[UUID, UUID], int],
    origins: Mapping[UUID, UUID],
    outcome: Outcome,
) -> None:
    """Tell of payments, and of the invoices of which now something else is paid (`changed`)."""
    sources = {pair[1]: origins.get(pair[0]) for pair in changes}
    for state in touched.values():
        _payment(state, invoices, origins.get(state.id), outcome)
    for invoice in changed:
        rooms = [f"user:{invoice['seller_id']}", f"invoice:{invoice['id']}"]
        if invoice["buyer_id"] is not None:
            rooms.append(f"user:{invoice['buyer_id']}")
        outcome.tell(
            rooms,
            "invoice.updated",
            {
                "invoice_id": str(invoice["id"]),
                "number": invoice["number"],
                "status": invoice["status"],
                "stage": invoice["stage"],
                "amount_paid": invoice["amount_paid"],
                "amount_due": invoice["total"] - invoice["amount_paid"],
                "total": invoice["total"],
                "currency": invoice["currency"],
            },
            sources.get(invoice["id"]),
        )
        if invoice["stage"] != invoice["stage_before"]:
            moved = {
                "invoice_id": str(invoice["id"]),
                "number": invoice["number"],
                "before": invoice["stage_before"],
                "after": invoice["stage"],
            }
            outcome.tell(rooms, "invoice.status_changed", moved, sources.get(invoice["id"]))


def _payment(
    state: PaymentState, invoices: Mapping[UUID, Mapping[str, Any]], origin: UUID | None, outcome: Outcome
) -> None:
    """Its owner hears of it with the first invoice that it pays, and each invoice's room with that invoice."""
    deleted = state.deleted_at is not None and state.was != "cancelled"
    received = state.status == "succeeded" and state.was != "succeeded"
    # Whoever looks at an invoice that it paid until now hears of it as well.
    gone = [named for named in sorted(state.named) if named not in state.names] if state.decided else []
    named = [invoices[identity] for identity in (*state.names, *gone) if identity in invoices]
    data: dict[str, object] = {
        "payment_id": str(state.id),
        "status": state.status,
        "amount": state.amount,
        "currency": state.currency,
        "payer": state.payer_name or state.payer_email,
        "method": state.method,
    }
    heard = {f"user:{state.user_id}": {**data, **_of(named[0] if named else None)}}
    # Investors listen there too, and who paid, and how, is not theirs to know.
    heard |= {f"invoice:{invoice['id']}": {**data, "payer": None, "method": None, **_of(invoice)} for invoice in named}
    for room, told in heard.items():
        outcome.tell(
            [room],
            "payment.deleted" if deleted else "payment.received" if received else "payment.updated",
            told,
            origin,
        )


def _of(invoice: Mapping[str, Any] | None) -> dict[str, object]:
    return {
        "invoice_id": None if invoice is None else str(invoice["id"]),
        "invoice_number": None if invoice is None else invoice["number"],
        "invoice_status": None if invoice is None else invoice["status"],
        "amount_due": None if invoice is None else invoice["total"] - invoice["amount_paid"],
    }
