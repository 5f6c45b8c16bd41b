"""Which bank transaction pays which invoice: proposals with reasons, and a person's decision.

Only a transaction whose text names an open invoice of the same seller and currency is proposed
(marketplace.md 4.2, rule 3); the amount then says how sure that is (rule 4). A proposal moves no money.
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
    user_id="uuid",
    state="text",
    score="numeric",
    features="jsonb",
)

_CANDIDATES = text(
    "SELECT asked.transaction_id, invoices.id, invoices.number, invoices.amount_due, invoices.seller_id "
    "FROM unnest(CAST(:transactions AS uuid[]), CAST(:users AS uuid[]), CAST(:currencies AS text[]), "
    "CAST(:keys AS text[])) AS asked (transaction_id, user_id, currency, number_key) "
    "JOIN invoices ON invoices.seller_id = asked.user_id AND invoices.number_key = asked.number_key "
    "AND invoices.currency = asked.currency AND invoices.status IN ('open', 'partial') "
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
    best: dict[UUID, dict[str, Any]] = {}
    for pair in found:
        amount = incoming[pair.transaction_id]["amount"]
        score, relation = judge(amount, pair.amount_due)
        rival = best.get(pair.transaction_id)
        # Between equals the number decides, so that any order of arrival proposes the same.
        if rival is None or (score, pair.number) > (rival["score"], rival["number"]):
            best[pair.transaction_id] = {
                "id": new_id(),
                "transaction_id": pair.transaction_id,
                "invoice_id": pair.id,
                "user_id": pair.seller_id,
                "state": "proposed",
                "score": score,
                "number": pair.number,
                "features": json.dumps(
                    {
                        "rules": RULES,
                        "reference": pair.number,
                        "amount": relation,
                        "amount_due": pair.amount_due,
                    }
                ),
            }
    if not best:
        return 0
    connection.execute(text(_MATCHES.insert("matches", "ON CONFLICT DO NOTHING")), _MATCHES.parameters(best.values()))
    connection.execute(
        text("UPDATE transactions SET match_state = 'proposed' WHERE id = ANY(CAST(:ids AS uuid[]))"),
        {"ids": list(best)},
    )
    for identity, match in best.items():
        outcome.tell(
            [f"user:{match['user_id']}"],
            "match.proposed",
            {
                "transaction_id": str(identity),
                "invoice_id": str(match["invoice_id"]),
                "invoice_number": match["number"],
                "amount": incoming[identity]["amount"],
                "currency": incoming[identity]["currency"],
                "score": match["score"],
            },
            origins.get(identity),
        )
    return len(best)


def propose_waiting(session: Session | Connection, since: datetime, limit: int = 1000) -> int:
    """Look again at incoming that name an invoice which came later; return how many were proposed."""
    connection = session.connection() if isinstance(session, Session) else session
    rows = connection.execute(
        text(
            "SELECT transactions.id, transactions.user_id, status, amount, currency, narration, bank_reference "
            "FROM transactions WHERE match_state = 'none' AND status = 'posted' AND amount > 0 "
            "AND transactions.created_at >= :since "
            "AND EXISTS (SELECT FROM invoices WHERE seller_id = transactions.user_id "
            "AND status IN ('open', 'partial') AND invoices.created_at >= :since) "
            "ORDER BY transactions.id LIMIT :limit FOR UPDATE OF transactions SKIP LOCKED"
        ),
        {"since": since, "limit": limit},
    ).mappings()
    outcome = Outcome()
    proposed = propose(connection, [dict(row) for row in rows], {}, outcome)
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


def accept(session: Session, user_id: UUID, transaction_id: UUID, invoice_id: UUID | None, now: datetime) -> UUID:
    """Decide that a transaction is the payment of an invoice; return the payment's id.

    Without `invoice_id` the proposed match is taken. Accepting what is accepted already changes nothing.
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
            "INSERT INTO matches (id, transaction_id, invoice_id, user_id, state, score, features, payment_id, "
            "decided_at, decided_by) VALUES (:id, :transaction, :invoice, :user, 'accepted', :score, "
            "CAST(:features AS jsonb), :payment, :now, :user) "
            "ON CONFLICT (transaction_id, invoice_id) DO UPDATE SET state = 'accepted', "
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
    _set_match_state(connection, transaction, "accepted", outcome)
    announce_all(connection, outcome.announcements)
    return state.id


def undo(session: Session, user_id: UUID, transaction_id: UUID, now: datetime) -> None:
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
    _set_match_state(connection, transaction, "proposed", outcome)
    announce_all(connection, outcome.announcements)


def _cancel(connection: Connection, payment_ids: Sequence[UUID], outcome: Outcome) -> None:
    states = payments.load(connection, payment_ids)
    for state in states.values():
        state.status = "cancelled"
    payments.settle(connection, states, {}, outcome, resolve=False)


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
    _set_match_state(connection, transaction, "none", outcome)
    announce_all(connection, outcome.announcements)


def _set_match_state(connection: Connection, transaction: Any, state: str, outcome: Outcome) -> None:
    connection.execute(
        text("UPDATE transactions SET match_state = :state, updated_at = now() WHERE id = :id"),
        {"state": state, "id": transaction.id},
    )
    outcome.tell(
        [f"user:{transaction.user_id}"],
        "transaction.updated",
        {
            "transaction_id": str(transaction.id),
            "status": transaction.status,
            "amount": transaction.amount,
            "currency": transaction.currency,
            "narration": transaction.narration[:120],
            "match_state": state,
        },
        None,
    )
