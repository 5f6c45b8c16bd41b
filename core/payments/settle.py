"""Payments are written and the invoices that they name are filled anew: the one place where money is allocated.

How an invoice is filled depends on each payment's own state and nothing else (`core.payments.merge`), so any order
of news ends with the same rows.

Locks, always in this order: whatever holds the payments themselves (object keys, transactions,
`core.payments.holding`), then invoices (sorted), then payments that also pay other invoices (sorted). Who holds an
invoice's lock may change what every payment pays of it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, text

from core import books
from core.bulk import Rows, array, pipelined
from core.ids import new_id, parse_id
from core.invoicing import overdue, stages
from core.invoicing.references import candidate_keys
from core.marketplace import words
from core.payments import receivers, rows
from core.payments.merge import PaymentState, Share, fill, status_of
from core.payments.news import announce
from core.statements import Outcome

Pair = tuple[UUID, UUID]

# What a targeted payment has left for one of its invoices is what the targets before it do not take.
_SHARES = text(
    "SELECT id, invoice_id, occurred_at, coalesce(object_id, '') AS object_id, currency, allocated, false AS decided, "
    "trust = 'manual' AS word, CASE WHEN trust = 'hint' THEN 0 ELSE net END AS spendable "
    "FROM payments WHERE invoice_id = ANY(CAST(:invoices AS uuid[])) "
    "UNION ALL SELECT payments.id, target.invoice_id, payments.occurred_at, coalesce(payments.object_id, ''), "
    "payments.currency, target.allocated, true, trust = 'manual', "
    "CASE WHEN trust = 'hint' THEN 0 ELSE greatest(0, least(target.amount, net - (SELECT coalesce(sum(amount), 0) "
    "FROM payment_targets AS earlier WHERE earlier.payment_id = target.payment_id "
    "AND earlier.position < target.position)))::bigint END "
    "FROM payment_targets AS target JOIN payments ON payments.id = target.payment_id "
    "WHERE target.invoice_id = ANY(CAST(:invoices AS uuid[]))"
)
_NAMED = text(
    "SELECT id, seller_id, number_key FROM invoices "
    "JOIN (SELECT DISTINCT * FROM unnest(CAST(:users AS uuid[]), CAST(:keys AS text[]))) "
    "AS asked (seller_id, number_key) USING (seller_id, number_key) WHERE status NOT IN ('draft', 'void') "
    "UNION SELECT id, seller_id, number_key FROM invoices "
    "WHERE id = ANY(CAST(:named AS uuid[])) AND status NOT IN ('draft', 'void')"
)
_LOCK_INVOICES = text(
    "SELECT id, seller_id, buyer_id, contact_id, number, status, currency, total, amount_paid, due_date, sent_at, "
    f"viewed_at, (now() AT TIME ZONE 'UTC')::date AS today, {stages.SQL} AS stage FROM invoices "
    "WHERE id = ANY(CAST(:ids AS uuid[])) ORDER BY id FOR UPDATE"
)
# Other invoices of these payments may be in other hands at this moment.
_LOCK_SHARED = text("SELECT id FROM payments WHERE id = ANY(CAST(:ids AS uuid[])) ORDER BY id FOR NO KEY UPDATE")
_ALLOCATIONS = Rows(
    id="uuid",
    payment_id="uuid",
    invoice_id="uuid",
    amount="bigint",
    currency="text",
    reason="text",
    event_id="uuid",
)
_OTHERS = Rows(id="uuid", change="bigint")
_INVOICES = Rows(id="uuid", amount_paid="bigint", status="text")
# Made once: finding the parameters of a statement takes longer than sending it.
_INSERT_ALLOCATIONS = text(_ALLOCATIONS.insert("allocations"))
_UPDATE_OTHERS = text(
    f"UPDATE payments SET allocated = allocated + given.change, updated_at = now() FROM {_OTHERS.source('given')} "
    "WHERE payments.id = given.id AND payments.id = ANY(CAST(:id AS uuid[]))"
)
_UPDATE_INVOICES = text(_INVOICES.update("invoices", suffix=", version = version + 1, updated_at = now()"))


@dataclass(slots=True)
class Plan:
    """What each payment is to pay of each invoice, and what it pays now. `shared` pay by targets."""

    desired: dict[Pair, int] = field(default_factory=dict)
    current: dict[Pair, int] = field(default_factory=dict)
    shared: set[UUID] = field(default_factory=set)

    @property
    def changes(self) -> dict[Pair, int]:
        """(payment, invoice) → change; whatever is not wanted any more is released."""
        return {
            pair: self.desired.get(pair, 0) - self.current.get(pair, 0)
            for pair in sorted(self.desired.keys() | self.current.keys())
            if self.desired.get(pair, 0) != self.current.get(pair, 0)
        }


def settle(
    connection: Connection,
    touched: dict[UUID, PaymentState],
    origins: dict[UUID, UUID],
    outcome: Outcome,
    *,
    resolve: bool = True,
    quiet: Collection[UUID] = (),
    refilled: Collection[UUID] = (),
) -> None:
    """Write payments and refill every invoice they name or named, and those that are to be `refilled` besides.

    `origins` says which event changed which payment. With `resolve` the invoice of each payment is looked up
    from its references; without, `invoice_id` is taken as it stands. What a person decided stands in either case.
    `quiet` ones are not announced themselves.
    What the payments then do to financed invoices is the caller's to run, once and last
    (`core.marketplace.repayments.collect`): it takes locks that come after those of every invoice. The sellers' books
    follow at the end of the transaction.
    """
    if not touched and not refilled:
        return
    books.touch(connection)
    before = {identity: state.named | set(state.names) for identity, state in touched.items()}
    _recount(touched.values())
    if resolve:
        _resolve(connection, touched.values())
    affected = set(refilled).union(*before.values(), *(state.names for state in touched.values()))
    invoices = lock_invoices(connection, affected)
    plan = _plan(connection, touched, invoices)
    changes = plan.changes
    changed = _refilled(plan, invoices, changes, outcome)
    if shared := sorted({pair[0] for pair in changes if pair[0] in plan.shared and pair[0] not in touched}):
        connection.execute(_LOCK_SHARED, {"ids": array(shared, "uuid")})
    with pipelined(connection):
        _write(connection, touched, plan, changes)
        if changed:
            connection.execute(_UPDATE_INVOICES, _INVOICES.parameters(changed))
        if changes:
            connection.execute(_INSERT_ALLOCATIONS, _ALLOCATIONS.parameters(_booked(changes, invoices, origins)))
    outcome.origins |= origins
    for identity, state in touched.items():
        for named in before[identity].union(state.names):
            if named in invoices:
                outcome.settled[named] = origins.get(identity) or outcome.settled.get(named)
    told = {identity: state for identity, state in touched.items() if identity not in quiet}
    announce(told, invoices, changed, changes, origins, outcome)
    if late := [one["id"] for one in changed if one["stage"] == "overdue" != one["stage_before"]]:
        overdue.said(connection, late)


def _recount(states: Iterable[PaymentState]) -> None:
    """Keep what was given back by hand within amounts that changed; a gateway's returns came with its own news."""
    for state in states:
        if state.source != "gateway":
            state.limit_returns(0, 0)


