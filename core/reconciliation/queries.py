"""What waits to be reconciled, as the page and the API show it."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

from core import paging
from core.errors import Invalid
from core.identity import Actor
from core.reconciliation import words

# open: nothing decided yet. suspense: open, and nothing is proposed.
STATES = ("open", "proposed", "suspense", "accepted", "duplicate", "ignored")
TIERS = ("sure", "suggested", "suspense")
_WHERE = {
    "open": "transactions.match_state IN ('none', 'proposed')",
    "proposed": "transactions.match_state = 'proposed'",
    "suspense": "transactions.match_state = 'none'",
    "accepted": "transactions.match_state = 'accepted'",
    "duplicate": "transactions.match_state = 'duplicate'",
    "ignored": "transactions.match_state = 'ignored'",
}
_LINES = """
    SELECT transactions.id, transactions.user_id, transactions.amount, transactions.currency, transactions.narration,
        transactions.counterparty, transactions.bank_reference, transactions.occurred_at, transactions.booked_on,
        transactions.match_state, transactions.duplicate_of, transactions.trust,
        EXISTS (SELECT FROM transactions AS other WHERE other.id = transactions.duplicate_of
            AND other.trust = 'manual') AS duplicate_uploaded,
        bank_accounts.name AS account_name, bank_accounts.number_masked,
        connections.id AS connection_id, connections.name AS connection_name,
        match.id AS match_id, match.kind, match.subject_id, match.state AS state, match.score, match.margin,
        match.tier, match.features, match.weights_version, match.alternatives, match.payment_id, match.actor,
        match.decided_at, judgements.alternatives AS nearest,
        transactions.match_state IN ('none', 'proposed') AND EXISTS (SELECT FROM matches AS turned
            WHERE turned.transaction_id = transactions.id AND turned.state = 'rejected') AS rejected
    FROM transactions
    LEFT JOIN connections ON connections.id = transactions.connection_id
    LEFT JOIN bank_accounts ON bank_accounts.connection_id = transactions.connection_id
        AND bank_accounts.object_id = transactions.account_object_id
    LEFT JOIN judgements ON judgements.transaction_id = transactions.id
    LEFT JOIN LATERAL (
        SELECT * FROM matches
        WHERE matches.transaction_id = transactions.id AND matches.state IN ('proposed', 'accepted')
        ORDER BY matches.state = 'accepted' DESC, matches.score DESC, matches.id LIMIT 1
    ) AS match ON true
"""
_OPEN_LINES = "transactions.status = 'posted' AND transactions.amount > 0"


def worklist(
    session: Session,
    actor: Actor,
    now: datetime,
    *,
    state: str = "open",
    tier: str | None = None,
    search: str | None = None,
    limit: int = 25,
    cursor: str | None = None,
    newest_first: bool = False,
) -> dict[str, Any]:
    """A page of money that came in, each line with what is proposed for it: {"items", "next_cursor"}.

    An item: id, amount, currency, narration, counterparty, bank_reference, occurred_at, booked_on, account, connection,
    match_state, rejected (something was, and nothing is decided), duplicate_of, duplicate_uploaded, age_days, tier,
    payment_id, and `proposal`: None or {id, state, kind ("invoices", "payment", "payout"), subject_id, targets:
    [{invoice_id, number, contact, due_date, amount_due, amount, currency}], score, margin, tier, reasons, stops,
    features, weights_version, actor, decided_at}, and `alternatives`: [{targets, score, reasons}]. Amounts are minor
    units.
    Raises Invalid.
    """
    if state not in STATES:
        raise Invalid("state", f"must be one of {', '.join(STATES)}")
    if tier is not None and tier not in TIERS:
        raise Invalid("tier", f"must be one of {', '.join(TIERS)}")
    conditions = [_OPEN_LINES, _WHERE[state]]
    values: dict[str, Any] = {"actor": actor.id, "limit": paging.check_limit(limit) + 1}
    if not actor.is_operator:
        conditions.append("transactions.user_id = :actor")
    if tier is not None:
        conditions.append("coalesce(match.tier, 'suspense') = :tier")
        values["tier"] = tier
    if search:
        conditions.append(
            "(transactions.narration ILIKE :search OR transactions.counterparty ILIKE :search "
            "OR transactions.bank_reference ILIKE :search)"
        )
        values["search"] = paging.contains(search)
    if (moment := paging.after_moment(cursor)) is not None:
        conditions.append(
            f"(transactions.occurred_at, transactions.id) {'<' if newest_first else '>'} (:moment, :after)"
        )
        values["moment"], values["after"] = moment
    order = "DESC" if newest_first else "ASC"
    rows = session.execute(
        text(
            f"{_LINES} WHERE {' AND '.join(conditions)} "
            f"ORDER BY transactions.occurred_at {order}, transactions.id {order} LIMIT :limit"
        ),
        values,
    ).all()
    known = _invoices(session, rows[:limit])
    return paging.page(rows, limit, lambda row: _item(row, known, now), by_moment="occurred_at")


def line(session: Session, actor: Actor, transaction_id: UUID, now: datetime) -> dict[str, Any] | None:
    """One item of the worklist, whatever its state; None when there is none or it is not the actor's."""
    row = session.execute(
        text(f"{_LINES} WHERE transactions.id = :id AND {_OPEN_LINES} AND (:all OR transactions.user_id = :actor)"),
        {"id": transaction_id, "actor": actor.id, "all": actor.is_operator},
    ).one_or_none()
    return None if row is None else _item(row, _invoices(session, [row]), now)


