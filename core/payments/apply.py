"""Payments take effect: statements are merged, invoices filled, allocations written, all in bulk.

`apply` is given everything a batch of events said about payments, refunds and disputes. It reads what is
known, decides in memory (`core.payments.merge`), and writes each table once. Repeats change nothing; any
order of arrival ends with the same rows.

Locks, always in this order: object keys (sorted), then invoices (sorted). Who holds an invoice's lock may
change the allocations of every payment that names it.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, text
from sqlalchemy.orm import Session

from core import objects
from core.bulk import Rows, array, pipelined
from core.events import Dispute, Payment, Reference, Refund, Trust
from core.ids import new_id, parse_id
from core.invoicing.references import candidate_keys
from core.live.feed import announce_all
from core.marketplace import repayments
from core.marketplace.calendar import Calendar
from core.payments.merge import (
    PaymentState,
    Share,
    adjustment_standing,
    adjustment_values,
    fill,
    status_of,
)
from core.statements import Effect, EffectKind, Outcome, Statement, supersedes

_PAYMENTS = Rows(
    id="uuid",
    user_id="uuid",
    connection_id="uuid",
    connector="text",
    object_id="text",
    source="text",
    transaction_id="uuid",
    version="bigint",
    status="text",
    amount="bigint",
    currency="text",
    refunded="bigint",
    deducted="bigint",
    allocated="bigint",
    invoice_references="jsonb",
    reference_keys="jsonb",
    invoice_id="uuid",
    method="text",
    payer_name="text",
    payer_email="text",
    bank_reference="text",
    description="text",
    fee="bigint",
    failure="text",
    occurred_at="timestamptz",
    trust="text",
)
# unnest flattens an array of arrays, so the keys travel as JSON and become text[] here.
_SELECTED = _PAYMENTS.names.replace(
    "reference_keys", "ARRAY(SELECT jsonb_array_elements_text(reference_keys)) AS reference_keys"
)
_INSERT_PAYMENTS = text(f"INSERT INTO payments ({_PAYMENTS.names}) SELECT {_SELECTED} FROM {_PAYMENTS.source('given')}")
_UPDATE_PAYMENTS = text(
    "UPDATE payments SET "
    + ", ".join(
        f"{name} = given.{name}"
        for name in _PAYMENTS.columns
        if name not in {"id", "user_id", "connection_id", "connector", "object_id", "source", "transaction_id"}
    )
    + f", updated_at = now() FROM (SELECT {_SELECTED} FROM {_PAYMENTS.source('raw')}) AS given "
    "WHERE payments.id = given.id AND payments.id = ANY(CAST(:id AS uuid[]))"
)
_LOAD_PAYMENTS = text(
    "SELECT id, user_id, connection_id, connector, object_id, source, transaction_id, version, status, amount, "
    "currency, refunded, deducted, allocated, invoice_references, reference_keys, invoice_id, method, payer_name, "
    "payer_email, bank_reference, description, fee, failure, occurred_at, trust "
    "FROM payments WHERE id = ANY(CAST(:ids AS uuid[]))"
)

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
_SHARES = text(
    "SELECT id, invoice_id, occurred_at, coalesce(object_id, '') AS object_id, currency, allocated, "
    "CASE WHEN trust = 'hint' THEN 0 ELSE net END AS spendable "
    "FROM payments WHERE invoice_id = ANY(CAST(:invoices AS uuid[]))"
)
_ALLOCATIONS = Rows(
    id="uuid",
    payment_id="uuid",
    invoice_id="uuid",
    amount="bigint",
    currency="text",
    reason="text",
    event_id="uuid",
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
_NAMED = text(
    "SELECT id, seller_id, number_key FROM invoices "
    "JOIN (SELECT DISTINCT * FROM unnest(CAST(:users AS uuid[]), CAST(:keys AS text[]))) "
    "AS asked (seller_id, number_key) USING (seller_id, number_key) WHERE status NOT IN ('draft', 'void') "
    "UNION SELECT id, seller_id, number_key FROM invoices "
    "WHERE id = ANY(CAST(:named AS uuid[])) AND status NOT IN ('draft', 'void')"
)
_LOCK_INVOICES = text(
    "SELECT id, seller_id, buyer_id, number, status, currency, total, amount_paid FROM invoices "
    "WHERE id = ANY(CAST(:ids AS uuid[])) ORDER BY id FOR UPDATE"
)
_OTHERS = Rows(id="uuid", allocated="bigint")
_INVOICES = Rows(id="uuid", amount_paid="bigint", status="text")
# Made once: finding the parameters of a statement takes longer than sending it.
_INSERT_ADJUSTMENTS = text(_ADJUSTMENTS.insert("payment_adjustments"))
_UPDATE_ADJUSTMENTS = text(_ADJUSTMENTS.update("payment_adjustments", suffix=", updated_at = now()"))
_INSERT_ALLOCATIONS = text(_ALLOCATIONS.insert("allocations"))
_UPDATE_OTHERS = text(_OTHERS.update("payments", suffix=", updated_at = now()"))
_UPDATE_INVOICES = text(_INVOICES.update("invoices", suffix=", version = version + 1, updated_at = now()"))


def apply(connection: Connection, statements: Sequence[Statement], outcome: Outcome) -> None:
    """Take in what events say about payments, refunds and disputes; add effects to `outcome`.

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
    ids = objects.identify(connection, payment_keys + adjustment_keys)
    states = load(connection, ids.known())
    origins: dict[UUID, UUID] = {}

    adjusted = _apply_adjustments(connection, statements, ids, outcome)
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
    # Whoever reports a refund takes the payment's key, so a key that is new to this batch has none but the batch's.
    _apply_returns(
        connection,
        [
            state
            for key, state in ((key, touched.get(ids[key])) for key in set(payment_keys))
            if state is not None and (state.id not in ids.fresh or key in adjusted)
        ],
    )
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


