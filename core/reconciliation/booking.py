"""A decision takes effect: a line becomes a payment, is linked to one that was booked, or to a payout; and back.

Locks: transactions (the caller's, sorted), then invoices (`core.payments.apply.settle`), then payments. That one line
is one payment, one payment one line, and the same money of two sources one of both, is held by transaction_payments.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from sqlalchemy import Connection, text

from core.bulk import Rows, array
from core.events import Trust
from core.ids import new_id
from core.marketplace import words
from core.payments import apply as payments
from core.payments.holding import lock_by_hand
from core.payments.merge import PaymentState
from core.payments.merge import Target as PaymentTarget
from core.reconciliation import payers
from core.reconciliation.fingerprints import fingerprint, target_key
from core.statements import Outcome

Kind = Literal["invoices", "payment", "payout"]


@dataclass(frozen=True, slots=True)
class Target:
    """What of a line is meant for an invoice, in minor units."""

    invoice_id: UUID
    amount: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """That a line is this. `line` is its locked row; `subject_id` the payment or payout that it is linked to."""

    line: Any
    kind: Kind = "invoices"
    targets: tuple[Target, ...] = ()
    subject_id: UUID | None = None
    score: float = 0.0
    margin: float | None = None
    tier: str = "suggested"
    features: Mapping[str, Any] = field(default_factory=dict)
    version: str = "by hand"
    alternatives: Sequence[Mapping[str, Any]] = ()
    short_reason: str | None = None

    @property
    def target_key(self) -> UUID:
        """One and the same for the same targets in any order."""
        return target_key([target.invoice_id for target in self.targets], self.subject_id)


LINE_COLUMNS = (
    "id, user_id, connection_id, account_object_id, status, amount, currency, narration, bank_reference, "
    "counterparty, occurred_at, booked_on, trust, version, match_state, duplicate_of"
)
LOCK_LINES = text(
    f"SELECT {LINE_COLUMNS} FROM transactions "
    "WHERE user_id = :user AND id = ANY(CAST(:ids AS uuid[])) ORDER BY id FOR UPDATE"
)

# The columns of a match that are known before anybody decides on it.
PROPOSED = {
    "id": "uuid",
    "transaction_id": "uuid",
    "invoice_id": "uuid",
    "user_id": "uuid",
    "kind": "text",
    "subject_id": "uuid",
    "target_key": "uuid",
    "state": "text",
    "score": "numeric",
    "margin": "numeric",
    "tier": "text",
    "features": "jsonb",
    "weights_version": "text",
    "alternatives": "jsonb",
}
_MATCHES = Rows(
    **PROPOSED,
    payment_id="uuid",
    actor="text",
    decided_at="timestamptz",
    decided_by="uuid",
    short_reason="text",
)
_KEPT = ("id", "transaction_id", "user_id", "target_key")
_STORE = text(
    _MATCHES.insert(
        "matches",
        "ON CONFLICT (transaction_id, target_key) DO UPDATE SET "
        + ", ".join(f"{name} = excluded.{name}" for name in _MATCHES.columns if name not in _KEPT)
        + " RETURNING id, transaction_id",
    )
)
_TARGETS = Rows(match_id="uuid", position="smallint", invoice_id="uuid", amount="bigint")
_STORE_TARGETS = text(_TARGETS.insert("match_targets"))
_LINKS = Rows(transaction_id="uuid", payment_id="uuid", user_id="uuid", fingerprint="text")
_STORE_LINKS = text(_LINKS.insert("transaction_payments"))


def store(
    connection: Connection,
    decisions: Sequence[Decision],
    state: Literal["proposed", "accepted"],
    paid: Mapping[UUID, UUID | None],
    now: datetime,
    by: UUID | None,
) -> None:
    """Write matches with their targets; one of the same line and targets is replaced."""
    if not decisions:
        return
    decided = state == "accepted"
    rows = [
        {
            "id": new_id(),
            "transaction_id": one.line.id,
            "invoice_id": one.targets[0].invoice_id if one.targets else None,
            "user_id": one.line.user_id,
            "kind": one.kind,
            "subject_id": one.subject_id,
            "target_key": one.target_key,
            "state": state,
            "score": round(one.score, 3),
            "margin": None if one.margin is None else round(one.margin, 3),
            "tier": one.tier,
            "features": json.dumps(dict(one.features), default=str),
            "weights_version": one.version,
            "alternatives": json.dumps(list(one.alternatives), default=str),
            "payment_id": paid.get(one.line.id),
            "actor": "user" if by is not None else "engine",
            "decided_at": now if decided else None,
            "decided_by": by,
            "short_reason": one.short_reason,
        }
        for one in decisions
    ]
    ids = {row.transaction_id: row.id for row in connection.execute(_STORE, _MATCHES.parameters(rows))}
    store_targets(
        connection, {ids[one.line.id]: [(to.invoice_id, to.amount) for to in one.targets] for one in decisions}
    )


def store_targets(connection: Connection, targets: Mapping[UUID, Sequence[tuple[UUID, int]]]) -> None:
    """Replace what matches, by id, are meant for: invoices and minor units, in this order."""
    connection.execute(
        text("DELETE FROM match_targets WHERE match_id = ANY(CAST(:ids AS uuid[]))"), {"ids": array(targets, "uuid")}
    )
    connection.execute(
        _STORE_TARGETS,
        _TARGETS.parameters(
            {"match_id": match, "position": place, "invoice_id": invoice, "amount": amount}
            for match, meant in targets.items()
            for place, (invoice, amount) in enumerate(meant)
        ),
    )


def book(
    connection: Connection, decisions: Sequence[Decision], outcome: Outcome, now: datetime, by: UUID | None
) -> dict[UUID, UUID | None]:
    """Let decisions about locked lines take effect; return the payment of each line (None for a payout).

    `by` is the person, None for the engine. The caller runs `repayments.collect` and announces `outcome`. Raises
    IntegrityError where the same money is booked already.
    """
    if not decisions:
        return {}
    states = {state.id: state for one in decisions if one.kind == "invoices" for state in [_payment(one)]}
    made = {state.transaction_id: state.id for state in states.values()}
    payments.settle(connection, states, {}, outcome, resolve=False)
    paid: dict[UUID, UUID | None] = {
        one.line.id: made.get(one.line.id) or (one.subject_id if one.kind == "payment" else None) for one in decisions
    }
    connection.execute(
        _STORE_LINKS,
        _LINKS.parameters(
            {
                "transaction_id": one.line.id,
                "payment_id": paid[one.line.id],
                "user_id": one.line.user_id,
                "fingerprint": fingerprint(one.line),
            }
            for one in decisions
            if one.kind != "payout"
        ),
    )
    link_payouts(connection, {one.subject_id: one.line.id for one in decisions if one.kind == "payout"})
    _drop_proposals(connection, [one.line.id for one in decisions], now, by)
    store(connection, decisions, "accepted", paid, now, by)
    payers.learn(connection, [one.line.id for one in decisions if one.kind == "invoices"], now)
    mark(connection, {one.line.id: one.line for one in decisions}, "accepted", outcome)
    for one in decisions:
        tell_matched(outcome, one, paid[one.line.id], by)
    return paid


def possible(
    connection: Connection,
    decisions: Sequence[Decision],
    dues: Mapping[UUID, int] | None = None,
    refused: dict[UUID, str] | None = None,
) -> list[Decision]:
    """Those of these whose invoices still take what was meant for them, with the invoices locked; others are dropped.

    Two lines may claim one invoice: the first that fits has it. With `dues` only invoices are taken of which as much is
    due as was read. A payment that was deleted since is no line any more. An uploaded line is its seller's word, and is
    dropped where investors leave words no room. `refused` is told why, by line.
    """
    gone = _deleted(connection, [one.subject_id for one in decisions if one.kind == "payment" and one.subject_id])
    wanted = {target.invoice_id for one in decisions for target in one.targets}
    rows = connection.execute(
        text(
            "SELECT id, status, currency, amount_due FROM invoices WHERE id = ANY(CAST(:ids AS uuid[])) "
            "ORDER BY id FOR UPDATE"
        ),
        {"ids": array(sorted(wanted), "uuid")},
    )
    left = {
        row.id: row.amount_due
        for row in rows
        if row.status in ("open", "partial") and (dues is None or dues.get(row.id) == row.amount_due)
    }
    said = [one for one in decisions if one.line.trust == Trust.MANUAL]
    rooms = words.rooms(connection, {target.invoice_id for one in said for target in one.targets})
    room = {invoice_id: found.allowed for invoice_id, found in rooms.items()}
    refused, kept = {} if refused is None else refused, []
    for one in decisions:
        line = one.line
        by_word = [to for to in one.targets if line.trust == Trust.MANUAL and to.invoice_id in room]
        if (
            line.match_state not in ("none", "proposed")
            or line.status != "posted"
            or line.amount <= 0
            or one.subject_id in gone
            or any(left.get(target.invoice_id, 0) < target.amount for target in one.targets)
        ):
            refused[line.id] = "It cannot be that any more."
            continue
        if small := next((rooms[to.invoice_id] for to in by_word if room[to.invoice_id] < to.amount), None):
            refused[line.id] = f"Invoice {small.number}: {small.why}"
            continue
        for target in one.targets:
            left[target.invoice_id] -= target.amount
        for target in by_word:
            room[target.invoice_id] -= target.amount
        kept.append(one)
    return kept


def _deleted(connection: Connection, payment_ids: Sequence[UUID]) -> set[UUID]:
    """Those of these payments that are no line (any more); the others stand until the transaction ends."""
    lock_by_hand(connection, payment_ids)
    rows = connection.scalars(
        text(
            "SELECT id FROM payments WHERE id = ANY(CAST(:ids AS uuid[])) "
            f"AND (status <> 'succeeded' OR deleted_at IS NOT NULL OR {words.OF_FINANCED})"
        ),
        {"ids": array(payment_ids, "uuid")},
    )
    return set(rows) if payment_ids else set()


def _payment(one: Decision) -> PaymentState:
    line = one.line
    state = PaymentState(
        id=new_id(),
        user_id=line.user_id,
        connection_id=line.connection_id,
        connector=None,
        object_id=None,
        exists=False,
        source="bank",
        transaction_id=line.id,
        version=line.version,
        status="succeeded",
        amount=line.amount,
        currency=line.currency,
        method="bank_transfer",
        payer_name=line.counterparty,
        bank_reference=line.bank_reference,
        description=line.narration,
        occurred_at=line.occurred_at,
        trust=line.trust,
        stated=True,
    )
    aim(state, one.targets)
    return state


def aim(state: PaymentState, targets: Sequence[Target]) -> None:
    """Have a payment pay these invoices: one without a limit, several each up to its amount."""
    if len(targets) == 1 and targets[0].amount >= state.amount:
        state.invoice_id = targets[0].invoice_id
    else:
        state.decide(PaymentTarget(target.invoice_id, target.amount) for target in targets)


def restate(state: PaymentState, line: Mapping[str, Any]) -> None:
    """Let a payment say what its line says (columns of transactions)."""
    state.amount, state.version, state.trust = line["amount"], line["version"], line["trust"]
    state.occurred_at, state.payer_name = line["occurred_at"], line["counterparty"]
    state.bank_reference, state.description = line["bank_reference"], line["narration"]


def link_payouts(connection: Connection, lines: Mapping[UUID | None, UUID]) -> None:
    """Write which line a payout arrived as."""
    if lines:
        connection.execute(
            text(
                "UPDATE payouts SET transaction_id = given.line, updated_at = now() "
                "FROM unnest(CAST(:payouts AS uuid[]), CAST(:lines AS uuid[])) AS given (payout, line) "
                "WHERE payouts.id = given.payout AND payouts.id = ANY(CAST(:payouts AS uuid[]))"
            ),
            {"payouts": array(lines, "uuid"), "lines": array(lines.values(), "uuid")},
        )


def _drop_proposals(connection: Connection, lines: Sequence[UUID], now: datetime, by: UUID | None) -> None:
    """What else was proposed has lost. Lost against the engine alone, it may be proposed again."""
    connection.execute(
        text(
            "UPDATE matches SET state = :state, actor = :actor, decided_at = :now, decided_by = :by "
            "WHERE transaction_id = ANY(CAST(:ids AS uuid[])) AND state = 'proposed'"
        ),
        {
            "ids": array(lines, "uuid"),
            "state": "undone" if by is None else "rejected",
            "actor": "engine" if by is None else "user",
            "now": now,
            "by": by,
        },
    )


def release(connection: Connection, matches: Sequence[Any], outcome: Outcome) -> None:
    """Take the effect of accepted matches back (rows with transaction_id, kind, payment_id); what was linked stays.

    Payments that the match made are cancelled; those that were booked before are free for another line.
    """
    lines = array((match.transaction_id for match in matches), "uuid")
    made = [match.payment_id for match in matches if match.kind == "invoices" and match.payment_id is not None]
    states = payments.load(connection, made)
    for state in states.values():
        state.status = "cancelled"
    payments.settle(connection, states, {}, outcome, resolve=False)
    connection.execute(
        text("DELETE FROM transaction_payments WHERE transaction_id = ANY(CAST(:ids AS uuid[]))"), {"ids": lines}
    )
    payouts = [match.subject_id for match in matches if match.kind == "payout" and match.payment_id is None]
    if payouts:
        connection.execute(
            text(
                "UPDATE payouts SET transaction_id = NULL, updated_at = now() WHERE id = ANY(CAST(:ids AS uuid[])) "
                "AND transaction_id = ANY(CAST(:lines AS uuid[]))"
            ),
            {"ids": array(payouts, "uuid"), "lines": lines},
        )
    payers.unlearn(connection, [match.transaction_id for match in matches if match.kind == "invoices"])


def mark(connection: Connection, lines: Mapping[UUID, Any], state: str, outcome: Outcome) -> None:
    """Set how far lines are decided, and tell their owners."""
    if not lines:
        return
    connection.execute(
        text(
            "UPDATE transactions SET match_state = :state, duplicate_of = NULL, updated_at = now() "
            "WHERE id = ANY(CAST(:ids AS uuid[]))"
        ),
        {"state": state, "ids": array(lines, "uuid")},
    )
    for line in lines.values():
        tell_line(outcome, line, state)


def tell_line(outcome: Outcome, line: Any, state: str) -> None:
    """Tell that a line is in another state."""
    outcome.tell(
        [f"user:{line.user_id}"],
        "transaction.updated",
        {
            "transaction_id": str(line.id),
            "status": line.status,
            "amount": line.amount,
            "currency": line.currency,
            "narration": line.narration[:120],
            "match_state": state,
        },
        None,
    )


def tell_matched(outcome: Outcome, one: Decision, payment_id: UUID | None, by: UUID | None) -> None:
    """Tell what a line was found to be, and by whom."""
    invoices = [target.invoice_id for target in one.targets]
    payout_id = one.subject_id if one.kind == "payout" else None
    _tell_matched(outcome, one.line, one.kind, invoices, (payment_id, payout_id), "engine" if by is None else "user")


def tell_moved(outcome: Outcome, line: Any, match: Any, before: UUID) -> None:
    """Tell that a line has the match (its row) of the line `before`, which tells of the same money."""
    subjects = (match.payment_id, match.subject_id if match.kind == "payout" else None)
    _tell_matched(outcome, line, match.kind, match.invoices, subjects, match.actor, before)


def _tell_matched(
    outcome: Outcome,
    line: Any,
    kind: str,
    invoices: Sequence[UUID],
    subjects: tuple[UUID | None, UUID | None],
    by: str,
    before: UUID | None = None,
) -> None:
    payment_id, payout_id = subjects
    outcome.tell(
        [f"user:{line.user_id}"],
        "transaction.matched",
        {
            "transaction_id": str(line.id),
            "kind": kind,
            "invoice_ids": [str(one) for one in invoices],
            "payment_id": None if payment_id is None else str(payment_id),
            "payout_id": None if payout_id is None else str(payout_id),
            "amount": line.amount,
            "currency": line.currency,
            "by": by,
            "instead_of": None if before is None else str(before),
        },
        None,
    )
