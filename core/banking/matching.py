"""Which bank transaction pays which invoice: proposals with reasons, and a person's decision.

Only a transaction whose text names an invoice of the same seller and currency is proposed (marketplace.md 4.2,
rule 3); the amount then says how sure that is (rule 4). A proposal moves no money, and it stands only while the
invoice is due: when something else pays it the proposal is laid aside, and taken up again if that is reversed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, text
from sqlalchemy.orm import Session

from core.bulk import Rows, array
from core.errors import Conflict, NotFound
from core.ids import new_id
from core.invoicing.references import candidate_keys
from core.live.feed import announce_all
from core.marketplace import repayments
from core.marketplace.calendar import Calendar
from core.payments import apply as payments
from core.payments.merge import PaymentState
from core.statements import Outcome

# Weights of this version of the rules; stored with every proposal.
RULES = "reference-amount/1"
_REFERENCE_WEIGHT = 0.70
_AMOUNT_WEIGHTS = {"exact": 0.28, "part": 0.10, "over": 0.02}

_MATCHES = Rows(
    id="uuid",
    transaction_id="uuid",
    invoice_id="uuid",
    target_key="uuid",
    user_id="uuid",
    state="text",
    score="numeric",
    features="jsonb",
)

_CANDIDATES = text(
    "SELECT asked.transaction_id, invoices.id, invoices.number, invoices.total, invoices.amount_due, "
    "invoices.seller_id "
    "FROM unnest(CAST(:transactions AS uuid[]), CAST(:users AS uuid[]), CAST(:currencies AS text[]), "
    "CAST(:keys AS text[])) AS asked (transaction_id, user_id, currency, number_key) "
    "JOIN invoices ON invoices.seller_id = asked.user_id AND invoices.number_key = asked.number_key "
    "AND invoices.currency = asked.currency AND invoices.status IN ('open', 'partial', 'paid') "
    "WHERE NOT EXISTS (SELECT FROM matches WHERE matches.transaction_id = asked.transaction_id "
    "AND (matches.invoice_id = invoices.id OR matches.state IN ('proposed', 'accepted')))"
)


def judge(amount: int, due: int) -> tuple[float, str]:
    """The score of a named invoice and how the amounts compare: exact, part or over. Both in minor units."""
    relation = "exact" if amount == due else "part" if amount < due else "over"
    return round(_REFERENCE_WEIGHT + _AMOUNT_WEIGHTS[relation], 3), relation


def propose(
    connection: Connection,
    rows: Sequence[Mapping[str, Any]],
    origins: Mapping[UUID, UUID],
    outcome: Outcome,
) -> int:
    """Propose the best match of each posted credit in `rows` (columns of transactions); return how many.

    A transaction that has a match already keeps it. A pair that a person rejected is not proposed again.
    """
    asked: list[tuple[UUID, UUID, str, str]] = []
    incoming = {row["id"]: row for row in rows if row["status"] == "posted" and row["amount"] > 0}
    for row in incoming.values():
        words = " ".join(filter(None, (row["narration"], row["bank_reference"])))
        asked.extend((row["id"], row["user_id"], row["currency"], key) for key in candidate_keys(words))
    if not asked:
        return 0
    found = connection.execute(
        _CANDIDATES,
        {
            "transactions": array((row[0] for row in asked), "uuid"),
            "users": array((row[1] for row in asked), "uuid"),
            "currencies": array((row[2] for row in asked), "text"),
            "keys": array((row[3] for row in asked), "text"),
        },
    ).all()
    best: dict[UUID, Any] = {}
    for pair in found:
        rival = best.get(pair.transaction_id)
        # By what never changes, so that any order of arrival chooses the same: the amount against the whole
        # invoice, then the number.
        amount = incoming[pair.transaction_id]["amount"]
        place = (judge(amount, pair.total)[0], pair.number)
        if rival is None or place > (judge(amount, rival.total)[0], rival.number):
            best[pair.transaction_id] = pair
    if not best:
        return 0
    connection.execute(
        text(_MATCHES.insert("matches", "ON CONFLICT DO NOTHING")),
        _MATCHES.parameters(_match(pair, incoming[pair.transaction_id]["amount"]) for pair in best.values()),
    )
    proposed = {identity: pair for identity, pair in best.items() if pair.amount_due > 0}
    connection.execute(
        text("UPDATE transactions SET match_state = 'proposed' WHERE id = ANY(CAST(:ids AS uuid[]))"),
        {"ids": array(proposed, "uuid")},
    )
    for identity, pair in proposed.items():
        _tell_proposed(
            outcome,
            user_id=pair.seller_id,
            transaction_id=identity,
            invoice_id=pair.id,
            number=pair.number,
            amount=incoming[identity]["amount"],
            currency=incoming[identity]["currency"],
            due=pair.amount_due,
            event_id=origins.get(identity),
        )
    return len(proposed)


def _match(pair: Any, amount: int) -> dict[str, Any]:
    score, relation = judge(amount, pair.amount_due)
    return {
        "id": new_id(),
        "transaction_id": pair.transaction_id,
        "invoice_id": pair.id,
        "target_key": pair.id,
        "user_id": pair.seller_id,
        "state": "proposed" if pair.amount_due > 0 else "undone",
        "score": score,
        "features": _features(pair.number, relation, pair.amount_due),
    }


def _features(number: str, relation: str, due: int) -> str:
    return json.dumps({"rules": RULES, "reference": number, "amount": relation, "amount_due": due})


def _tell_proposed(
    outcome: Outcome,
    *,
    user_id: UUID,
    transaction_id: UUID,
    invoice_id: UUID,
    number: str,
    amount: int,
    currency: str,
    due: int,
    event_id: UUID | None,
) -> None:
    outcome.tell(
        [f"user:{user_id}"],
        "match.proposed",
        {
            "transaction_id": str(transaction_id),
            "invoice_id": str(invoice_id),
            "invoice_number": number,
            "amount": amount,
            "currency": currency,
            "score": judge(amount, due)[0],
        },
        event_id,
    )


_REFRESHED = Rows(id="uuid", state="text", score="numeric", features="jsonb")
_OF_INVOICES = text(
    "SELECT matches.id, matches.state, matches.score, matches.invoice_id, invoices.number, transactions.id AS "
    "transaction_id, transactions.user_id, transactions.status, transactions.amount, transactions.currency, "
    "transactions.narration FROM matches JOIN invoices ON invoices.id = matches.invoice_id "
    "JOIN transactions ON transactions.id = matches.transaction_id "
    "WHERE matches.invoice_id = ANY(CAST(:invoices AS uuid[])) AND matches.state IN ('proposed', 'undone') "
    "AND transactions.status = 'posted' AND transactions.match_state <> 'accepted' "
    "AND transactions.amount > 0 AND transactions.currency = invoices.currency "
    "ORDER BY matches.id FOR UPDATE OF matches"
)


def refresh(connection: Connection, outcome: Outcome) -> None:
    """Judge the proposals of invoices anew whose due amount just changed (`outcome.due`)."""
    if not outcome.due:
        return
    rows = connection.execute(_OF_INVOICES, {"invoices": array(outcome.due, "uuid")}).all()
    changed = []
    for row in rows:
        due = outcome.due[row.invoice_id]
        score, relation = judge(row.amount, due)
        state = "proposed" if due > 0 else "undone"
        changed.append({"id": row.id, "state": state, "score": score, "features": _features(row.number, relation, due)})
        if state != row.state:
            _set_match_state(
                connection, row.transaction_id, row, "proposed" if state == "proposed" else "none", outcome
            )
            if state == "proposed":
                _tell_proposed(
                    outcome,
                    user_id=row.user_id,
                    transaction_id=row.transaction_id,
                    invoice_id=row.invoice_id,
                    number=row.number,
                    amount=row.amount,
                    currency=row.currency,
                    due=due,
                    event_id=None,
                )
    if changed:
        connection.execute(text(_REFRESHED.update("matches")), _REFRESHED.parameters(changed))


_WAITING = text(
    "SELECT transactions.id, transactions.user_id, status, amount, currency, narration, bank_reference "
    "FROM transactions WHERE transactions.id > :after AND match_state = 'none' AND status = 'posted' AND amount > 0 "
    "AND transactions.created_at >= :since "
    "AND EXISTS (SELECT FROM invoices WHERE seller_id = transactions.user_id "
    "AND status IN ('open', 'partial') AND invoices.created_at >= :since) "
    "ORDER BY transactions.id LIMIT :limit FOR UPDATE OF transactions SKIP LOCKED"
)


def propose_waiting(session: Session | Connection, since: datetime, page: int = 1000) -> int:
    """Look again at credits that name an invoice which came later; return how many were proposed.

    All that came `since` then are looked at, a page at a time: what names nothing must not hide what is behind it.
    """
    connection = session.connection() if isinstance(session, Session) else session
    outcome = Outcome()
    proposed, after = 0, UUID(int=0)
    while True:
        rows = connection.execute(_WAITING, {"since": since, "limit": page, "after": after}).mappings().all()
        proposed += propose(connection, [dict(row) for row in rows], {}, outcome)
        if len(rows) < page:
            break
        after = rows[-1]["id"]
    announce_all(connection, outcome.announcements)
    return proposed


def _lock(connection: Connection, user_id: UUID, transaction_id: UUID) -> Any:
    """The transaction of this user, locked. Raises NotFound."""
    row = connection.execute(
        text(
            "SELECT id, user_id, connection_id, status, amount, currency, narration, bank_reference, counterparty, "
            "occurred_at, trust, version, match_state FROM transactions WHERE id = :id AND user_id = :user FOR UPDATE"
        ),
        {"id": transaction_id, "user": user_id},
    ).one_or_none()
    if row is None:
        raise NotFound("transaction", transaction_id)
    return row


def accept(
    session: Session,
    user_id: UUID,
    transaction_id: UUID,
    invoice_id: UUID | None,
    now: datetime,
    *,
    calendar: Calendar | None = None,
) -> UUID:
    """Decide that a transaction is the payment of an invoice; return the payment's id.

    Without `invoice_id` the proposed match is taken. Accepting what is accepted already changes nothing. `calendar`
    says which days banks work, for financed invoices.
    Raises NotFound, or Conflict when the transaction cannot pay this invoice.
    """
    connection = session.connection()
    transaction = _lock(connection, user_id, transaction_id)
    match = connection.execute(
        text(
            "SELECT id, invoice_id, state, payment_id FROM matches WHERE transaction_id = :id "
            "AND (state = 'accepted' OR CASE WHEN CAST(:invoice AS uuid) IS NULL THEN state = 'proposed' "
            "ELSE invoice_id = :invoice END) ORDER BY state = 'accepted' DESC LIMIT 1"
        ),
        {"id": transaction_id, "invoice": invoice_id},
    ).one_or_none()
    if match is not None and match.state == "accepted":
        if invoice_id not in (None, match.invoice_id):
            raise Conflict("this transaction already pays another invoice; undo that match first")
        paid: UUID = match.payment_id
        return paid
    target = invoice_id or (None if match is None else match.invoice_id)
    if target is None:
        raise NotFound("proposed match of transaction", transaction_id)
    invoice = connection.execute(
        text("SELECT id, number, currency, status, amount_due FROM invoices WHERE id = :id AND seller_id = :seller"),
        {"id": target, "seller": user_id},
    ).one_or_none()
    if invoice is None:
        raise NotFound("invoice", target)
    if transaction.status != "posted" or transaction.amount <= 0:
        raise Conflict("only a posted transaction that brought money in can pay an invoice")
    if invoice.currency != transaction.currency:
        raise Conflict(f"the invoice is in {invoice.currency} and the transaction in {transaction.currency}")
    if invoice.status not in ("open", "partial"):
        raise Conflict(f"invoice {invoice.number} is {invoice.status} and takes no payment")
    state = PaymentState(
        id=new_id(),
        user_id=user_id,
        connection_id=transaction.connection_id,
        connector=None,
        object_id=None,
        exists=False,
        source="bank",
        transaction_id=transaction.id,
        version=transaction.version,
        status="succeeded",
        amount=transaction.amount,
        currency=transaction.currency,
        invoice_id=invoice.id,
        method="bank_transfer",
        payer_name=transaction.counterparty,
        bank_reference=transaction.bank_reference,
        description=transaction.narration,
        occurred_at=transaction.occurred_at,
        trust=transaction.trust,
        stated=True,
    )
    outcome = Outcome()
    payments.settle(connection, {state.id: state}, {}, outcome, resolve=False)
    score, relation = judge(transaction.amount, invoice.amount_due)
    connection.execute(
        text(
            "INSERT INTO matches (id, transaction_id, invoice_id, target_key, user_id, state, score, features, "
            "payment_id, decided_at, decided_by) VALUES (:id, :transaction, :invoice, :invoice, :user, 'accepted', "
            ":score, CAST(:features AS jsonb), :payment, :now, :user) "
            "ON CONFLICT (transaction_id, target_key) DO UPDATE SET state = 'accepted', "
            "payment_id = excluded.payment_id, "
            "decided_at = excluded.decided_at, decided_by = excluded.decided_by"
        ),
        {
            "id": new_id(),
            "transaction": transaction.id,
            "invoice": invoice.id,
            "user": user_id,
            "score": score if match is not None else 0,
            "features": json.dumps({"rules": "by hand", "amount": relation, "amount_due": invoice.amount_due}),
            "payment": state.id,
            "now": now,
        },
    )
    # A proposal for another invoice has lost.
    connection.execute(
        text(
            "UPDATE matches SET state = 'rejected', decided_at = :now, decided_by = :user "
            "WHERE transaction_id = :id AND state = 'proposed'"
        ),
        {"id": transaction.id, "now": now, "user": user_id},
    )
    _set_match_state(connection, transaction.id, transaction, "accepted", outcome)
    # Other transactions were proposed for this invoice, and it may need them no more.
    refresh(connection, outcome)
    repayments.collect(connection, outcome, now, calendar)
    announce_all(connection, outcome.announcements)
    return state.id


def undo(
    session: Session, user_id: UUID, transaction_id: UUID, now: datetime, *, calendar: Calendar | None = None
) -> None:
    """Take an accepted match back: its payment is cancelled and the invoice is due again.

    Raises NotFound, or Conflict when nothing is accepted.
    """
    connection = session.connection()
    transaction = _lock(connection, user_id, transaction_id)
    match = connection.execute(
        text("SELECT id, payment_id FROM matches WHERE transaction_id = :id AND state = 'accepted'"),
        {"id": transaction_id},
    ).one_or_none()
    if match is None:
        raise Conflict("this transaction has no accepted match")
    outcome = Outcome()
    _cancel(connection, [match.payment_id], outcome)
    connection.execute(
        text(
            "UPDATE matches SET state = 'proposed', payment_id = NULL, decided_at = :now, "
            "decided_by = :user WHERE id = :id"
        ),
        {"id": match.id, "now": now, "user": user_id},
    )
    _set_match_state(connection, transaction.id, transaction, "proposed", outcome)
    refresh(connection, outcome)
    repayments.collect(connection, outcome, now, calendar)
    announce_all(connection, outcome.announcements)


def _cancel(connection: Connection, payment_ids: Sequence[UUID], outcome: Outcome) -> None:
    states = payments.load(connection, payment_ids)
    for state in states.values():
        state.status = "cancelled"
    payments.settle(connection, states, {}, outcome, resolve=False)


def follow(connection: Connection, rows: Sequence[Mapping[str, Any]], outcome: Outcome) -> None:
    """Let the payments of accepted transactions say what the bank says now (`rows` as they are just written).

    One that can no longer pay its invoice, because it brings nothing or another currency, is withdrawn.
    """
    if not rows:
        return
    now = {row["id"]: row for row in rows}
    accepted = connection.execute(
        text(
            "SELECT payment_id, transaction_id FROM matches "
            "WHERE transaction_id = ANY(CAST(:ids AS uuid[])) AND state = 'accepted'"
        ),
        {"ids": array(now, "uuid")},
    ).all()
    if not accepted:
        return
    states = payments.load(connection, [match.payment_id for match in accepted])
    lost, kept = [], {}
    for match in accepted:
        state, row = states[match.payment_id], now[match.transaction_id]
        if row["amount"] <= 0 or row["currency"] != state.currency:
            lost.append(match.transaction_id)
            continue
        state.amount, state.version, state.trust = row["amount"], row["version"], row["trust"]
        state.occurred_at, state.payer_name = row["occurred_at"], row["counterparty"]
        state.bank_reference, state.description = row["bank_reference"], row["narration"]
        kept[state.id] = state
    withdraw(connection, lost, outcome)
    payments.settle(connection, kept, {}, outcome, resolve=False)


def forget(connection: Connection, transaction_ids: Sequence[UUID]) -> None:
    """Drop what was proposed for transactions whose content changed; what a person decided stays."""
    if not transaction_ids:
        return
    ids = array(transaction_ids, "uuid")
    connection.execute(
        text(
            "DELETE FROM matches WHERE transaction_id = ANY(CAST(:ids AS uuid[])) "
            "AND state IN ('proposed', 'undone') AND decided_by IS NULL"
        ),
        {"ids": ids},
    )
    connection.execute(
        text(
            "UPDATE transactions SET match_state = 'none' WHERE id = ANY(CAST(:ids AS uuid[])) "
            "AND match_state = 'proposed' AND NOT EXISTS (SELECT FROM matches "
            "WHERE matches.transaction_id = transactions.id AND matches.state = 'proposed')"
        ),
        {"ids": ids},
    )


def withdraw(connection: Connection, transaction_ids: Sequence[UUID], outcome: Outcome) -> None:
    """Undo the matches of transactions that the bank took back."""
    if not transaction_ids:
        return
    rows = connection.execute(
        text(
            "SELECT id, payment_id FROM matches WHERE transaction_id = ANY(CAST(:ids AS uuid[])) "
            "AND state IN ('proposed', 'accepted') ORDER BY id FOR UPDATE"
        ),
        {"ids": list(transaction_ids)},
    ).all()
    _cancel(connection, [row.payment_id for row in rows if row.payment_id is not None], outcome)
    connection.execute(
        text("UPDATE matches SET state = 'undone', payment_id = NULL WHERE id = ANY(CAST(:ids AS uuid[]))"),
        {"ids": [row.id for row in rows]},
    )
    connection.execute(
        text("UPDATE transactions SET match_state = 'none' WHERE id = ANY(CAST(:ids AS uuid[]))"),
        {"ids": list(transaction_ids)},
    )


def reject(session: Session, user_id: UUID, transaction_id: UUID, now: datetime) -> None:
    """Turn a proposed match down, for good. Raises NotFound, or Conflict when nothing is proposed."""
    connection = session.connection()
    transaction = _lock(connection, user_id, transaction_id)
    rejected = connection.execute(
        text(
            "UPDATE matches SET state = 'rejected', decided_at = :now, decided_by = :user "
            "WHERE transaction_id = :id AND state = 'proposed' RETURNING id"
        ),
        {"id": transaction_id, "now": now, "user": user_id},
    ).all()
    if not rejected:
        raise Conflict("this transaction has no proposed match")
    outcome = Outcome()
    _set_match_state(connection, transaction.id, transaction, "none", outcome)
    announce_all(connection, outcome.announcements)


def _set_match_state(connection: Connection, identity: UUID, transaction: Any, state: str, outcome: Outcome) -> None:
    connection.execute(
        text("UPDATE transactions SET match_state = :state, updated_at = now() WHERE id = :id"),
        {"state": state, "id": identity},
    )
    outcome.tell(
        [f"user:{transaction.user_id}"],
        "transaction.updated",
        {
            "transaction_id": str(identity),
            "status": transaction.status,
            "amount": transaction.amount,
            "currency": transaction.currency,
            "narration": transaction.narration[:120],
            "match_state": state,
        },
        None,
    )