def load(connection: Connection, ids: Collection[UUID]) -> dict[UUID, PaymentState]:
    """Payments as they stand, by id. Whoever means to change one holds its key, or its transaction's row."""
    if not ids:
        return {}
    rows = connection.execute(_LOAD_PAYMENTS, {"ids": array(set(ids), "uuid")}).mappings().all()
    return {row["id"]: _state(row) for row in rows}


def _state(row: Any) -> PaymentState:
    values = dict(row)
    values["invoice_references"] = [Reference(priority, name) for priority, name in row["invoice_references"]]
    return PaymentState(**values, exists=True, stated=True, was=row["status"])


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


def settle(
    connection: Connection,
    touched: dict[UUID, PaymentState],
    origins: dict[UUID, UUID],
    outcome: Outcome,
    *,
    resolve: bool = True,
    quiet: Collection[UUID] = (),
) -> None:
    """Write payments and refill every invoice they name or named.

    `origins` says which event changed which payment. With `resolve` the invoice of each payment is looked up
    from its references; without, `invoice_id` is taken as it stands. `quiet` ones are not announced themselves.
    What the payments then do to financed invoices is the caller's to run, once and last
    (`core.marketplace.repayments.collect`): it takes locks that come after those of every invoice.
    """
    if not touched:
        return
    before = {identity: state.invoice_id for identity, state in touched.items()}
    if resolve:
        _resolve(connection, touched.values())
    wanted = {state.invoice_id for state in touched.values()} | set(before.values())
    affected = sorted(identity for identity in wanted if identity is not None)
    invoices = _lock_invoices(connection, affected)
    desired, current = _plan(connection, touched, invoices)

    # (payment, invoice) → change; whatever is not wanted any more is released.
    changes = {
        pair: desired.get(pair, 0) - current.get(pair, 0)
        for pair in sorted(desired.keys() | current.keys())
        if desired.get(pair, 0) != current.get(pair, 0)
    }
    paid: dict[UUID, int] = dict.fromkeys(invoices, 0)
    for (_, invoice_id), amount in desired.items():
        paid[invoice_id] += amount
    moved = {pair[1] for pair in changes}
    changed = [invoices[identity] for identity in affected if identity in moved]
    for invoice in changed:
        invoice["amount_paid"] = paid[invoice["id"]]
        invoice["status"] = status_of(invoice["total"], invoice["amount_paid"])
        outcome.due[invoice["id"]] = invoice["total"] - invoice["amount_paid"]
    with pipelined(connection):
        _write_payments(connection, touched, desired, changes)
        if changed:
            connection.execute(
                _UPDATE_INVOICES,
                _INVOICES.parameters(changed),
            )
        if changes:
            connection.execute(
                _INSERT_ALLOCATIONS,
                _ALLOCATIONS.parameters(
                    {
                        "id": new_id(),
                        "payment_id": payment_id,
                        "invoice_id": invoice_id,
                        "amount": amount,
                        "currency": invoices[invoice_id]["currency"],
                        "reason": "applied" if amount > 0 else "released",
                        "event_id": origins.get(payment_id),
                    }
                    for (payment_id, invoice_id), amount in changes.items()
                ),
            )
    outcome.origins |= origins
    for identity, state in touched.items():
        for named in (state.invoice_id, before[identity]):
            if named in invoices:
                outcome.settled[named] = origins.get(identity) or outcome.settled.get(named)
    told = {identity: state for identity, state in touched.items() if identity not in quiet}
    _announce(told, invoices, changed, changes, origins, outcome)