def _refilled(
    plan: Plan, invoices: Mapping[UUID, dict[str, Any]], changes: Mapping[Pair, int], outcome: Outcome
) -> list[dict[str, Any]]:
    """The invoices of which something else is paid now, as they are to be written."""
    paid: dict[UUID, int] = dict.fromkeys(invoices, 0)
    for (_, invoice_id), amount in plan.desired.items():
        paid[invoice_id] += amount
    changed = [invoices[identity] for identity in sorted({pair[1] for pair in changes})]
    for invoice in changed:
        invoice["amount_paid"] = paid[invoice["id"]]
        invoice["status"] = status_of(invoice["total"], invoice["amount_paid"])
        invoice["stage_before"] = invoice["stage"]
        invoice["stage"] = stages.stage(
            invoice["status"],
            invoice["due_date"],
            invoice["today"],
            sent_at=invoice["sent_at"],
            viewed_at=invoice["viewed_at"],
        )
        outcome.due[invoice["id"]] = invoice["total"] - invoice["amount_paid"]
    return changed


def _resolve(connection: Connection, states: Iterable[PaymentState]) -> None:
    """Find the invoice that each payment names best; the lowest priority wins, then the longest text.

    What it came through says whose it is, also where no invoice is named.
    """
    asking = [state for state in states if state.invoice_references and not state.decided]
    receivers.resolve(connection, asking)
    asking = [state for state in asking if state.naming]
    if not asking:
        return
    users, keys = [], []
    for state in asking:
        for key in state.reference_keys:
            users.append(state.user_id)
            keys.append(key)
    named = [
        identity for state in asking for reference in state.naming if (identity := parse_id(reference.text)) is not None
    ]
    found_rows = connection.execute(
        _NAMED,
        {"users": array(users, "uuid"), "keys": array(keys, "text"), "named": array(named, "uuid")},
    ).all()
    by_key = {(row.seller_id, row.number_key): row.id for row in found_rows}
    by_id = {(row.seller_id, row.id): row.id for row in found_rows}
    for state in asking:
        found: list[UUID | None] = []
        for reference in state.naming:
            identity = parse_id(reference.text)
            if identity is not None:
                found.append(by_id.get((state.user_id, identity)))
            found.extend(by_key.get((state.user_id, key)) for key in candidate_keys(reference.text))
        # Without a better answer a payment stays with the invoice it was given.
        state.invoice_id = next((identity for identity in found if identity is not None), state.invoice_id)