def _alternatives(row: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (row.alternatives if row.match_id else row.nearest) or []
    return found


def _invoices(session: Session, rows: Any) -> dict[str, Any]:
    """Every target of these lines, by match; and every invoice that an alternative names, by id."""
    targets: dict[UUID, list[dict[str, Any]]] = {}
    found = session.execute(
        text(
            "SELECT match_id, match_targets.amount, invoices.id, number, due_date, amount_due, total, "
            "invoices.currency, contacts.id AS contact_id, contacts.name "
            "FROM match_targets JOIN invoices ON invoices.id = invoice_id "
            "JOIN contacts ON contacts.id = contact_id "
            "WHERE match_id = ANY(:matches) ORDER BY match_id, position"
        ),
        {"matches": [row.match_id for row in rows if row.match_id]},
    )
    for row in found:
        targets.setdefault(row.match_id, []).append(_target(row, row.amount))
    named = {UUID(one) for row in rows for other in _alternatives(row) for one in other.get("invoices", [])}
    others = session.execute(
        text(
            "SELECT invoices.id, number, due_date, amount_due, total, invoices.currency, contacts.id AS contact_id, "
            "contacts.name FROM invoices JOIN contacts ON contacts.id = contact_id WHERE invoices.id = ANY(:ids)"
        ),
        {"ids": list(named)},
    )
    return {"targets": targets, "others": {str(row.id): row for row in others}}


def _target(row: Any, amount: int | None) -> dict[str, Any]:
    return {
        "invoice_id": str(row.id),
        "number": row.number,
        "contact": {"id": str(row.contact_id), "name": row.name},
        "due_date": row.due_date,
        "amount_due": row.amount_due,
        "total": row.total,
        "currency": row.currency,
        "amount": amount,
    }


def _item(row: Any, known: dict[str, Any], now: datetime) -> dict[str, Any]:
    proposal = None
    if row.match_id is not None:
        proposal = {
            "id": str(row.match_id),
            "state": row.state,
            "kind": row.kind,
            "subject_id": str(row.subject_id) if row.subject_id else None,
            "targets": known["targets"].get(row.match_id, []),
            "score": float(row.score),
            "margin": None if row.margin is None else float(row.margin),
            "tier": row.tier,
            "reasons": words.reasons(row.features),
            "stops": words.stops(row.features),
            "features": row.features,
            "weights_version": row.weights_version,
            "actor": row.actor,
            "decided_at": row.decided_at,
        }
    return {
        "id": str(row.id),
        "amount": row.amount,
        "currency": row.currency,
        "narration": row.narration,
        "counterparty": row.counterparty,
        "bank_reference": row.bank_reference,
        "occurred_at": row.occurred_at,
        "booked_on": row.booked_on,
        "account": {"name": row.account_name, "number_masked": row.number_masked} if row.account_name else None,
        "connection": {"id": str(row.connection_id), "name": row.connection_name} if row.connection_id else None,
        "trust": row.trust,
        "match_state": row.match_state,
        "rejected": row.rejected,
        "duplicate_of": str(row.duplicate_of) if row.duplicate_of else None,
        "duplicate_uploaded": row.duplicate_uploaded,
        "age_days": max(0, (now - row.occurred_at) // timedelta(days=1)),
        "tier": row.tier or "suspense",
        "payment_id": str(row.payment_id) if row.payment_id else None,
        "proposal": proposal,
        "alternatives": [_other(one, known["others"]) for one in _alternatives(row)],
    }


def _other(one: dict[str, Any], known: dict[str, Any]) -> dict[str, Any]:
    return {
        "targets": [_target(known[name], None) for name in one.get("invoices", []) if name in known],
        "score": one.get("score", 0),
        "reasons": words.reasons(one.get("features", {})),
    }


def progress(session: Session, actor: Actor, now: datetime) -> dict[str, Any]:
    """How far the work is: {"open", "sure", "suggested", "suspense", "matched_today", "oldest_days"}; lines.

    "open" is sure + suggested + suspense. Today is the UTC day of `now`.
    """
    row = session.execute(
        text(
            "SELECT count(*) AS open, count(*) FILTER (WHERE best.tier = 'sure') AS sure, "
            "count(*) FILTER (WHERE best.tier = 'suggested') AS suggested, min(occurred_at) AS oldest "
            "FROM transactions LEFT JOIN LATERAL (SELECT tier FROM matches "
            "WHERE matches.transaction_id = transactions.id AND matches.state = 'proposed' "
            "ORDER BY score DESC, id LIMIT 1) AS best ON true "
            "WHERE match_state IN ('none', 'proposed') AND status = 'posted' AND amount > 0 "
            "AND (:all OR user_id = :actor)"
        ),
        {"actor": actor.id, "all": actor.is_operator},
    ).one()
    day = now.replace(hour=0, minute=0, second=0, microsecond=0)
    matched = session.scalar(
        text(
            "SELECT count(*) FROM matches WHERE state = 'accepted' AND decided_at >= :day "
            "AND (:all OR user_id = :actor)"
        ),
        {"actor": actor.id, "all": actor.is_operator, "day": day},
    )
    return {
        "open": row.open,
        "sure": row.sure,
        "suggested": row.suggested,
        "suspense": row.open - row.sure - row.suggested,
        "matched_today": matched,
        "oldest_days": 0 if row.oldest is None else max(0, (now - row.oldest) // timedelta(days=1)),
    }
