"""Reading payouts, as far as the asker may see them."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

from core import paging
from core.errors import Invalid, NotFound
from core.identity import Actor, Role

STATUSES = ("pending", "failed", "paid", "reversed")
_COLUMNS = """
    payouts.id, payouts.connection_id, connections.connector, connections.name AS connection_name, payouts.object_id,
    payouts.status, payouts.amount, payouts.currency, payouts.fee, payouts.bank_reference, payouts.occurred_at,
    payouts.to_third_party, payouts.unexplained, payouts.transaction_id,
    held.many, held.collected, held.fees, held.returned, held.adjusted, held.named
"""
_FROM = """
    payouts LEFT JOIN connections ON connections.id = payouts.connection_id
    CROSS JOIN LATERAL (
        SELECT count(*) FILTER (WHERE kind = 'payment') AS many,
               coalesce(sum(amount) FILTER (WHERE kind = 'payment'), 0)::bigint AS collected,
               coalesce(sum(fee - CASE kind WHEN 'fee' THEN amount ELSE 0 END), 0)::bigint AS fees,
               coalesce(-sum(amount) FILTER (WHERE kind IN ('refund', 'dispute')), 0)::bigint AS returned,
               coalesce(sum(amount) FILTER (WHERE kind = 'adjustment'), 0)::bigint AS adjusted,
               coalesce(bool_or(named), false) AS named
        FROM (SELECT kind, amount, fee, false AS named FROM payout_lines WHERE payout_id = payouts.id
              UNION ALL SELECT kind, amount, fee, true FROM payout_items AS item
              WHERE item.connection_id = payouts.connection_id AND item.payout_object_id = payouts.object_id
              AND item.currency = payouts.currency) AS parts) AS held
