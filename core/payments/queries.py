"""Reading payments, as far as the asker may see them."""

from __future__ import annotations

from typing import Any, Final
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

from core.errors import NotFound
from core.identity import Actor, Role
from core.payments.merge import PaymentState

STATUSES = ("pending", "failed", "succeeded", "cancelled")
SOURCES = ("gateway", "bank", "manual", "credit_note")

# A dispute that nobody has decided yet.
DISPUTED: Final = (
    "EXISTS (SELECT FROM payment_adjustments AS challenge WHERE challenge.connection_id = payments.connection_id "
    "AND challenge.payment_object_id = payments.object_id AND challenge.kind = 'dispute' "
    "AND challenge.status IN ('open', 'under_review'))"
)
COLUMNS: Final = f"""
    payments.id, payments.user_id, payments.source, payments.connector, payments.connection_id, payments.object_id,
    payments.status, payments.amount, payments.currency, payments.refunded, payments.deducted, payments.net,
    payments.allocated, payments.invoice_references, payments.method, payments.payer_name, payments.payer_email,
    payments.bank_reference, payments.description, payments.fee, payments.failure, payments.occurred_at,
    payments.created_at, payments.trust, payments.transaction_id, payments.version, payments.notes, payments.decided,
    payments.given_back, payments.deleted_at, {DISPUTED} AS disputed, aimed.many,
    connections.name AS connection_name, invoices.id AS invoice_id, invoices.number AS invoice_number,
    contacts.id AS contact_id, contacts.name AS contact_name
"""
FROM: Final = """
    payments LEFT JOIN connections ON connections.id = payments.connection_id
    LEFT JOIN LATERAL (
        SELECT invoice_id, count(*) OVER () AS many FROM payment_targets WHERE payment_id = payments.id
        ORDER BY position LIMIT 1) AS aimed ON payments.decided
    LEFT JOIN invoices ON invoices.id = coalesce(aimed.invoice_id, payments.invoice_id)
    LEFT JOIN contacts ON contacts.id = coalesce(payments.contact_id, invoices.contact_id)
"""
# Of a payment that pays several buyers' invoices each of them reads their own part.
_PARTS: Final = """,
    EXISTS (SELECT FROM payment_targets AS part JOIN invoices AS whose ON whose.id = part.invoice_id
        WHERE part.payment_id = payments.id AND whose.buyer_id IS DISTINCT FROM :actor) AS shared,
    (SELECT coalesce(sum(part.allocated), 0)::bigint FROM payment_targets AS part
        JOIN invoices AS whose ON whose.id = part.invoice_id
        WHERE part.payment_id = payments.id AND whose.buyer_id = :actor) AS own_part,
    (SELECT jsonb_agg(jsonb_build_object('id', whose.id, 'number', whose.number) ORDER BY part.position)
        FROM payment_targets AS part JOIN invoices AS whose ON whose.id = part.invoice_id
        WHERE part.payment_id = payments.id AND whose.buyer_id = :actor) AS own_invoices
"""


def columns(actor: Actor) -> str:
    """What `shape` reads. It uses the parameter :actor."""
    return COLUMNS + _PARTS if actor.role is Role.BUYER else COLUMNS


_BUYERS = """payments.id IN (
    SELECT theirs.id FROM invoices JOIN payments AS theirs ON theirs.invoice_id = invoices.id
    WHERE invoices.buyer_id = :actor AND invoices.status <> 'draft'
    UNION SELECT target.payment_id FROM invoices JOIN payment_targets AS target ON target.invoice_id = invoices.id
    WHERE invoices.buyer_id = :actor AND invoices.status <> 'draft')"""


def visible(actor: Actor) -> str:
    """The condition under which a payment is the actor's to see. It uses the parameter :actor."""
    match actor.role:
        case Role.SELLER:
            return "payments.user_id = :actor"
        case Role.BUYER:
            return _BUYERS
        case Role.OPERATOR:
            return "true"
        case Role.INVESTOR:
            return "false"


# What concerns the seller and the gateway, and not the buyer whose invoice was paid.
_SELLERS_ONLY = ("connection", "fee", "payer_name", "payer_email", "description", "transaction_id", "contact")