def _resolve(connection: Connection, states: Iterable[PaymentState]) -> None:
    """Find the invoice that each payment names best; the lowest priority wins, then the longest text."""
    asking = [state for state in states if state.invoice_references]
    if not asking:
        return
    users, keys = [], []
    for state in asking:
        for key in state.reference_keys:
            users.append(state.user_id)
            keys.append(key)
    named = [
        identity
        for state in asking
        for reference in state.invoice_references
        if (identity := parse_id(reference.text)) is not None
    ]
    rows = connection.execute(
        _NAMED,
        {"users": array(users, "uuid"), "keys": array(keys, "text"), "named": array(named, "uuid")},
    ).all()
    by_key = {(row.seller_id, row.number_key): row.id for row in rows}
    by_id = {(row.seller_id, row.id): row.id for row in rows}
    for state in asking:
        found: list[UUID | None] = []
        for reference in state.invoice_references:
            identity = parse_id(reference.text)
            if identity is not None:
                found.append(by_id.get((state.user_id, identity)))
            found.extend(by_key.get((state.user_id, key)) for key in candidate_keys(reference.text))
        # Without a better answer a payment stays with the invoice it was given.
        state.invoice_id = next((identity for identity in found if identity is not None), state.invoice_id)


def _lock_invoices(connection: Connection, ids: Sequence[UUID]) -> dict[UUID, dict[str, Any]]:
    if not ids:
        return {}
    rows = (
        connection.execute(
            _LOCK_INVOICES,
            {"ids": array(ids, "uuid")},
        )
        .mappings()
        .all()
    )
    return {row["id"]: dict(row) for row in rows}


Pair = tuple[UUID, UUID]


def _plan(
    connection: Connection, touched: dict[UUID, PaymentState], invoices: dict[UUID, dict[str, Any]]
) -> tuple[dict[Pair, int], dict[Pair, int]]:
    """What each payment is to pay of each invoice, and what it pays now."""
    if not invoices:
        return {}, {}
    shares: dict[UUID, list[Share]] = {identity: [] for identity in invoices}
    current: dict[Pair, int] = {}
    for row in connection.execute(_SHARES, {"invoices": array(invoices, "uuid")}).all():
        # Read under the invoice's lock, so that what another transaction just changed is in it.
        if row.allocated:
            current[row.id, row.invoice_id] = row.allocated
        if row.id not in touched:
            shares[row.invoice_id].append(
                Share(
                    payment_id=row.id,
                    occurred_at=row.occurred_at,
                    object_id=row.object_id,
                    currency=row.currency,
                    spendable=row.spendable,
                )
            )
    for state in touched.values():
        if state.invoice_id in shares:
            shares[state.invoice_id].append(
                Share(
                    payment_id=state.id,
                    occurred_at=state.occurred_at,
                    object_id=state.object_id or "",
                    currency=state.currency,
                    spendable=state.spendable,
                )
            )
    desired = {
        (payment_id, identity): amount
        for identity, invoice in invoices.items()
        # A payment keeps naming an invoice that was taken back since, perhaps while this transaction waited for it.
        if invoice["status"] not in {"draft", "void"}
        for payment_id, amount in fill(invoice["total"], invoice["currency"], shares[identity]).items()
    }
    return desired, current


