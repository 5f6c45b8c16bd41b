"""Payments take effect: statements about payments, refunds and disputes are merged and written, all in bulk.

`apply` is given everything a batch of events said about them. It reads what is known, decides in memory
(`core.payments.merge`), and writes each table once (`core.payments.settle`). Repeats change nothing; any order of
arrival ends with the same rows.

Locks: object keys (sorted), then those of `core.payments.settle`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, text

from core import objects
from core.bulk import Rows, array
from core.events import Dispute, Payment, PayoutItem, Refund, Trust
from core.payments import payout_items
from core.payments.adopt import adopt_waiting
from core.payments.merge import PaymentState, adjustment_standing, adjustment_values
from core.payments.rows import load
from core.payments.settle import settle
from core.statements import Effect, EffectKind, Outcome, Statement, supersedes

__all__ = ["adopt_waiting", "apply", "load", "settle"]

_ADJUSTMENTS = Rows(
    id="uuid",
    connection_id="uuid",
    kind="text",
    object_id="text",
    payment_object_id="text",
    version="bigint",
    status="text",
    amount="bigint",
    taken="bigint",
    currency="text",
    reason="text",
    respond_by="timestamptz",
    occurred_at="timestamptz",
)
_RETURNS = text(
    "SELECT connection_id, payment_object_id, currency, "
    "coalesce(sum(taken) FILTER (WHERE kind = 'refund'), 0)::bigint AS refunded, "
    "coalesce(sum(taken) FILTER (WHERE kind = 'dispute'), 0)::bigint AS deducted "
    "FROM payment_adjustments "
    "JOIN unnest(CAST(:connections AS uuid[]), CAST(:objects AS text[])) "
    "AS asked (connection_id, payment_object_id) USING (connection_id, payment_object_id) "
    "GROUP BY connection_id, payment_object_id, currency"
)
# Made once: finding the parameters of a statement takes longer than sending it.
_INSERT_ADJUSTMENTS = text(_ADJUSTMENTS.insert("payment_adjustments"))
_UPDATE_ADJUSTMENTS = text(_ADJUSTMENTS.update("payment_adjustments", suffix=", updated_at = now()"))


def apply(connection: Connection, statements: Sequence[Statement], outcome: Outcome) -> None:
    """Take in what events say about payments, refunds, disputes and items of payouts; add effects to `outcome`.

    The caller owns the transaction. A statement that changes nothing has the effect "unchanged".
    """
    payment_keys = []
    adjustment_keys = []
    for statement in statements:
        record = statement.record
        if isinstance(record, Payment):
            payment_keys.append((statement.connection_id, "payment", record.object_id))
        elif isinstance(record, Refund | Dispute):
            kind = "refund" if isinstance(record, Refund) else "dispute"
            adjustment_keys.append((statement.connection_id, kind, record.object_id))
            # The key of a payment nobody told us of yet is locked all the same: its news may be on the way.
            payment_keys.append((statement.connection_id, "payment", record.payment_id))
        elif isinstance(record, PayoutItem):
            adjustment_keys.append((statement.connection_id, payout_items.KIND, record.object_id))
            if record.kind == "payment" and record.subject_id is not None:
                payment_keys.append((statement.connection_id, "payment", record.subject_id))
    ids = objects.identify(connection, payment_keys + adjustment_keys)
    states = load(connection, ids.known())
    origins: dict[UUID, UUID] = {}

    adjusted = _apply_adjustments(connection, statements, ids, outcome)
    named = payout_items.apply(connection, statements, ids, outcome)
    touched: dict[UUID, PaymentState] = {}
    quiet = _hear(statements, ids, states, touched, origins, outcome)
    for key, event_ids in adjusted.items():
        identity = ids[key]
        if identity in states:
            quiet.discard(identity)
            touched[identity] = states[identity]
            origins.setdefault(identity, event_ids[-1])
            outcome.effects.extend(
                Effect(event_id=event_id, object_kind="payment", object_id=identity, effect="updated")
                for event_id in event_ids
            )
    # Whoever reports a refund or an item takes the payment's key, so a key that is new to this batch has none but the
    # batch's.
    moved = {
        key: state
        for key, state in ((key, touched.get(ids[key])) for key in set(payment_keys))
        if state is not None and (state.id not in ids.fresh or key in adjusted or key in named)
    }
    _apply_returns(connection, moved.values())
    asked = moved | {key: states[ids[key]] for key in named if ids[key] in states}
    for key in payout_items.fees(connection, asked):
        if key in named:
            state = touched[ids[key]] = asked[key]
            quiet.discard(state.id)
            origins.setdefault(state.id, named[key])
    settle(connection, touched, origins, outcome, quiet=quiet)


def _hear(
    statements: Sequence[Statement],
    ids: objects.Identified,
    states: dict[UUID, PaymentState],
    touched: dict[UUID, PaymentState],
    origins: dict[UUID, UUID],
    outcome: Outcome,
) -> set[UUID]:
    """Merge what is said of payments into their states; return those of which nothing new was said.

    A pull repeats what is known with a newer version: that is written down, and nobody needs to hear it.
    """
    quiet: set[UUID] = set()
    for statement in statements:
        record = statement.record
        if not isinstance(record, Payment):
            continue
        identity = ids[statement.connection_id, "payment", record.object_id]
        state = states.get(identity)
        effect: EffectKind = "updated"
        if state is None:
            effect = "created"
            state = states[identity] = PaymentState(
                id=identity,
                user_id=statement.user_id,
                connection_id=statement.connection_id,
                connector=statement.connector,
                object_id=record.object_id,
                exists=False,
            )
        heard = state.hear(record, statement.trust)
        if heard == "changed":
            quiet.discard(identity)
            origins[identity] = statement.event_id
        else:
            effect = "unchanged"
            if heard == "restated" and identity not in touched:
                quiet.add(identity)
        if heard != "nothing":
            touched[identity] = state
        outcome.effects.append(
            Effect(event_id=statement.event_id, object_kind="payment", object_id=identity, effect=effect)
        )
    return quiet


def _apply_adjustments(
    connection: Connection, statements: Sequence[Statement], ids: objects.Identified, outcome: Outcome
) -> dict[objects.Key, list[UUID]]:
    """Merge refunds and disputes; return the keys of the payments they change, with the events that did."""
    said = [
        (statement, adjustment_values(statement.record))
        for statement in statements
        if isinstance(statement.record, Refund | Dispute)
    ]
    if not said:
        return {}
    known: dict[UUID, dict[str, Any]] = {
        row["id"]: dict(row)
        for row in connection.execute(
            text(f"SELECT {_ADJUSTMENTS.names} FROM payment_adjustments WHERE id = ANY(CAST(:ids AS uuid[]))"),
            {"ids": array((identity for key, identity in ids.items() if key[1] != "payment"), "uuid")},
        )
        .mappings()
        .all()
    }
    stored = set(known)
    changed: dict[UUID, dict[str, Any]] = {}
    payments: dict[objects.Key, list[UUID]] = {}
    for statement, values in said:
        identity = ids[statement.connection_id, values["kind"], values["object_id"]]
        row = {"id": identity, "connection_id": statement.connection_id, **values}
        before = known.get(identity)
        effect: EffectKind = "created" if before is None else "updated"
        # A hint about money that went back is as good as none: it is fetched before it counts.
        if statement.trust is Trust.HINT or (
            before is not None and not supersedes(adjustment_standing(row), adjustment_standing(before))
        ):
            effect = "unchanged"
        else:
            known[identity] = changed[identity] = row
            payments.setdefault((statement.connection_id, "payment", values["payment_object_id"]), []).append(
                statement.event_id
            )
        if effect != "unchanged" or before is not None:
            outcome.effects.append(
                Effect(event_id=statement.event_id, object_kind=values["kind"], object_id=identity, effect=effect)
            )
    new = [row for identity, row in changed.items() if identity not in stored]
    old = [row for identity, row in changed.items() if identity in stored]
    if new:
        connection.execute(_INSERT_ADJUSTMENTS, _ADJUSTMENTS.parameters(new))
    if old:
        connection.execute(
            _UPDATE_ADJUSTMENTS,
            _ADJUSTMENTS.parameters(old),
        )
    return payments


def _apply_returns(connection: Connection, states: Iterable[PaymentState]) -> None:
    """Set what refunds and lost disputes take from each payment, in the payment's own currency."""
    asked = {(state.connection_id, state.object_id): state for state in states if state.connection_id}
    if not asked:
        return
    rows = connection.execute(
        _RETURNS,
        {
            "connections": array((key[0] for key in asked), "uuid"),
            "objects": array((key[1] for key in asked), "text"),
        },
    ).all()
    for state in asked.values():
        state.limit_returns(0, 0)
    for row in rows:
        state = asked[row.connection_id, row.payment_object_id]
        if row.currency == state.currency:
            state.limit_returns(row.refunded, row.deducted)