def shape(row: Any, actor: Actor) -> dict[str, Any]:
    """A payment as a list shows it: with the first invoice that it names, and how many more there are."""
    found: dict[str, Any] = {
        "id": str(row.id),
        "source": row.source,
        "connector": row.connector,
        "connection": {"id": str(row.connection_id), "name": row.connection_name} if row.connection_id else None,
        "object_id": row.object_id,
        "status": row.status,
        "amount": row.amount,
        "currency": row.currency,
        "refunded": row.refunded,
        "deducted": row.deducted,
        "net": row.net,
        "allocated": row.allocated,
        "unapplied": row.net - row.allocated,
        "disputed": row.disputed,
        "invoice": {"id": str(row.invoice_id), "number": row.invoice_number} if row.invoice_id else None,
        "invoice_count": row.many or (1 if row.invoice_id else 0),
        "contact": {"id": str(row.contact_id), "name": row.contact_name} if row.contact_id else None,
        "decided": row.decided,
        "method": row.method,
        "payer_name": row.payer_name,
        "payer_email": row.payer_email,
        "bank_reference": row.bank_reference,
        "description": row.description,
        "notes": row.notes,
        "fee": row.fee,
        "failure": row.failure,
        "transaction_id": str(row.transaction_id) if row.transaction_id else None,
        "occurred_at": row.occurred_at,
        "created_at": row.created_at,
        "deleted_at": row.deleted_at,
        "version": row.version,
        "trust": row.trust,
        "references": [str(entry[1]) for entry in row.invoice_references],
    }
    if actor.role is Role.BUYER:
        found.update(dict.fromkeys(_SELLERS_ONLY), references=[], notes="")
        if row.shared:
            found.update(dict.fromkeys(("amount", "net", "allocated"), row.own_part))
            found.update(dict.fromkeys(("refunded", "deducted", "unapplied"), 0))
            found.update(invoice=row.own_invoices[0], invoice_count=len(row.own_invoices))
    return found


def get_payment(session: Session, actor: Actor, payment_id: UUID) -> dict[str, Any]:
    """A payment with what it pays, what went back of it, and the deliveries that told of it. Raises NotFound."""
    row = session.execute(
        text(f"SELECT {columns(actor)} FROM {FROM} WHERE payments.id = :id AND {visible(actor)}"),
        {"id": payment_id, "actor": actor.id},
    ).one_or_none()
    if row is None:
        raise NotFound("payment", payment_id)
    found = shape(row, actor)
    buyer = actor.role is Role.BUYER
    values = {"id": payment_id, "actor": actor.id, "all": not buyer}
    found["targets"] = _targets(session, values)
    found["allocations"] = _allocations(session, values)
    if buyer and all(found["invoice"]["id"] != one["invoice"]["id"] for one in found["targets"] or [found]):
        # The first invoice that it pays is somebody else's.
        found["invoice"] = next((one["invoice"] for one in found["targets"]), None)
    if buyer and found["decided"]:
        found["invoice_count"] = len(found["targets"])
    found["refunds"] = [] if buyer else _refunds(session, payment_id)
    found["adjustments"] = _adjustments(session, row)
    found["payout"] = None if buyer else _payout(session, payment_id)
    found["history"] = [] if buyer else _history(session, payment_id)
    found["deliveries"] = [] if buyer else deliveries_of(session, payment_id)
    found["possible_duplicate_of"] = None
    return found


def _targets(session: Session, values: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {
            "invoice": {"id": str(row.invoice_id), "number": row.number},
            "amount": row.amount,
            "allocated": row.allocated,
        }
        for row in session.execute(
            text(
                "SELECT target.invoice_id, invoices.number, target.amount, target.allocated "
                "FROM payment_targets AS target JOIN invoices ON invoices.id = target.invoice_id "
                "WHERE target.payment_id = :id AND (:all OR invoices.buyer_id = :actor) ORDER BY target.position"
            ),
            values,
        )
    ]


def _allocations(session: Session, values: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {
            "invoice": {"id": str(row.invoice_id), "number": row.number},
            "amount": row.amount,
            "reason": row.reason,
            "created_at": row.created_at,
        }
        for row in session.execute(
            text(
                "SELECT allocations.amount, allocations.reason, allocations.created_at, allocations.invoice_id, "
                "invoices.number FROM allocations JOIN invoices ON invoices.id = allocations.invoice_id "
                "WHERE allocations.payment_id = :id AND (:all OR invoices.buyer_id = :actor) ORDER BY allocations.id"
            ),
            values,
        )
    ]