def lock_invoices(connection: Connection, ids: Iterable[UUID]) -> dict[UUID, dict[str, Any]]:
    """Invoices by id, locked in the order of their ids until the transaction ends."""
    wanted = sorted(ids)
    if not wanted:
        return {}
    found = connection.execute(_LOCK_INVOICES, {"ids": array(wanted, "uuid")}).mappings().all()
    return {row["id"]: dict(row) for row in found}


def _plan(
    connection: Connection, touched: Mapping[UUID, PaymentState], invoices: Mapping[UUID, Mapping[str, Any]]
) -> Plan:
    plan = Plan()
    if not invoices:
        return plan
    shares: dict[UUID, list[Share]] = {identity: [] for identity in invoices}
    for row in connection.execute(_SHARES, {"invoices": array(invoices, "uuid")}).all():
        # Read under the invoice's lock, so that what another transaction just changed is in it.
        if row.decided:
            plan.shared.add(row.id)
        if row.allocated:
            plan.current[row.id, row.invoice_id] = row.allocated
        if row.id not in touched:
            shares[row.invoice_id].append(
                Share(
                    payment_id=row.id,
                    occurred_at=row.occurred_at,
                    object_id=row.object_id,
                    currency=row.currency,
                    spendable=row.spendable,
                    word=row.word,
                )
            )
    for state in touched.values():
        for invoice_id, spendable in state.parts.items():
            if invoice_id in shares:
                shares[invoice_id].append(
                    Share(
                        payment_id=state.id,
                        occurred_at=state.occurred_at,
                        object_id=state.object_id or "",
                        currency=state.currency,
                        spendable=spendable,
                        word=state.trust == "manual",
                    )
                )
    limits = words.limits(connection, shares)
    plan.desired = {
        (payment_id, identity): amount
        for identity, invoice in invoices.items()
        # A payment keeps naming an invoice that was taken back since, perhaps while this transaction waited for it.
        if invoice["status"] not in {"draft", "void"}
        for payment_id, amount in fill(
            invoice["total"], invoice["currency"], shares[identity], limits.get(identity)
        ).items()
    }
    return plan


def _write(
    connection: Connection, touched: Mapping[UUID, PaymentState], plan: Plan, changes: Mapping[Pair, int]
) -> None:
    filled: dict[Pair, int] = {}
    for state in touched.values():
        pays = {named: plan.desired.get((state.id, named), 0) for named in state.names}
        state.allocated = sum(pays.values())
        if state.decided:
            filled |= {(state.id, named): amount for named, amount in pays.items()}
    rows.write(connection, list(touched.values()))
    others: dict[UUID, int] = {}
    for pair, change in changes.items():
        if pair[0] not in touched:
            others[pair[0]] = others.get(pair[0], 0) + change
            if pair[0] in plan.shared:
                filled[pair] = plan.desired.get(pair, 0)
    if others:
        connection.execute(
            _UPDATE_OTHERS, _OTHERS.parameters({"id": identity, "change": sum_} for identity, sum_ in others.items())
        )
    decided = [state for state in touched.values() if state.targets or state.had]
    if decided or filled:
        rows.write_targets(connection, decided, filled)


def _booked(
    changes: Mapping[Pair, int], invoices: Mapping[UUID, Mapping[str, Any]], origins: Mapping[UUID, UUID]
) -> list[dict[str, Any]]:
    return [
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
    ]
