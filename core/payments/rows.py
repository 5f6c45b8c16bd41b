"""The rows of payments and of their targets: read as states, written in bulk."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, RowMapping, text

from core.bulk import Rows, array
from core.events import Reference
from core.payments.merge import PaymentState, Target

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
    fee_named="boolean",
    failure="text",
    occurred_at="timestamptz",
    trust="text",
    contact_id="uuid",
    created_by="uuid",
    deleted_at="timestamptz",
    notes="text",
    decided="boolean",
    given_back="bigint",
)
_FIXED = frozenset(
    {"id", "user_id", "connection_id", "connector", "object_id", "source", "transaction_id", "created_by"}
)
# unnest flattens an array of arrays, so the keys travel as JSON and become text[] here.
_SELECTED = _PAYMENTS.names.replace(
    "reference_keys", "ARRAY(SELECT jsonb_array_elements_text(reference_keys)) AS reference_keys"
)
# Made once: finding the parameters of a statement takes longer than sending it.
_INSERT_PAYMENTS = text(f"INSERT INTO payments ({_PAYMENTS.names}) SELECT {_SELECTED} FROM {_PAYMENTS.source('given')}")
_UPDATE_PAYMENTS = text(
    "UPDATE payments SET "
    + ", ".join(f"{name} = given.{name}" for name in _PAYMENTS.columns if name not in _FIXED)
    + f", updated_at = now() FROM (SELECT {_SELECTED} FROM {_PAYMENTS.source('raw')}) AS given "
    "WHERE payments.id = given.id AND payments.id = ANY(CAST(:id AS uuid[]))"
)
_LOAD_PAYMENTS = text(
    f"SELECT {_PAYMENTS.names}, CASE WHEN decided THEN (SELECT jsonb_agg(jsonb_build_array("
    "target.invoice_id, target.amount, target.allocated) ORDER BY target.position) "
    "FROM payment_targets AS target WHERE target.payment_id = payments.id) END AS targets "
    "FROM payments WHERE id = ANY(CAST(:ids AS uuid[]))"
)

_TARGETS = Rows(payment_id="uuid", invoice_id="uuid", position="smallint", amount="bigint", allocated="bigint")
_FILLED = Rows(payment_id="uuid", invoice_id="uuid", allocated="bigint")
_FORGET_TARGETS = text("DELETE FROM payment_targets WHERE payment_id = ANY(CAST(:ids AS uuid[]))")
_INSERT_TARGETS = text(_TARGETS.insert("payment_targets"))
_FILL_TARGETS = text(
    f"UPDATE payment_targets SET allocated = given.allocated FROM {_FILLED.source('given')} "
    "WHERE payment_targets.payment_id = given.payment_id AND payment_targets.invoice_id = given.invoice_id"
)


def load(connection: Connection, ids: Collection[UUID]) -> dict[UUID, PaymentState]:
    """Payments as they stand, by id. Whoever means to change one holds its key (see core.payments.holding)."""
    if not ids:
        return {}
    rows = connection.execute(_LOAD_PAYMENTS, {"ids": array(set(ids), "uuid")}).mappings().all()
    return {row["id"]: _state(row) for row in rows}


def _state(row: RowMapping) -> PaymentState:
    values: dict[str, Any] = dict(row)
    values["invoice_references"] = [Reference(priority, name) for priority, name in row["invoice_references"]]
    targets = tuple(Target(UUID(invoice), amount, allocated) for invoice, amount, allocated in row["targets"] or ())
    values["targets"] = values["had"] = targets
    if values.pop("fee_named"):
        values |= {"named_fee": row["fee"], "fee": None}
    named = {target.invoice_id for target in targets} | {row["invoice_id"]}
    return PaymentState(
        **values,
        exists=True,
        stated=True,
        was=row["status"],
        named=frozenset(one for one in named if one is not None),
    )


def write(connection: Connection, states: Collection[PaymentState]) -> None:
    """Write payments as they are; what they pay of each invoice is written by `write_targets`."""
    new = [_row(state) for state in states if not state.exists]
    old = [_row(state) for state in states if state.exists]
    if new:
        connection.execute(_INSERT_PAYMENTS, _PAYMENTS.parameters(new))
    if old:
        connection.execute(_UPDATE_PAYMENTS, _PAYMENTS.parameters(old))


def _row(state: PaymentState) -> dict[str, Any]:
    row = {name: getattr(state, name) for name in _PAYMENTS.columns if name != "fee_named"}
    row["fee"], row["fee_named"] = state.kept, state.fee is None and state.kept is not None
    row["invoice_references"] = json.dumps([[one.priority, one.text] for one in state.invoice_references])
    row["reference_keys"] = json.dumps(state.reference_keys)
    return row


def write_targets(
    connection: Connection, states: Iterable[PaymentState], filled: Mapping[tuple[UUID, UUID], int]
) -> None:
    """Write the targets of payments that changed, and of all that `filled` speaks of what is paid now.

    It is by (payment, invoice). What stands was read before the invoices were locked, and may be old by now.
    """
    rewritten: dict[UUID, PaymentState] = {}
    for state in states:
        if [(one.invoice_id, one.amount) for one in state.targets] != [
            (one.invoice_id, one.amount) for one in state.had
        ]:
            rewritten[state.id] = state
    if rewritten:
        connection.execute(_FORGET_TARGETS, {"ids": array(rewritten, "uuid")})
        rows = [
            {
                "payment_id": state.id,
                "invoice_id": target.invoice_id,
                "position": place,
                "amount": target.amount,
                "allocated": filled[state.id, target.invoice_id],
            }
            for state in rewritten.values()
            for place, target in enumerate(state.targets)
        ]
        if rows:
            connection.execute(_INSERT_TARGETS, _TARGETS.parameters(rows))
    left = [
        {"payment_id": pair[0], "invoice_id": pair[1], "allocated": amount}
        for pair, amount in filled.items()
        if pair[0] not in rewritten
    ]
    if left:
        connection.execute(_FILL_TARGETS, _FILLED.parameters(left))