def _refunds(session: Session, payment_id: UUID) -> list[dict[str, Any]]:
    """What was given back by hand, the newest first; `taken_back` where it was noted wrongly."""
    return [
        {
            "id": str(row.id),
            "amount": row.amount,
            "currency": row.currency,
            "method": row.method,
            "date": row.refunded_at.date(),
            "reference": row.reference,
            "notes": row.notes,
            "taken_back": row.taken_back,
            "created_at": row.created_at,
        }
        for row in session.execute(
            text(
                "SELECT given.*, back.id IS NOT NULL AS taken_back FROM manual_refunds AS given "
                "LEFT JOIN manual_refunds AS back ON back.reverses = given.id "
                "WHERE given.payment_id = :id AND given.reverses IS NULL ORDER BY given.id DESC"
            ),
            {"id": payment_id},
        )
    ]


def _adjustments(session: Session, payment: Any) -> list[dict[str, Any]]:
    """What the provider says of refunds and disputes, the newest first. `taken` is what is gone of the payment."""
    if payment.source != "gateway":
        return []
    rows = session.execute(
        text(
            "SELECT id, kind, status, amount, taken, currency, reason, respond_by, occurred_at "
            "FROM payment_adjustments WHERE connection_id = :connection AND payment_object_id = :object "
            "ORDER BY occurred_at DESC, id DESC LIMIT 50"
        ),
        {"connection": payment.connection_id, "object": payment.object_id},
    )
    return [{**row._asdict(), "id": str(row.id)} for row in rows]


def _payout(session: Session, payment_id: UUID) -> dict[str, Any] | None:
    row = session.execute(
        text(
            "SELECT line.payout_id, line.fee, line.net, payouts.occurred_at FROM payout_lines AS line "
            "JOIN payouts ON payouts.id = line.payout_id WHERE line.subject_id = :id "
            "UNION ALL SELECT payouts.id, item.fee, item.net, payouts.occurred_at FROM payments "
            "JOIN payout_items AS item ON item.connection_id = payments.connection_id AND item.kind = 'payment' "
            "AND item.subject_object_id = payments.object_id "
            "JOIN object_keys AS known ON known.connection_id = item.connection_id AND known.kind = 'payout' "
            "AND known.object_id = item.payout_object_id JOIN payouts ON payouts.id = known.id "
            # One that was taken back and collected again is in several: the last one is where it is.
            "WHERE payments.id = :id ORDER BY occurred_at DESC LIMIT 1"
        ),
        {"id": payment_id},
    ).one_or_none()
    if row is None:
        return None
    return {"id": str(row.payout_id), "fee": row.fee, "net": row.net, "occurred_at": row.occurred_at}


def _history(session: Session, payment_id: UUID) -> list[dict[str, Any]]:
    """What people did with it, newest first, and what that changed: {field: [before, after]}."""
    return [
        {"at": row.at, "action": row.action, "actor": row.name, "changes": row.changes or {}}
        for row in session.execute(
            text(
                "SELECT audit_log.at, audit_log.action, users.name, audit_log.data -> 'changes' AS changes "
                "FROM audit_log LEFT JOIN users ON users.id = audit_log.actor_id "
                "WHERE audit_log.subject_id = :id AND audit_log.subject_kind = 'payment' "
                "ORDER BY audit_log.id DESC LIMIT 100"
            ),
            {"id": payment_id},
        )
    ]


def deliveries_of(session: Session, object_id: UUID) -> list[dict[str, Any]]:
    """The deliveries that said something about one of our objects, newest first, at most 50."""
    rows = session.execute(
        text(
            "SELECT events.delivery_id, events.id, events.name, events.received_at FROM event_effects "
            "JOIN events ON events.id = event_effects.event_id "
            "WHERE event_effects.object_id = :id ORDER BY event_effects.event_id DESC LIMIT 50"
        ),
        {"id": object_id},
    )
    return [
        {
            "delivery_id": str(row.delivery_id),
            "event_id": str(row.id),
            "name": row.name,
            "received_at": row.received_at,
        }
        for row in rows
    ]


def looks_like(session: Session, state: PaymentState) -> str | None:
    """The id of another payment of the same customer, amount, day and reference; the newest, or None."""
    found = session.scalar(
        text(
            "SELECT id FROM payments WHERE contact_id = :contact AND user_id = :user AND id <> :id "
            "AND amount = :amount AND currency = :currency AND status <> 'cancelled' "
            "AND lower(coalesce(bank_reference, '')) = lower(:reference) "
            "AND (occurred_at AT TIME ZONE 'UTC')::date = :day ORDER BY id DESC LIMIT 1"
        ),
        {
            "contact": state.contact_id,
            "user": state.user_id,
            "id": state.id,
            "amount": state.amount,
            "currency": state.currency,
            "reference": state.bank_reference or "",
            "day": state.occurred_at.date(),
        },
    )
    return None if found is None else str(found)