"""
# What was found by order, and what the provider names: of this the payment, refund or dispute may be unknown here.
_LINES = text(
    "WITH parts AS (SELECT kind, subject_id, CAST(NULL AS text) AS named_id, amount, fee, net, occurred_at "
    "FROM payout_lines WHERE payout_id = :id "
    "UNION ALL SELECT item.kind, known.id, coalesce(item.subject_object_id, item.object_id), item.amount, item.fee, "
    "item.net, item.occurred_at FROM payouts JOIN payout_items AS item ON item.connection_id = payouts.connection_id "
    "AND item.payout_object_id = payouts.object_id AND item.currency = payouts.currency "
    "LEFT JOIN object_keys AS known ON known.connection_id = item.connection_id AND known.kind = item.kind "
    "AND known.object_id = item.subject_object_id WHERE payouts.id = :id) "
    "SELECT line.kind, line.amount, line.fee, line.net, line.named_id IS NOT NULL AS named, "
    # A payment is known by when it was made, not by when it was settled.
    "coalesce(paid.occurred_at, adjustment.occurred_at, line.occurred_at) AS occurred_at, "
    "line.kind IN ('payment', 'refund', 'dispute') AND paid.id IS NULL AND adjustment.id IS NULL AS unseen, "
    "coalesce(paid.id, back.id) AS payment_id, coalesce(paid.payer_name, paid.payer_email, back.payer_name, "
    "back.payer_email) AS payer, coalesce(paid.object_id, adjustment.object_id, line.named_id) AS object_id "
    "FROM parts AS line LEFT JOIN payments AS paid ON paid.id = line.subject_id AND line.kind = 'payment' "
    "LEFT JOIN payment_adjustments AS adjustment ON adjustment.id = line.subject_id AND line.kind <> 'payment' "
    "LEFT JOIN object_keys AS known ON known.connection_id = adjustment.connection_id "
    "AND known.kind = 'payment' AND known.object_id = adjustment.payment_object_id "
    "LEFT JOIN payments AS back ON back.id = known.id "
    # What is missing comes first: it is what somebody looks for.
    "ORDER BY unseen DESC, occurred_at, line.named_id, line.subject_id LIMIT :most"
)
MOST_LINES = 500


def _visible(actor: Actor) -> str:
    return {Role.SELLER: "payouts.user_id = :actor", Role.OPERATOR: "true"}.get(actor.role, "false")


def _shape(row: Any) -> dict[str, Any]:
    """A payout with what it holds in sums, in minor units.

    `amount` is `collected` less `fees`, the payout's own `fee` where the parts name none, and `returned`, with what was
    `adjusted` and whatever is `unexplained` (null before anybody looked; for money to somebody else there is nothing to
    look for). `named`: the provider itself says what is in it.
    """
    return {
        "id": str(row.id),
        "connection": {"id": str(row.connection_id), "name": row.connection_name},
        "connector": row.connector,
        "object_id": row.object_id,
        "status": row.status,
        "amount": row.amount,
        "currency": row.currency,
        "fee": row.fee,
        "bank_reference": row.bank_reference,
        "occurred_at": row.occurred_at,
        "to_third_party": row.to_third_party,
        "payment_count": row.many,
        "collected": row.collected,
        "fees": row.fees,
        "returned": row.returned,
        "adjusted": row.adjusted,
        "named": row.named,
        "unexplained": row.unexplained,
        "transaction_id": str(row.transaction_id) if row.transaction_id else None,
    }


def list_payouts(
    session: Session,
    actor: Actor,
    *,
    limit: int = 25,
    cursor: str | None = None,
    connection_id: UUID | None = None,
    status: str | None = None,
) -> dict[str, Any]:
    """Payouts, newest first. Raises Invalid for a status or cursor that there is not."""
    conditions = [_visible(actor)]
    values: dict[str, Any] = {"actor": actor.id, "limit": paging.check_limit(limit) + 1}
    if status is not None:
        if status not in STATUSES:
            raise Invalid("status", f"must be one of {', '.join(STATUSES)}")
        conditions.append("payouts.status = :status")
        values["status"] = status
    if connection_id is not None:
        conditions.append("payouts.connection_id = :connection")
        values["connection"] = connection_id
    if (moment := paging.after_moment(cursor)) is not None:
        conditions.append("(payouts.occurred_at, payouts.id) < (:moment, :after)")
        values["moment"], values["after"] = moment
    rows = session.execute(
        text(
            f"SELECT {_COLUMNS} FROM {_FROM} WHERE {' AND '.join(conditions)} "
            "ORDER BY payouts.occurred_at DESC, payouts.id DESC LIMIT :limit"
        ),
        values,
    ).all()
    return paging.page(rows, limit, _shape, by_moment="occurred_at")


def get_payout(session: Session, actor: Actor, payout_id: UUID) -> dict[str, Any]:
    """A payout with its lines: what is unknown here, then the oldest first, at most 500. Raises NotFound."""
    row = session.execute(
        text(f"SELECT {_COLUMNS} FROM {_FROM} WHERE payouts.id = :id AND {_visible(actor)}"),
        {"id": payout_id, "actor": actor.id},
    ).one_or_none()
    if row is None:
        raise NotFound("payout", payout_id)
    lines = session.execute(_LINES, {"id": payout_id, "most": MOST_LINES})
    found = _shape(row)
    found["lines"] = [
        {
            "kind": line.kind,
            "payment_id": str(line.payment_id) if line.payment_id else None,
            "object_id": line.object_id,
            "payer": line.payer,
            "named": line.named,
            "unseen": line.unseen,
            "amount": line.amount,
            "fee": line.fee,
            "net": line.net,
            "occurred_at": line.occurred_at,
        }
        for line in lines
    ]
    return found


def fees(session: Session, actor: Actor, since: datetime) -> list[dict[str, Any]]:
    """What gateways kept of a seller's money since then, by connection and currency, in minor units.

    With what belongs to no payment, which a payout's own charges are.
    """
    rows = session.execute(
        text(
            "SELECT connections.id, connections.name, told.currency, sum(told.many)::bigint AS many, "
            "sum(told.amount)::bigint AS collected, sum(told.fee)::bigint AS fees FROM ("
            "SELECT connection_id, currency, 1 AS many, amount, coalesce(fee, 0) AS fee FROM payments "
            "WHERE user_id = :actor AND source = 'gateway' AND status = 'succeeded' AND trust <> 'hint' "
            "AND occurred_at >= :since UNION ALL SELECT connection_id, currency, 0, 0, charges FROM payouts "
            "WHERE user_id = :actor AND status = 'paid' AND NOT to_third_party AND charges <> 0 "
            "AND occurred_at >= :since) AS told JOIN connections ON connections.id = told.connection_id "
            "GROUP BY 1, 2, 3 ORDER BY 2, 1, 3"
        ),
        {"actor": actor.id, "since": since},
    )
    return [
        {
            "connection": {"id": str(row.id), "name": row.name},
            "currency": row.currency,
            "payment_count": row.many,
            "collected": row.collected,
            "fees": row.fees,
        }
        for row in rows
    ]