def _write_payments(
    connection: Connection,
    touched: dict[UUID, PaymentState],
    desired: dict[Pair, int],
    changes: dict[Pair, int],
) -> None:
    for state in touched.values():
        state.allocated = 0 if state.invoice_id is None else desired.get((state.id, state.invoice_id), 0)
    new = [_row(state) for state in touched.values() if not state.exists]
    old = [_row(state) for state in touched.values() if state.exists]
    if new:
        connection.execute(_INSERT_PAYMENTS, _PAYMENTS.parameters(new))
    if old:
        connection.execute(_UPDATE_PAYMENTS, _PAYMENTS.parameters(old))
    others = {pair: desired.get(pair, 0) for pair in changes if pair[0] not in touched}
    if others:
        connection.execute(
            _UPDATE_OTHERS,
            _OTHERS.parameters({"id": pair[0], "allocated": amount} for pair, amount in others.items()),
        )


def _row(state: PaymentState) -> dict[str, Any]:
    row = {name: getattr(state, name) for name in _PAYMENTS.columns}
    row["invoice_references"] = json.dumps([[one.priority, one.text] for one in state.invoice_references])
    row["reference_keys"] = json.dumps(state.reference_keys)
    return row


def _announce(
    touched: dict[UUID, PaymentState],
    invoices: dict[UUID, dict[str, Any]],
    changed: Sequence[dict[str, Any]],
    changes: dict[Pair, int],
    origins: dict[UUID, UUID],
    outcome: Outcome,
) -> None:
    sources = {pair[1]: origins.get(pair[0]) for pair in changes}
    for state in touched.values():
        invoice = invoices.get(state.invoice_id) if state.invoice_id else None
        received = state.status == "succeeded" and state.was != "succeeded"
        data: dict[str, object] = {
            "payment_id": str(state.id),
            "status": state.status,
            "amount": state.amount,
            "currency": state.currency,
            "payer": state.payer_name or state.payer_email,
            "invoice_id": None if invoice is None else str(invoice["id"]),
            "invoice_number": None if invoice is None else invoice["number"],
            "invoice_status": None if invoice is None else invoice["status"],
            "amount_due": None if invoice is None else invoice["total"] - invoice["amount_paid"],
        }
        heard = {f"user:{state.user_id}": data}
        if invoice is not None:
            # Investors listen there too, and who paid is not theirs to know.
            heard[f"invoice:{invoice['id']}"] = {**data, "payer": None}
        for room, told in heard.items():
            outcome.tell([room], "payment.received" if received else "payment.updated", told, origins.get(state.id))
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
                "amount_paid": invoice["amount_paid"],
                "amount_due": invoice["total"] - invoice["amount_paid"],
                "total": invoice["total"],
                "currency": invoice["currency"],
            },
            sources.get(invoice["id"]),
        )


def adopt_waiting(
    session: Session | Connection, *invoice_ids: UUID, now: datetime | None = None, calendar: Calendar | None = None
) -> int:
    """Apply payments that arrived before the invoice they name, and announce it; return how many there were."""
    connection = session.connection() if isinstance(session, Session) else session
    rows = connection.execute(
        text(
            "SELECT payments.id, payments.connection_id, payments.object_id FROM invoices "
            "JOIN payments ON payments.user_id = invoices.seller_id AND payments.invoice_id IS NULL "
            "AND payments.status = 'succeeded' AND payments.connection_id IS NOT NULL "
            "AND payments.reference_keys && ARRAY[invoices.number_key] "
            "WHERE invoices.id = ANY(CAST(:ids AS uuid[])) AND invoices.status NOT IN ('draft', 'void')"
        ),
        {"ids": list(invoice_ids)},
    ).all()
    if not rows:
        return 0
    objects.identify(connection, [(row.connection_id, "payment", row.object_id) for row in rows])
    outcome = Outcome()
    settle(connection, load(connection, [row.id for row in rows]), {}, outcome)
    repayments.collect(connection, outcome, now, calendar)
    announce_all(connection, outcome.announcements)
    return len(rows)
