"""What happened to an invoice: who did what when, and what it was before; and edits that cross each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

from core.decimals import spelled
from core.edits import Edit, StaleEdit
from core.identity import Actor, Role
from core.invoicing.totals import NewItem

MOST_ENTRIES: Final = 200
MOST_TEXT: Final = 200
MOST_LINES: Final = 20

Change = tuple[Any, Any]


def bounded(value: Any) -> Any:
    """A value as an entry keeps it: JSON, and no longer than one looks at."""
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, list | tuple):
        shown = [bounded(one) for one in value[:MOST_LINES]]
        return shown if len(value) <= MOST_LINES else [*shown, f"and {len(value) - MOST_LINES} more"]
    words = str(value)
    return words if len(words) <= MOST_TEXT else words[: MOST_TEXT - 1] + "…"


def lines(items: Sequence[NewItem]) -> list[str]:
    """Lines in words; prices are minor units of the invoice's currency."""
    found = []
    for item in items:
        words = f"{item.description.strip()}: {spelled(item.quantity)}{' ' + item.unit if item.unit else ''}"
        words += f" at {item.unit_price}"
        if item.discount_rate:
            words += f", {spelled(item.discount_rate)} % off"
        words += f", {spelled(item.tax_rate)} % tax"
        found.append(words + (f", HSN {item.hsn}" if item.hsn else ""))
    return found


def recorded(changes: Mapping[str, Change]) -> dict[str, list[Any]]:
    """Changes as an audit row keeps them: field to before and after."""
    return {field: [bounded(before), bounded(after)] for field, (before, after) in changes.items()}


def check_version(session: Session, row: Any, expected: int | None) -> None:
    """Raise StaleEdit unless an invoice is at the version the asker read; None did not say. `row` is locked.

    Payments and the marketplace change an invoice too: where nobody edited it, what is paid of it is named.
    """
    if expected is None or expected == row.version:
        return
    edited = session.execute(
        text(
            "SELECT audit_log.at, users.name, audit_log.data -> 'changes' AS changes FROM audit_log "
            "LEFT JOIN users ON users.id = audit_log.actor_id WHERE audit_log.subject_id = :id "
            "AND audit_log.subject_kind = 'invoice' AND audit_log.data ? 'changes' "
            "AND CAST(audit_log.data ->> 'version' AS integer) > :expected ORDER BY audit_log.id DESC LIMIT 50"
        ),
        {"id": row.id, "expected": expected},
    )
    edits = [Edit(at=one.at, actor=one.name, changes=one.changes) for one in edited]
    if not edits:
        state = {"payment_status": [None, row.status], "amount_paid": [None, row.amount_paid]}
        edits = [Edit(at=row.updated_at, actor=None, changes=state)]
    raise StaleEdit("invoice", row.version, edits)


def shown(changes: Mapping[str, Any] | None) -> list[dict[str, Any]]:
    """Changes of an audit row, as readers see them."""
    return [
        {"field": field, "before": pair[0], "after": pair[1]}
        for field, pair in (changes or {}).items()
        if isinstance(pair, list) and len(pair) == 2
    ]


def _entry(at: Any, kind: str, **known: Any) -> dict[str, Any]:
    blank: dict[str, Any] = {
        "actor": None,
        "amount": None,
        "currency": None,
        "payment_id": None,
        "reason": None,
        "changes": [],
    }
    return {"at": at, "kind": kind, **blank, **known}


def history(
    session: Session, actor: Actor, invoice_id: UUID, invoice: dict[str, Any], allocated: Sequence[Any]
) -> list[dict[str, Any]]:
    """What happened, newest first: what people did, and every movement of money. At most MOST_ENTRIES deeds.

    An investor sees the steps of the financing, without who took them: the others' names are not their business.
    """
    rows = session.execute(
        text(
            # A buyer owes the same whoever financed it, and does not read who did.
            "SELECT audit_log.at, audit_log.action, "
            "CASE WHEN users.role = 'investor' AND :buyer THEN NULL ELSE users.name END AS name, "
            # Why a buyer said no: "quality: ten bales were torn".
            "CASE WHEN audit_log.action IN ('financing.rejected', 'financing.disputed') "
            "THEN audit_log.data->>'reason' END AS reason, audit_log.data->'changes' AS changes FROM audit_log "
            "LEFT JOIN users ON users.id = audit_log.actor_id "
            "WHERE audit_log.subject_id = :id AND audit_log.subject_kind = 'invoice' "
            # What was tried out in a draft was said to nobody.
            "AND NOT (:buyer AND coalesce(CAST(audit_log.data->>'draft' AS boolean), false)) "
            "ORDER BY audit_log.id DESC LIMIT :most"
        ),
        {"id": invoice_id, "buyer": actor.role is Role.BUYER, "most": MOST_ENTRIES},
    )
    entries = [
        _entry(row.at, row.action, actor=row.name, reason=row.reason, changes=shown(row.changes)) for row in rows
    ]
    if not any(entry["kind"] == "invoice.created" for entry in entries):
        entries.append(_entry(invoice["created_at"], "invoice.created", actor=invoice["seller"]["name"]))
    entries += [
        _entry(
            row.created_at,
            "payment.allocated" if row.amount > 0 else "payment.released",
            amount=row.amount,
            currency=row.currency,
            payment_id=str(row.payment_id),
            reason=row.reason,
        )
        for row in allocated
    ]
    found = sorted(entries, key=lambda entry: entry["at"], reverse=True)
    if actor.role is not Role.INVESTOR:
        return found
    return [
        {**entry, "actor": None, "reason": None, "changes": []}
        for entry in found
        if entry["kind"].startswith("financing.") or entry["kind"] == "invoice.created"
    ]
